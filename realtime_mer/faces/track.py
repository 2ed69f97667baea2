"""Gives every face an identity that it keeps while it stays in view. Pure logic: looks at boxes, never at pictures.

Nobody is recognised: whoever takes another's place at the same size within ``forget`` seconds inherits the identity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from realtime_mer.records import Detection, Face

Box = tuple[float, float, float, float]

# Two boxes can be the same face only if their centres are less than one face size apart, and their sizes differ by
# less than a factor e (whichever mix of both reaches the limit first).
_LIMIT: Final = 1.0


@dataclass(slots=True)
class _Track:
    id: int
    box: Box
    seen: float  # s


class FaceTracks:
    """Turns the detections of successive pictures into faces with stable ids.

    forget: seconds for which the place of a face that is not seen is remembered. A face that comes back in time at
    about the same place and size keeps its id; otherwise it gets a new one. Ids count from 1 and are never reused.
    """

    def __init__(self, forget: float = 2.0) -> None:
        self._forget = forget
        self.reset()

    def reset(self) -> None:
        """Forgets everything and counts from 1 again, for a new recording."""
        self._tracks: list[_Track] = []
        self._next = 1
        self._now = -math.inf

    def update(self, time: float, detections: Sequence[Detection]) -> tuple[Face, ...]:
        """The faces at ``time`` (seconds, not before that of the last call), in the order of ``detections``.

        The result does not depend on that order. Raises ValueError when the time goes back.
        """
        self._advance(time)
        # in the order of their places, so that new ids and ties do not depend on the detector's order
        ranked = sorted(range(len(detections)), key=lambda i: detections[i].box)
        boxes = [detections[i].box for i in ranked]
        owners = _assign([track.box for track in self._tracks], boxes)
        ids = [0] * len(detections)
        for place, (rank, box) in enumerate(zip(ranked, boxes, strict=True)):
            owner = owners.get(place)
            if owner is None:
                track = _Track(self._next, box, time)
                self._next += 1
                self._tracks.append(track)
            else:
                track = self._tracks[owner]
                track.box, track.seen = box, time
            ids[rank] = track.id
        return tuple(Face(id, d.box, d.points, d.score, d.pose) for id, d in zip(ids, detections, strict=True))

    def follow(self, time: float, faces: Iterable[Face]) -> None:
        """Tells where known faces are now, when they were carried along by other means than a detection.

        Faces of unknown (forgotten) tracks are ignored. Raises ValueError when the time goes back.
        """
        self._advance(time)
        known = {track.id: track for track in self._tracks}
        for face in faces:
            if track := known.get(face.track):
                track.box, track.seen = face.box, time

    def _advance(self, time: float) -> None:
        if not time >= self._now:
            raise ValueError(f"time goes back from {self._now} s to {time} s: call reset() before a new recording")
        self._now = time
        self._tracks = [track for track in self._tracks if time - track.seen <= self._forget]


def _distance(a: Box, b: Box) -> float:
    """How unlike two boxes are: 0 for equal ones, infinite when they cannot be the same face."""
    size_a = math.sqrt(max((a[2] - a[0]) * (a[3] - a[1]), 1.0))
    size_b = math.sqrt(max((b[2] - b[0]) * (b[3] - b[1]), 1.0))
    apart = math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2
    distance = math.hypot(apart / ((size_a + size_b) / 2), math.log(size_a / size_b))
    return distance if distance < _LIMIT else math.inf


def _assign(tracks: list[Box], found: list[Box]) -> dict[int, int]:
    """Which track (value) each found box (key) belongs to: the best assignment of all together, not one by one.

    Maximises the sum of limit^2 - distance^2 over the pairs by dynamic programming over the sets of taken boxes;
    exact, and fast for the few faces of one picture. Squares let one face stay put rather than two both jump.
    """
    gains = [[_LIMIT**2 - min(_distance(track, box), _LIMIT) ** 2 for box in found] for track in tracks]

    @cache
    def best(index: int, taken: int) -> tuple[float, tuple[tuple[int, int], ...]]:
        if index == len(tracks):
            return 0.0, ()
        choice = best(index + 1, taken)  # this track is not in the picture
        for place, gain in enumerate(gains[index]):
            if gain > 0 and not taken >> place & 1:
                total, pairs = best(index + 1, taken | 1 << place)
                if total + gain > choice[0]:
                    choice = total + gain, ((place, index), *pairs)
        return choice

    return dict(best(0, 0)[1])
