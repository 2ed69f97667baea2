"""Models the face at rest: how much its regions move, and so how large a change must be to count.

A movement is noticed as a change over the last ``change_s`` seconds, not as a distance from a resting position: heads
sway and faces settle over seconds, and such a drift would otherwise be reported. ``detector`` decides about movements.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import BROW_REGIONS, EYE_REGIONS, NAMES, REGIONS
from realtime_mer.records import Floats
from realtime_mer.spotting.lengths import top_two

ROUNDING: Final = 1e-6  # s: precision of clocks that started long ago
NOISE_FLOOR: Final = 0.04  # px: precision of registration, however still the face
NOISE_CEILING: Final = 0.5  # px: a restless face must not raise the threshold without limit
LEVEL_NOISE: Final = (0.15, 1.0)  # bounds of the activity's own noise, in units of it
RAYLEIGH_MEDIAN: Final = 1.177  # median length of a 2-D Gaussian of unit deviation
NORMAL_MEDIAN: Final = 0.674  # median size of a unit Gaussian

# Lids open no event: they blink and follow the gaze.
ACTIVE: Final = np.array([i for i in range(len(REGIONS)) if i not in EYE_REGIONS])
# Regions that a blink moves: brows, lids, cheeks.
UPPER: Final = frozenset((*BROW_REGIONS, *EYE_REGIONS, NAMES.index("right cheek"), NAMES.index("left cheek")))
_UPPER_PLACES: Final = sorted(UPPER)


class Baseline:
    """Follows one face. ``push`` each measurement, then ``learn`` from it unless a movement is in progress."""

    def __init__(self, settings: SpotConfig) -> None:
        self._settings = settings
        self._recent: deque[tuple[float, Floats]] = deque()
        self._lagged: deque[tuple[float, Floats]] = deque()
        self.noise = np.full(len(REGIONS), 4 * NOISE_FLOOR, np.float32)
        self.position: Floats | None = None  # (R, 2) px, followed slowly
        self.level, self.level_noise = 1.0, 0.5  # of the activity at rest

    @property
    def least(self) -> float:
        """The least strength of a movement, px, given the noise of this recording."""
        mean = sum(self.noise[ACTIVE].tolist()) / len(ACTIVE)
        return max(self._settings.min_shift_px, self._settings.visible_noise * mean)

    def push(self, time: float, displacement: Floats) -> tuple[float, Floats, Floats]:
        """One measurement, float32 (R, 2) px.

        Returns the middle of the averaged times, the average over ``smoothing_s``, and the one of ``change_s`` ago.
        """
        settings = self._settings
        self._recent.append((time, displacement))
        while self._recent[0][0] < time - settings.smoothing_s - ROUNDING:
            self._recent.popleft()
        count = len(self._recent)
        smooth = displacement if count == 1 else np.add.reduce([d for _, d in self._recent]) / np.float32(count)
        center = (self._recent[0][0] + time) / 2
        if self.position is None:
            self.position = smooth.copy()
        self._lagged.append((time, smooth))
        while len(self._lagged) > 1 and self._lagged[1][0] <= time - settings.change_s:
            self._lagged.popleft()
        return center, smooth, self._lagged[0][1]

    def restart(self) -> None:
        """Forgets the positions during a movement that has ended, so that the next one does not start from them."""
        while len(self._lagged) > 1:
            self._lagged.popleft()

    def recall(self, other: Baseline) -> None:
        """Copies the resting noise of ``other``, but not the resting position."""
        self.noise, self.level, self.level_noise = other.noise, other.level, other.level_noise

    def activity(self, away: Floats, upper: bool) -> float:
        """Mean of the two most displaced regions, in units of their noise.

        away: float32 (R,) px, how far each is displaced. upper: whether the upper face counts; it does not after a
        blink.
        """
        z = away / (self.noise + NOISE_FLOOR)
        if not upper:
            z[_UPPER_PLACES] = 0.0
        return top_two(z[ACTIVE])

    def learn(self, step: float, smooth: Floats, away: Floats, level: float, first: bool) -> None:
        """Learns from a frame without a known movement, ``step`` seconds after the last one.

        Medians are followed, on a logarithmic scale with bounded steps, so that an unnoticed movement, or a restless
        start, does not count as noise. away: float32 (R,) px, lengths of the change. first: learn fast, because the
        face is new.
        """
        assert self.position is not None
        settings = self._settings
        share = 1 - math.exp(-step / (settings.settle_s / 4 if first else settings.noise_s))
        error = np.log((away / np.float32(RAYLEIGH_MEDIAN) + np.float32(1e-3)) / self.noise)
        self.noise *= np.exp(np.float32(share) * _bounded(error, -1, 1))
        _bounded(self.noise, NOISE_FLOOR / 4, NOISE_CEILING)
        self.position += np.float32(1 - math.exp(-step / settings.baseline_s)) * (smooth - self.position)
        off = level - self.level
        spread = abs(off) / NORMAL_MEDIAN + 1e-3
        self.level_noise *= math.exp(share * min(max(math.log(spread / self.level_noise), -1.0), 1.0))
        self.level_noise = min(max(self.level_noise, LEVEL_NOISE[0]), LEVEL_NOISE[1])
        self.level += share * min(max(off, -2 * self.level_noise), 2 * self.level_noise)


def _bounded(values: Floats, low: float, high: float) -> Floats:
    """Clips ``values`` in place; np.clip takes five times as long for so few."""
    np.maximum(values, np.float32(low), out=values)
    return np.minimum(values, np.float32(high), out=values)
