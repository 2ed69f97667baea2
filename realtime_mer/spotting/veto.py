"""Why a movement is not a micro-expression: the rules, and what they need to know of the movements before."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import EYE_REGIONS, MOUTH_REGIONS
from realtime_mer.records import Floats, Kind, Measurement
from realtime_mer.spotting.baseline import ACTIVE, UPPER

MOUTH: Final = frozenset(MOUTH_REGIONS)
MOVED: Final = 0.5  # a region moved when it was displaced by this share of the most displaced one
RECENT: Final = 8  # ends of movements that are kept: more than fit into the longest isolation


class Veto:
    """The rules of one face. It remembers when the last movements ended: a run of them is speech, or an expression."""

    def __init__(self, settings: SpotConfig) -> None:
        self._settings = settings
        self._ended: deque[float] = deque(maxlen=RECENT)  # s, offsets of recent movements

    def ended(self, offset: float, vector: Floats) -> None:
        """A movement has ended; ``vector`` float32 (R, 2) px is its displacement at the apex."""
        if strength(vector) >= self._settings.min_shift_px:
            self._ended.append(offset)

    def objection(
        self, vector: Floats, onset: float, until: float, history: Sequence[Measurement]
    ) -> tuple[Kind, str] | None:
        """Why it is not a micro-expression, as far as can be seen at ``until``; None when nothing speaks against it.

        history: the measurements from before the onset until now.
        """
        settings = self._settings
        moved = moved_regions(vector)
        inside = [m for m in history if onset - settings.change_s <= m.time <= until]
        if problem := self._size(strength(vector)):
            return problem
        if max(m.head for m in inside) > settings.head_speed_px_s:
            return Kind.HEAD, "the head moved"
        if min(m.eyes for m in inside) < 1 - settings.eyes_shut and moved <= UPPER:
            return Kind.BLINK, "the eyes closed and only the upper face moved"
        since = [end for end in self._ended if onset - end < settings.isolation_s]
        if since:
            kind = Kind.SPEECH if moved <= MOUTH else Kind.MACRO
            return kind, f"one of a run of movements: another ended {max(onset - max(since), 0):.2f} s before"
        if until - onset < settings.micro_min_s:
            return Kind.UNSURE, f"lasted only {until - onset:.3f} s"
        return None

    def _size(self, px: float) -> tuple[Kind, str] | None:
        settings = self._settings
        if px < settings.min_shift_px:
            return Kind.UNSURE, f"moved only {px:.2f} px, less than {settings.min_shift_px:g} px"
        if px > settings.max_shift_px:
            return Kind.MACRO, f"moved {px:.1f} px, more than {settings.max_shift_px:g} px"
        return None


def strength(vector: Floats) -> float:
    """Mean displacement in px of the two regions that moved most, lids aside; ``vector`` float32 (R, 2) px."""
    size = np.sqrt((vector[ACTIVE] ** 2).sum(axis=1))
    return float(np.partition(size, -2)[-2:].mean())


def moved_regions(vector: Floats) -> frozenset[int]:
    """Regions displaced by at least MOVED of the most displaced one, lids aside."""
    size = np.sqrt((vector**2).sum(axis=1))
    size[list(EYE_REGIONS)] = 0
    return frozenset(int(i) for i in np.flatnonzero(size >= MOVED * size.max()))
