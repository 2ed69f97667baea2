"""One face from frame to frame: keeps it aligned without the landmark detector, and hands on what its regions did.

The detector's landmarks jitter by more than a micro-expression moves. So they only say where to look: the alignment
itself follows the head by registration to the anchor, and a new detection is used to check it, never to move it
while anything is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.face.align import Transform, alignable, apply, similarity, warp
from realtime_mer.face.regions import EYE_DISTANCE, EYES_CENTRE, REGIONS, SIZE
from realtime_mer.motion.registration import Meter
from realtime_mer.motion.ring import Ring
from realtime_mer.records import AlignedFace, Face, Floats, Frame, Gray

FIT_LOST: Final = 0.35  # share of contrast explained below which the face is not where it is looked for
FIT_STALE: Final = 0.75  # below this the anchor no longer looks like the face: take a new one when quiet
ANCHOR_AGE: Final = 2.0  # s after which a quiet face gets a new anchor, so that light and hair may change
HEAD_MEMORY: Final = 0.06  # s over which the head's speed is averaged
OFF_PLACE: Final = 8.0  # px: a detection that puts the eyes further away means that registration has slipped
OFF_SCALE: Final = 0.2  # or that differs this much in size
# Three places that show every kind of head motion: between the eyes and below them left and right.
PROBES: Final = np.array(
    [EYES_CENTRE, (EYES_CENTRE[0] - EYE_DISTANCE / 2, 90.0), (EYES_CENTRE[0] + EYE_DISTANCE / 2, 90.0)]
)


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """One frame's result. displacement: float32 (R, 2) px, continuous over anchors. head: px/s. lost: not found
    here."""

    aligned: AlignedFace
    displacement: Floats
    eyes: float
    head: float
    lost: bool


class Follower:
    """Follows the face that was detected as ``face`` in ``gray`` at ``time``."""

    def __init__(self, face: Face, gray: Gray, time: float) -> None:
        self.face = face
        self._meter = Meter()
        self._carry = np.zeros((len(REGIONS), 2), np.float32)
        self._last = self._carry
        self.seat(face, gray, time)

    def seat(self, face: Face, gray: Gray, time: float) -> None:
        """Starts anew from a detection: what was measured before is not continued."""
        self.face = face
        self.transform: Transform = similarity(face.points)
        self._points = apply(self.transform, face.points)
        self._carry = self._last
        self._velocity = np.zeros_like(PROBES)
        self._time = time
        self._anchor(warp(gray, self.transform), time)

    def step(self, gray: Gray, time: float) -> Followed:
        """The next frame, uint8 (H, W)."""
        picture = warp(gray, self.transform)
        reading = self._meter.measure(picture)
        aligned = AlignedFace(self.face.track, time, picture, self.transform)
        moved = apply(reading.head, PROBES) - PROBES
        lost = reading.fit < FIT_LOST or not np.abs(moved).max() < SIZE / 4
        if not lost:
            self._last = self._carry + reading.displacement
            self._follow(reading.head, moved, time)
        else:
            self._meter.restart()
        self._fit = reading.fit
        self._time = time
        head = float(np.hypot(*self._velocity.T).max())
        return Followed(aligned, self._last, reading.eyes, head, lost)

    def rest(self, gray: Gray, time: float) -> bool:
        """Called while nothing moves: renews the anchor when it is old or no longer looks like the face.

        Returns whether it did: then aligned places are no longer those of before.
        """
        if time - self._anchored <= ANCHOR_AGE and self._fit >= FIT_STALE:
            return False
        carried = self._carried()
        if not alignable(carried):
            return False
        self.transform = similarity(carried.astype(np.float32))
        self._points = apply(self.transform, carried)
        self._carry = self._last
        self._anchor(warp(gray, self.transform), time)
        return True

    def carried(self) -> Face:
        """The face as last detected, its landmarks and box carried to the latest frame."""
        points = self._carried()
        (x0, y0), (x1, y1) = points.T.min(axis=1).tolist(), points.T.max(axis=1).tolist()
        was = self.face
        return Face(was.track, (x0, y0, x1, y1), points.astype(np.float32, order="C"), was.score, was.pose)

    def _carried(self) -> NDArray[np.float64]:
        inverse = cv2.invertAffineTransform(self.transform)
        return (inverse[:, :2] @ self._points.T + inverse[:, 2:]).T  # the long side contiguous: half the time

    def agrees(self, detected: Face, transform: Transform) -> bool:
        """Whether a detection made when ``transform`` was in use puts the face where registration did.

        When it does, its landmarks are taken over for the next anchor.
        """
        points = apply(transform, detected.points)
        if not alignable(points):
            return False
        here = similarity(points.astype(np.float32))
        scale = float(np.hypot(here[0, 0], here[0, 1]))
        moved = np.hypot(*(apply(here, PROBES) - PROBES).T).max()
        if moved > OFF_PLACE or abs(np.log(scale)) > OFF_SCALE:
            return False
        self._points = points
        self.face = detected
        return True

    def _anchor(self, picture: Gray, time: float) -> None:
        self._meter.anchor(picture, self._points)
        self._anchored = time
        self._fit = 1.0

    def _follow(self, head: Transform, moved: NDArray[np.float64], time: float) -> None:
        step = max(time - self._time, 1e-4)
        keep = math.exp(-step / HEAD_MEMORY)
        self._velocity = keep * self._velocity + ((1 - keep) / step) * moved
        self.transform = _compose(cv2.invertAffineTransform(head), self.transform)
        self._meter.follow()


def follow_clip(face: Face, frames: Iterable[Frame]) -> Ring:
    """The aligned pictures of a face over a short recording, as the pipeline would have taken them.

    frames: from the one in which ``face`` was detected; those more than ``ring.SPAN`` before the last are forgotten.
    Where the face is lost the ring ends, and no more frames are taken.
    """
    ring, follower = Ring(), None
    for frame in frames:
        if follower is None:
            follower = Follower(face, frame.gray, frame.time)
        followed = follower.step(frame.gray, frame.time)
        if followed.lost:
            break
        ring.push(followed.aligned, frame.lost)
    return ring


def _compose(outer: Transform, inner: Transform) -> Transform:
    """outer after inner, both float64 (2, 3)."""
    both = outer[:, :2] @ inner
    both[:, 2] += outer[:, 2]
    return both
