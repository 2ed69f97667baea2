"""How many frames a live source missed, judged from capture times alone. Drops are counted in feed.py."""

from __future__ import annotations

from collections import deque
from statistics import median

HISTORY_FRAMES = 64  # intervals over which the running median is taken
SETTLED_FRAMES = 8  # intervals needed before a gap can be judged
PATIENCE_FRAMES = 5  # how long late frames are waited for: delayed ones come faster than the usual interval
CERTAIN = 0.25  # by arrival times a frame is missed when at least 1 - 0.25 intervals went by without it


class Gaps:
    """Judges from the capture times how many frames were never captured.

    A gap of more than 1.5 running median intervals misses ``round(gap / median) - 1`` frames. Arrival times
    (``bursty``) also show gaps when one frame came early, or the network stalls and then hands over all at once: those
    are judged some frames later, when nothing has come to fill the gap, and in doubt are not counted.
    """

    def __init__(self, bursty: bool) -> None:
        self.usual: float | None = None  # running median interval, s
        self._bursty = bursty
        self._intervals: deque[float] = deque(maxlen=HISTORY_FRAMES)
        self._last: float | None = None
        self._owed: float | None = None  # frames due and not seen since a gap began
        self._least, self._waited = 0.0, 0  # the least that was owed since, and frames that came since then
        self._early = 0.0  # by how many intervals the frame before was early, as a negative number

    def judge(self, time: float) -> int:
        """Frames missed before the one captured at ``time`` (s)."""
        if self._last is None:
            self._last = time
            return 0
        interval, self._last = time - self._last, time
        usual = self.usual
        self._intervals.append(interval)
        if len(self._intervals) >= SETTLED_FRAMES:
            self.usual = median(self._intervals)
        if usual is None:
            return 0
        due = interval / usual
        if not self._bursty:
            return round(due) - 1 if due > 1.5 else 0
        early, self._early = self._early, min(due - 1, 0.0)
        if self._owed is None:
            if due > 1.5:
                self._owed = self._least = due - 1 + early
                self._waited = 0
            return 0
        self._owed += due - 1
        if due > 1.5 or self._owed < self._least - 0.5:  # the gap grows, or is being filled
            self._least, self._waited = self._owed, 0
        else:
            self._waited += 1
        if self._owed >= 1 - CERTAIN and self._waited < PATIENCE_FRAMES:
            return 0
        missed, self._owed = max(int(self._owed + CERTAIN), 0), None
        return missed
