"""A movement in progress: its origin, its extent, and its course from the latest measurements.

The course is the displacement *projected* on that at the apex, each region weighted by its precision: a share of 0 is
the origin, 1 the apex. It is far less noisy than the displacement's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from realtime_mer.records import Floats
from realtime_mer.spotting.baseline import ACTIVE, NOISE_FLOOR, ROUNDING


class Past(NamedTuple):
    """The stored part of a measurement. time: s, and displacement: float32 (R, 2) px, averaged over ``smoothing_s``.
    head, eyes: as in ``Measurement``."""

    time: float
    displacement: Floats
    head: float
    eyes: float


History = Sequence[Past]  # oldest first


@dataclass(slots=True)
class Candidate:
    """A movement that was noticed and has not ended.

    entered: s, when it was noticed. apex: s, and peak: the activity there. vector: float32 (R, 2) px, from the origin
    to the apex. origin: float32 (R, 2) px, positions of the regions just before. noise: float32 (R,) px, their noise at
    rest. least: px, the least strength that counts.
    """

    id: int
    entered: float
    apex: float
    peak: float
    vector: Floats
    origin: Floats
    noise: Floats
    least: float

    def share(self, displacement: Floats) -> float:
        """The position of (R, 2) px along the course: 0 at the origin, 1 at the apex."""
        return along(displacement - self.origin, self.vector, self.noise)

    def onset(self, history: History, fraction: float, look_back_s: float) -> float:
        """The last time below ``fraction`` of its peak before it was noticed, or the time of the minimum."""
        onset, lowest = self.entered, np.inf
        for kept in reversed(history):
            if kept.time > min(self.apex, self.entered):
                continue
            if kept.time < self.entered - look_back_s:
                break
            share = self.share(kept.displacement)
            if share < lowest:
                onset, lowest = kept.time, share
            if share <= fraction:
                break
        return onset

    def first(self, history: History, onset: float, share: float) -> float:
        """The first time at ``share`` of its peak."""
        return next((m.time for m in history if m.time >= onset and self.share(m.displacement) >= share), self.apex)

    def still(self, history: History, start: float, most: float) -> tuple[float, float]:
        """The first time from ``start`` and the latest share of the peak; infinite if it varied by over ``most``."""
        late = [kept for kept in history if kept.time >= start - ROUNDING]
        shares = [self.share(late[k].displacement) for k in {0, len(late) // 3, 2 * len(late) // 3, -1}]
        latest = self.share(late[-1].displacement)
        return late[0].time, latest if max(shares) - min(shares) <= most else np.inf


def along(away: Floats, way: Floats, noise: Floats) -> float:
    """``away`` projected on ``way``, both (R, 2) px: 1 when they are equal. noise: (R,) px."""
    target = way[ACTIVE]
    weighted = target / (noise[ACTIVE, None] + NOISE_FLOOR) ** 2
    return float(np.vdot(weighted, away[ACTIVE])) / max(float(np.vdot(weighted, target)), 1e-9)
