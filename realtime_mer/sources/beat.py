"""Finds the regular beat of a camera from the arrival times of its frames, and the beats without a frame.

Frames are captured at ``start + n * period``; each arrives some time later, none earlier. A network delays frames and
delivers them in bursts and with jitter, but the last frame of a burst is fresh. So with ``excess = moment / period -
frames so far``, a delayed frame lies above the ones after it, and the lowest excess of all later moments (the floor) is
flat if the beat is regular. A lost frame raises the floor by one permanently; a change of the rate tilts it.

The period is the one that explains the gaps between moments with the fewest losses and the least jitter (a likelihood
over a grid of periods, for each stretch); it is then refined with the phase of the moments (the peak of their
periodogram), so that an error does not accumulate over the stretch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST = 8  # moments needed for a fit
SPREAD = 0.2  # standard deviation of a gap, periods: for two moments with uniform jitter of half a period
EARLY = 12.0  # largest cost of a gap too short for its frames, which were delayed before it; this is rare
LOSS = 0.7  # cost of one lost frame: the explanation with the fewest losses is the most likely
LOSSES = 8  # in one gap; more losses cost no more, because a stall loses many at once
CHANGE = 16.0  # cost of a change of the rate; half of it to leave the period known so far
SAME = 0.12  # periods closer than this (natural logarithm) are the same: cameras change their rate in larger steps
SLOWEST, FASTEST = 2.5, 0.4  # candidate periods, in units of the median time per frame
STEP_FRAMES = 0.06  # between two candidates, the end of a usual gap moves by this part of a frame
COARSEST, FINEST = 0.02, 0.0025  # bounds for that step, relative
CLEAR = 0.5  # length of the mean phase vector: 1 without jitter, 0.64 with half a period of it, 0 when there is no beat


class Beat(NamedTuple):
    """The beat of one stretch of moments.

    period: s. lost: (F,) frames lost before each moment, from 0 at the first. late: (F,) delay of each moment, periods.
    clear: False when the moments show no beat; losses are then unknown, and ``lost`` is 0. phase: (F,) distance of each
    moment from its beat, periods.
    """

    period: float
    lost: Ints
    late: Floats
    clear: bool
    phase: Floats


class Search:
    """The cost of each period for each gap between ``moments`` (F,), s, with ``counts`` (F,) frames up to each.

    known: the period so far, s, or None.
    """

    def __init__(self, moments: Floats, counts: Ints, known: float | None) -> None:
        gaps, frames = np.diff(moments), np.diff(counts)
        usual = float(np.median(gaps / frames))
        self.step = float(np.clip(STEP_FRAMES / np.percentile(frames, 75), FINEST, COARSEST))
        self._periods = usual * np.exp(np.arange(np.log(FASTEST), np.log(SLOWEST), self.step))
        missing = gaps / self._periods[:, None] - frames
        whole = np.maximum(np.round(missing), 0)
        costs = np.minimum((missing - whole) ** 2 / (2 * SPREAD**2), EARLY) + LOSS * np.minimum(whole, LOSSES)
        self._total: Floats = np.cumsum(costs, axis=1)
        self._known = known

    def period(self) -> float:
        """The best period for all gaps, s."""
        costs = self._total[:, -1].copy()
        if self._known is not None:
            costs[np.abs(np.log(self._periods / self._known)) > self.step] += CHANGE / 2
        return float(self._periods[costs.argmin()])

    def change(self, least: int) -> tuple[float, float, int] | None:
        """The period before and after a change of the rate, s, and the gap in which it changed; None without one.

        least: moments after it that are needed for certainty.
        """
        total, last = self._total, self._total.shape[1]
        if last < LEAST + least:
            return None
        before = total[:, LEAST - 2 : last - least]
        after = total[:, -1:] - total[:, LEAST - 1 : last - least + 1]
        costs = before.min(axis=0) + after.min(axis=0)
        at = int(costs.argmin())
        if at == len(costs) - 1 or costs[at] + CHANGE > total[:, -1].min():
            return None  # there is none, or it is too recent to be certain
        first, second = (float(self._periods[part[:, at].argmin()]) for part in (before, after))
        return None if abs(np.log(first / second)) < SAME else (first, second, at + LEAST - 1)


def fit(moments: Floats, counts: Ints, near: float, step: float) -> Beat:
    """The beat with a period within a relative ``step`` of ``near`` (s). ``moments`` and ``counts`` as in Search."""
    since = moments - moments[0]
    # A period that is wrong by 1 / beats goes through all phases; a tenth of that is fine enough.
    tries = near * (1 + np.linspace(-step, step, 2 * int(min(10 * step * since[-1] / near, 1000)) + 3))
    period = float(tries[np.abs(np.exp(2j * np.pi * since / tries[:, None]).sum(axis=1)).argmax()])
    excess = since / period - (counts - counts[0])
    floor = np.minimum.accumulate(excess[::-1])[::-1]
    fresh = excess - floor < 0.5
    phase = np.exp(2j * np.pi * excess[fresh]).mean()
    middle = float(np.angle(phase)) / (2 * np.pi)
    level = np.round(floor - middle).astype(np.int64)
    clear = bool(abs(phase) > CLEAR and np.count_nonzero(fresh) >= LEAST)
    lost = level - level[0] if clear else np.zeros_like(level)
    return Beat(period, lost, excess - floor, clear, excess - middle - level)
