"""Decides whether a frame continues the previous one. Nothing is measured across a hole, a cut or a change of size.

A recording is interrupted by missing time (lost frames, a broken connection, timestamps that restart), by a cut in an
edited video, and by a new frame size. Each interrupts the movements under way. After a cut the faces are checked at
once, because registration alone may settle on someone else; after a change of size they are detected again.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from statistics import median
from typing import Final, NamedTuple

import cv2
import numpy as np

from realtime_mer.config import SpotConfig
from realtime_mer.records import Frame, Gray

SAMPLES: Final = 32  # rows or columns of the short side that are compared: 10 us a frame
RECENT: Final = 20  # frames over which the usual interval and the usual change are known
KNOWN: Final = 5  # of them, before either can be judged
SLOW: Final = 1.5  # an interval that is long for this recording is this many times the usual one
SUDDEN: Final = 4.0  # a change that is sudden for this recording is this many times the usual one, and
NOISE: Final = 1.0  # gray levels more, which noise and compression may show


class Break(Enum):
    HOLE = "a hole in the recording"
    CUT = "a cut in the recording"
    SIZE = "the frame size changes"


class Broken(NamedTuple):
    """What broke the recording, and the words for it."""

    what: Break
    reason: str


class Continuity:
    """``push`` every frame in order."""

    def __init__(self, settings: SpotConfig) -> None:
        self._settings = settings
        self._time: float | None = None
        self._size = (0, 0)
        self._sample: Gray | None = None
        self._intervals: deque[float] = deque(maxlen=RECENT)
        self._changes: deque[float] = deque(maxlen=RECENT)

    def push(self, frame: Frame) -> Broken | None:
        """What lies between the last frame and this one; None when it follows without a break."""
        sample = _sample(frame)
        first, resized = self._time is None, frame.size != self._size
        change = 0.0
        if not (first or resized) and self._sample is not None:
            change = cv2.norm(sample, self._sample, cv2.NORM_L1) / sample.size
        interval = 0.0 if self._time is None else frame.time - self._time
        broken = None
        if resized and not first:
            broken = Broken(Break.SIZE, f"the frame size changed to {frame.size[0]}x{frame.size[1]} px")
        elif self._cut(change):
            broken = Broken(Break.CUT, Break.CUT.value)
        elif not first and (frame.hole > 0 or self._long(interval)):
            broken = Broken(Break.HOLE, f"a hole of {max(interval, frame.hole):.2f} s in the recording")
        if not first:
            self._intervals.append(interval)
        if not first and broken is None:
            self._changes.append(change)
        self._time, self._size, self._sample = frame.time, frame.size, sample
        return broken

    def _long(self, interval: float) -> bool:
        """Whether a movement could have come and gone in it. A recording that is slow throughout has no holes."""
        known = len(self._intervals) >= KNOWN
        return known and interval > self._settings.max_gap_s and interval > SLOW * median(self._intervals)

    def _cut(self, change: float) -> bool:
        known = len(self._changes) >= KNOWN
        return known and change > self._settings.cut_gray and change > SUDDEN * median(self._changes) + NOISE


def _sample(frame: Frame) -> Gray:
    step = max(1, min(frame.gray.shape) // SAMPLES)
    return np.ascontiguousarray(frame.gray[::step, ::step])
