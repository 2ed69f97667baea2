"""The recent measurements of one face: the only memory of the pipeline."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from realtime_mer.records import Gray, Measurement

SPAN: Final = 2.5  # s: the longest reported movement, and the look-back to its onset
NEAR: Final = (
    0.0125  # s: frames this close to a key frame are averaged with it, because a face moves little in that time
)


class KeyFrames(NamedTuple):
    """Aligned images, uint8 (S, S), around the onset and the apex of one movement, all of one face."""

    onset: Sequence[Gray]
    apex: Sequence[Gray]


class Ring:
    """Measurements of one track by time; those older than SPAN seconds are dropped. 16 kB each, for the aligned
    image."""

    def __init__(self) -> None:
        self._kept: deque[Measurement] = deque()
        self._lost: deque[tuple[float, int]] = deque()
        self._repeats: set[float] = set()  # times of repeated frames

    def push(self, measurement: Measurement, lost: int = 0, repeated: bool = False) -> None:
        """Adds the newest one; ``lost`` frames are missing before it. repeated: its frame repeats the previous one."""
        self._kept.append(measurement)
        if repeated:
            self._repeats.add(measurement.time)
        if lost:
            self._lost.append((measurement.time, lost))
        # the second newest always stays, so that a gap longer than SPAN is noticed
        while len(self._kept) > 2 and self._kept[0].time < measurement.time - SPAN:
            self._repeats.discard(self._kept.popleft().time)
        while self._lost and self._lost[0][0] < measurement.time - SPAN:
            self._lost.popleft()

    def key_frames(self, onset: float, apex: float) -> KeyFrames:
        """The images for the recognizer's input. onset, apex: s."""
        return KeyFrames(self._around(onset), self._around(apex))

    def frame(self, time: float) -> int:
        """Index of the frame nearest to ``time``; of two, the earlier one."""
        return self._nearest(time).index

    def rate(self, start: float, end: float) -> tuple[float, float, int]:
        """Effective frame rate (frames/s), longest interval (s) and frames known lost from ``start`` to ``end``.

        Repeated frames do not count. The new frame before the start counts, so that a gap across the onset is noticed.
        Rate 0 when there is one frame only.
        """
        times = [kept.time for kept in self._kept if kept.time not in self._repeats]
        last = bisect_right(times, end)
        # a rate needs at least two frames, however few new ones are in a movement
        first = max(min(bisect_left(times, start) - 1, last - 2), 0)
        inside = times[first:last]
        if len(inside) < 2:
            return 0.0, 0.0, 0
        steps = [b - a for a, b in pairwise(inside)]
        lost = sum(n for t, n in self._lost if inside[0] < t <= end)
        return (len(inside) - 1) / (inside[-1] - inside[0]), max(steps), lost

    def _around(self, time: float) -> list[Gray]:
        """The images at most NEAR from ``time``, and at least the nearest one."""
        near = [kept.aligned for kept in self._kept if abs(kept.time - time) <= NEAR]
        return near or [self._nearest(time).aligned]

    def _nearest(self, time: float) -> Measurement:
        return min(self._kept, key=lambda kept: abs(kept.time - time))
