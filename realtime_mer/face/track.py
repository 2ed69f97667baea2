"""Gives every face a number that it keeps while it stays in view. Pure logic: uses boxes, never images.

Nobody is identified: a face that takes another's place at the same size within ``forget`` seconds gets its number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from realtime_mer.records import Face

Box = tuple[float, float, float, float]

# Two boxes can be the same face only if their centers are less than one face size apart, and their sizes differ by less
# than a factor e (or a combination of both that reaches the limit).
_LIMIT: Final = 1.0


@dataclass(slots=True)
class _Track:
    id: int
    box: Box
    seen: float  # s


class FaceTracks:
    """Turns the detections of successive frames into faces with stable ids.

    forget: seconds for which the position of a face out of view is remembered. A face that comes back in time at about
    the same position and size keeps its id; otherwise it gets a new one. Ids count from 1 and are never reused.
    """

    def __init__(self, forget: float = 2.0) -> None:
        self._forget = forget
        self.reset()

    def reset(self) -> None:
        """Forgets everything and counts from 1 again, for a new recording."""
        self._tracks: list[_Track] = []
        self._next = 1
        self._now = -math.inf

    def forget(self) -> None:
        """Forgets every position, but no id: the next faces get new ids."""
        self._tracks = []

    def update(self, time: float, detections: Sequence[Face]) -> tuple[Face, ...]:
        """The faces at ``time`` (seconds, not before that of the last call), in the order of ``detections``.

        The result does not depend on that order. Raises ValueError when the time goes back.
        """
        self._advance(time)
        # in order of position, so that new ids and ties do not depend on the detector's order
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
        return tuple(replace(face, track=id) for id, face in zip(ids, detections, strict=True))

    def follow(self, time: float, faces: Iterable[Face]) -> None:
        """Updates the positions of known faces that were carried along without a detection.

        Faces of unknown (forgotten) tracks are ignored. Raises ValueError when the time goes back.
        """
        self._advance(time)
        known = {track.id: track for track in self._tracks}
        for face in faces:
            if track := known.get(face.track):
                track.box, track.seen = face.box, time

    def _advance(self, time: float) -> None:
        if not time >= self._now:
            raise ValueError(f"time went back from {self._now} s to {time} s: call reset() before a new recording")
        self._now = time
        self._tracks = [track for track in self._tracks if time - track.seen <= self._forget]


def _distance(a: Box, b: Box) -> float:
    """The distance of two boxes: 0 for equal ones, infinite when they cannot be the same face."""
    size_a = math.sqrt(max((a[2] - a[0]) * (a[3] - a[1]), 1.0))
    size_b = math.sqrt(max((b[2] - b[0]) * (b[3] - b[1]), 1.0))
    apart = math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2
    distance = math.hypot(apart / ((size_a + size_b) / 2), math.log(size_a / size_b))
    return distance if distance < _LIMIT else math.inf


def _assign(tracks: list[Box], found: list[Box]) -> dict[int, int]:
    """Which track (value) each found box (key) belongs to: the best joint assignment.

    Maximizes the sum of limit^2 - distance^2 over the pairs; the squares prefer one face that stays in place over two
    that both jump.
    """
    size = max(len(tracks), len(found))
    cost = [[0.0] * size for _ in range(size)]  # square: a box may go to an empty row, a track to an empty column
    for row, track in enumerate(tracks):
        for column, box in enumerate(found):
            cost[row][column] = min(_distance(track, box), _LIMIT) ** 2 - _LIMIT**2
    pairs = enumerate(_cheapest(cost))
    return {column: row for column, row in pairs if column < len(found) and row < len(tracks) and cost[row][column] < 0}


def _cheapest(cost: list[list[float]]) -> list[int]:
    """The row of each column in the cheapest complete assignment of a square matrix (Kuhn-Munkres, O(n^3)).

    Rows are added one after the other, each along the shortest augmenting path under the potentials so far (Jonker &
    Volgenant 1987). Written by hand, because SciPy would be a large dependency for a handful of faces.
    """
    size = len(cost)
    row_of = [-1] * (size + 1)  # the last column is virtual: it holds the row being added
    by_row, by_column = [0.0] * size, [0.0] * (size + 1)
    for new in range(size):
        row_of[size] = new
        column = size
        slack, previous, seen = [math.inf] * size, [size] * size, set[int]()
        while row_of[column] >= 0:
            row = row_of[column]
            seen.add(column)
            for other in set(range(size)) - seen:
                reduced = cost[row][other] - by_row[row] - by_column[other]
                if reduced < slack[other]:
                    slack[other], previous[other] = reduced, column
            nearest = min(set(range(size)) - seen, key=lambda c: slack[c])
            step = slack[nearest]
            for other in seen:
                by_row[row_of[other]] += step
                by_column[other] -= step
            for other in set(range(size)) - seen:
                slack[other] -= step
            column = nearest
        while column != size:
            row_of[column] = row_of[previous[column]]
            column = previous[column]
    return row_of[:size]
