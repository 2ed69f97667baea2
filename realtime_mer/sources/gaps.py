"""Estimates how many frames a live source missed, from capture times alone. ``feed`` counts drops.

Only the last frame of each burst is used; the beat of these moments is found repeatedly in a moving window (``beat``),
so that an error is corrected while it can still be seen.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from realtime_mer.sources.beat import LEAST, Beat, Ints, Search, fit

RECENT_FRAMES = 64  # gaps in the mean that separates bursts
START_FRAMES = 48  # gaps needed for that mean: three bursts of 16
APART = 0.7  # a gap of more than this part of the mean ends a burst
FASTEST = 0.3  # the mean is at least this part of the period, because after a stall many frames arrive at once
WINDOW, LONGEST = 96, 384  # moments used to find the beat; and while losses are uncertain
SETTLE = 32  # moments that leave the window together; losses up to them are final
EVERY = 4  # moments between two fits; SETTLE while everything is regular
OFF = 0.5  # a moment further from its beat than this, periods, is irregular
PATIENCE = 4  # moments after a gap in which frames that seem lost may still arrive
FALLING = 0.5  # decrease of the excess over these moments while delayed frames still arrive, frames
SURE = 16  # moments after a change of the rate before it is believed
RAMP_GAPS, RAMP = 12, 0.35  # this many losses per frame over these gaps may be a change of the rate: wait
SLIGHT = 0.1  # a slower rate would look like more losses per frame than this
UNJUDGED = 0.1  # with more than this part of the frames undecided there is no count


class Gaps:
    """Estimates the number of missing frames from the capture times of the others.

    Losses before the end of the first burst cannot be known. If the times show no beat, nothing is counted.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT_FRAMES)  # gaps, s
        self._early: list[tuple[float, int]] | None = []  # the first frames, until bursts can be distinguished
        self._last: float | None = None
        self._period: float | None = None
        self._next: tuple[float, int, float] | None = (
            None  # a moment, frames up to it, its lateness, if everything is regular
        )
        self._frames = self._unjudged = self._fitted = 0
        self._moments: list[float] = []  # the last frame of each burst, s
        self._counts: list[int] = []  # frames up to each
        self._settled = self._open = self._reported = 0  # lost up to the window, in it, and as reported by judge()

    @property
    def usual(self) -> float | None:
        """The usual interval between frames, s; None after too few frames."""
        return self._period or self._mean()

    @property
    def missed(self) -> int | None:
        """Frames missed so far; None if unknown."""
        pending = self._frames - sum(self._counts[:1])  # read by other threads, so atomically
        unjudged = self._unjudged + (0 if self._period else pending + len(self._early or ()))
        known = unjudged <= UNJUDGED * self._frames and self._frames > 0
        return max(self._settled + self._open, 0) if known else None

    def judge(self, time: float, skipped: int = 0) -> int:
        """Frames now known to be missed, most of them shortly before ``time``, the capture time of a frame, s.

        skipped: frames since the last one that exist but could not be used.
        """
        if self._early is None:
            return self._add(time, skipped)
        if self._early:
            self._recent.append(time - self._early[-1][0])
        self._early.append((time, skipped))
        return self._begin() if len(self._recent) >= START_FRAMES else 0

    def finish(self) -> None:
        """Call when no more frames will come, or none for a while: losses up to the last one are final."""
        if self._early and len(self._early) > LEAST:
            self._begin()
        if self._last is not None:
            self._moments.append(self._last)
            self._counts.append(self._frames)
            if len(self._moments) > LEAST:
                self._fit(0)

    def restart(self, hole: float) -> int:
        """Frames missed in ``hole``, s, before the next frame, while a connection was down. A new beat begins after
        it."""
        self.finish()
        if not self._period and self._counts:
            self._unjudged += self._frames - self._counts[0]
        self._settled += self._open
        if self.usual:
            self._settled += max(round(hole / self.usual) - 1, 0)
        self._open, self._last, self._early, self._next = 0, None, [], None
        self._recent.clear()
        self._moments.clear()
        self._counts.clear()
        return self._report()

    def _mean(self) -> float | None:
        """Mean of the recent gaps without the longest, which may be a stall, s."""
        if len(self._recent) < LEAST:
            return None
        return (sum(self._recent) - max(self._recent)) / (len(self._recent) - 1)

    def _begin(self) -> int:
        early, self._early = self._early or [], None
        return sum([self._add(*frame) for frame in early])

    def _add(self, time: float, skipped: int) -> int:
        new = 0
        if self._last is not None:
            gap = time - self._last
            if gap > APART * max(self._mean() or 0.0, FASTEST * (self._period or 0.0)):
                new = self._burst_ended(self._last)
            self._recent.append(gap)
        self._last = time
        self._frames += 1 + skipped
        return new

    def _burst_ended(self, time: float) -> int:
        self._moments.append(time)
        self._counts.append(self._frames)
        self._fitted += 1
        if self._next is not None and self._period:
            moment, count, late = self._next
            if abs((time - moment) / self._period - (self._frames - count) + late) > OFF:
                self._next = None
        if len(self._moments) <= LEAST or self._fitted < (EVERY if self._next is None else SETTLE):
            return 0
        self._fitted = 0
        self._fit(PATIENCE)
        return self._report()

    def _report(self) -> int:
        new = max(self._settled + self._open - self._reported, 0)
        self._reported += new
        return new

    def _fit(self, patience: int) -> None:
        moments, counts = np.array(self._moments), np.array(self._counts)
        search = Search(moments, counts, self._period)
        change, beat = search.change(SURE if patience else LEAST), None
        if change is not None and self._period:
            beat = _unchanged(fit(moments, counts, self._period, search.step), counts, change[2])
        if beat is None and change is not None:
            before, after, at = change
            self._settle(fit(moments[: at + 1], counts[: at + 1], before, search.step), at)
            between = (moments[at + 1] - moments[at]) / max(before, after) - (counts[at + 1] - counts[at])
            self._settled += max(round(between), 0)
            self._forget(1)
            moments, counts = moments[at + 1 :], counts[at + 1 :]
            beat = fit(moments, counts, after, search.step)
        elif beat is None:
            beat = fit(moments, counts, search.period(), search.step)
        self._period = beat.period if beat.clear else None
        steady = not patience or _steady(beat, counts)
        if len(moments) > (WINDOW if steady else LONGEST):
            self._settle(beat, SETTLE)
            beat = Beat(beat.period, beat.lost[SETTLE:] - beat.lost[SETTLE], beat.late[SETTLE:], beat.clear, beat.phase)
        if steady:
            self._open = int(beat.lost[-1 - patience])
        calm = steady and beat.clear and beat.lost[-1] == beat.lost[-1 - patience]
        self._next = (moments[-1], int(counts[-1]), float(beat.phase[-1])) if calm else None

    def _settle(self, beat: Beat, moments: int) -> None:
        """Makes the losses of the first moments final, and drops these moments."""
        self._settled += int(beat.lost[moments])
        self._open = 0
        if not beat.clear:
            self._unjudged += self._counts[moments] - self._counts[0]
        self._forget(moments)

    def _forget(self, moments: int) -> None:
        del self._moments[:moments], self._counts[:moments]


def _unchanged(beat: Beat, counts: Ints, at: int) -> Beat | None:
    """``beat``, at the known rate, if it explains what looks like another rate after gap ``at``: delayed frames arrive
    faster than usual until all have arrived."""
    rises, frames = beat.lost[-1] - beat.lost[at + 1], counts[-1] - counts[at + 1]
    return beat if beat.clear and rises < SLIGHT * frames else None


def _steady(beat: Beat, counts: Ints) -> bool:
    """False while delayed frames are still arriving, or the rate may be changing."""
    excess = beat.late + beat.lost
    if excess[-1] < excess[-1 - PATIENCE] - FALLING:
        return False
    rises, frames = np.diff(beat.lost[-RAMP_GAPS - 1 :]), np.diff(counts[-RAMP_GAPS - 1 :])
    return bool(rises.sum() - rises.max() <= RAMP * frames.sum())
