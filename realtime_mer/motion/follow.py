"""Follows one face from frame to frame: keeps it aligned without the landmark detector, and measures its regions.

The detector's landmarks jitter by more than a micro-expression moves. So they only say where to start: the alignment
follows the head by registration to the anchor, and later detections check it, but never move it during a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.face.align import Transform, alignable, apply, inverse, similarity, warp
from realtime_mer.face.regions import EYE_DISTANCE, EYES_CENTER, REGIONS, SIZE
from realtime_mer.motion.registration import Meter
from realtime_mer.motion.ring import Ring
from realtime_mer.records import Face, Floats, Frame, Measurement

FIT_LOST: Final = 0.35  # share of contrast explained below which the face is not at the expected position
FIT_STALE: Final = 0.75  # below this the anchor no longer resembles the face: take a new one when quiet
ANCHOR_AGE: Final = 2.0  # s after which a quiet face gets a new anchor, to allow for changes of light and hair
HEAD_MEMORY: Final = 0.06  # s over which the head's speed is averaged
OFF_PLACE: Final = 8.0  # px: if a detection puts the eyes further away, registration has slipped
OFF_SCALE: Final = 0.2  # or that differs this much in size
# px: a keyframe makes a region jump by 0.03 to 0.3 (x264 at CRF 23). More counts as movement.
KEYFRAME_STEP: Final = 0.4
# s: between frames further apart, a true movement may change its step by as much. So the part attributed to the
# keyframe decreases with the square of the interval, as that change grows.
KEYFRAME_INTERVAL: Final = 1 / 60
PACE_MEMORY: Final = 0.05  # s over which the speed of each region is averaged
# px/s: a region this fast is in a movement that the codec lags behind, and a keyframe shows its true position, so
# nothing is undone
PACE_MOVING: Final = 2.0
# Three points that show every kind of head motion: between the eyes, and below them left and right.
PROBES: Final = np.array(
    [EYES_CENTER, (EYES_CENTER[0] - EYE_DISTANCE / 2, 90.0), (EYES_CENTER[0] + EYE_DISTANCE / 2, 90.0)]
)


class Follower:
    """Follows the face that was detected as ``face`` in ``frame``."""

    def __init__(self, face: Face, frame: Frame) -> None:
        self.face = face
        self.anchors = 0  # number of anchors so far; aligned positions are comparable while it stays the same
        self._meter = Meter()
        self._carry = np.zeros((len(REGIONS), 2), np.float32)
        self._last = self._carry
        self.reinitialize(face, frame)

    def reinitialize(self, face: Face, frame: Frame) -> None:
        """Starts again from a detection in ``frame``; earlier measurements are not continued."""
        self.face = face
        self.transform: Transform = similarity(face.points)
        self._take(apply(self.transform, face.points))
        self._carry = self._last
        self._velocity = np.zeros_like(PROBES)
        self._time = frame.time
        self._pace = np.zeros_like(self._last)  # px/s, of each region
        self._measured = 0  # consecutive frames since the face was placed or lost
        self._anchor(frame)

    def step(self, frame: Frame) -> Measurement:
        """Measures the next frame."""
        transform = self.transform
        picture = warp(frame.gray, transform)
        displacement, noise, head, eyes, fit = self._meter.measure(picture)
        moved = apply(head, PROBES) - PROBES
        lost = fit < FIT_LOST or not np.abs(moved).max() < SIZE / 4
        if not lost:
            self._continue(displacement, frame)
            self._follow(head, moved, frame.time)
        else:
            self._meter.restart()
            self._pace, self._measured = np.zeros_like(self._pace), 0
        self._time = frame.time
        speed = float(np.hypot(*self._velocity.T).max())
        stale = self.old(frame.time) or fit < FIT_STALE
        where = self._last, noise, speed, eyes, fit
        return Measurement(frame.index, frame.time, *where, lost, stale, picture, transform)

    def old(self, time: float) -> bool:
        """Whether the anchor is due to be renewed at ``time`` (s), once the face is quiet."""
        return time - self._anchored > ANCHOR_AGE

    def renew(self, frame: Frame) -> None:
        """Takes a new anchor from the frame that was just measured; call it while nothing moves."""
        carried = self._carried()
        if not alignable(carried):
            return
        self.transform = similarity(carried)
        self._take(apply(self.transform, carried))
        self._carry = self._last
        self._anchor(frame)

    def carried(self) -> Face:
        """The face as last detected, its landmarks and box carried to the latest frame."""
        points = self._carried()
        x, y = points[self._outer].T.tolist()
        x0, y0, x1, y1 = min(x), min(y), max(x), max(y)
        was = self.face
        return Face(was.track, (x0, y0, x1, y1), points, was.score, was.pose)

    def _carried(self) -> Floats:
        """Its landmarks in the latest frame, (478, 2) px."""
        return np.asarray(cv2.transform(self._points[:, None], inverse(self.transform))[:, 0])

    def agrees(self, detected: Face, transform: Transform) -> bool:
        """Whether a detection made when ``transform`` was in use agrees with registration.

        If so, its landmarks are used for the next anchor.
        """
        points = apply(transform, detected.points).astype(np.float32)
        if not alignable(points):
            return False
        here = similarity(points)
        scale = float(np.hypot(here[0, 0], here[0, 1]))
        moved = np.hypot(*(apply(here, PROBES) - PROBES).T).max()
        if moved > OFF_PLACE or abs(np.log(scale)) > OFF_SCALE:
            return False
        self._take(points)
        self.face = detected
        return True

    def _take(self, points: NDArray[np.floating]) -> None:
        """Stores landmarks (478, 2), aligned px, and those on their convex hull, which bound them wherever they are
        carried."""
        self._points = points.astype(np.float32)
        self._outer = cv2.convexHull(self._points, returnPoints=False)[:, 0]

    def _anchor(self, frame: Frame) -> None:
        self._meter.anchor(warp(frame.gray, self.transform), self._points)
        self._anchored = frame.time
        self.anchors += 1

    def _continue(self, displacement: Floats, frame: Frame) -> None:
        """Continues earlier displacements with ``displacement``, measured in ``frame``.

        When a codec encodes a still face again, every region jumps within that frame and stays there. This jump is not
        a movement: it is removed, as with a new anchor. In the first two frames after a (re)initialization nothing is
        removed, because the previous motion is unknown. A new anchor in between does not matter, because displacement
        continues across it.
        """
        interval = max(frame.time - self._time, 1e-4)
        now = self._carry + displacement
        if frame.keyframe and self._measured > 1:
            coded = _coded(now - self._last, self._pace, interval)
            self._carry, now = self._carry - coded, now - coded
        step = now - self._last if self._measured else np.zeros_like(now)
        keep = math.exp(-interval / PACE_MEMORY)
        self._pace = np.float32(keep) * self._pace + np.float32((1 - keep) / interval) * step
        self._last = now
        self._measured += 1

    def _follow(self, head: Transform, moved: NDArray[np.float64], time: float) -> None:
        step = max(time - self._time, 1e-4)
        keep = math.exp(-step / HEAD_MEMORY)
        self._velocity = keep * self._velocity + ((1 - keep) / step) * moved
        self.transform = _compose(inverse(head), self.transform)
        self._meter.follow()


def follow_clip(face: Face, frames: Iterable[Frame]) -> Ring:
    """The measurements of a face over a short recording, as in the pipeline.

    frames: from the one in which ``face`` was detected; those more than ``ring.SPAN`` before the last are dropped. The
    ring ends where the face is lost, and no more frames are read.
    """
    ring, follower = Ring(), None
    for frame in frames:
        follower = follower or Follower(face, frame)
        measurement = follower.step(frame)
        if measurement.lost:
            break
        ring.push(measurement, frame.lost, frame.repeated)
    return ring


def _coded(step: Floats, pace: Floats, interval: float) -> Floats:
    """The part of ``step``, float32 (R, 2) px from the previous frame to a keyframe ``interval`` s later, that is due
    to the codec.

    pace: (R, 2) px/s, speed of each region so far; the part of the step that continues it is movement.
    """
    rest = step - pace * np.float32(interval)
    still = np.maximum(0, 1 - np.hypot(pace[:, :1], pace[:, 1:]) / PACE_MOVING)
    most = still * KEYFRAME_STEP * min(1.0, (KEYFRAME_INTERVAL / interval) ** 2)
    length = np.hypot(rest[:, :1], rest[:, 1:])
    return np.asarray(rest * np.minimum(1, most / np.maximum(length, 1e-6)), np.float32)


def _compose(outer: Transform, inner: Transform) -> Transform:
    """outer after inner, both float64 (2, 3)."""
    both = outer[:, :2] @ inner
    both[:, 2] += outer[:, 2]
    return both
