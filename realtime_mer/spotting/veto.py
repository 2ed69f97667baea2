"""The rules by which a movement is not a micro-expression, and the memory of earlier movements that they need."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import EYE_REGIONS, MOUTH_REGIONS
from realtime_mer.records import Floats, Kind
from realtime_mer.spotting.baseline import ACTIVE, UPPER
from realtime_mer.spotting.candidate import Candidate, History
from realtime_mer.spotting.lengths import lengths, top_two

EYES: Final = list(EYE_REGIONS)
MOUTH: Final = frozenset(MOUTH_REGIONS)
_MOUTH_PLACES: Final = np.array(MOUTH_REGIONS)
MOVED: Final = 0.5  # a region counts as moved above this fraction of the largest displacement
LID_PX: Final = 0.8  # px: a smaller lid movement may come from the brow, or from noise
SLOWEST: Final = 2.5  # longest time from the onset to the report of a movement, s
RECENT: Final = 8  # number of ends of movements kept: more than fit into the longest isolation


class Veto:
    """The rules for one face. It remembers when the last movements ended: movements in quick succession are speech, or
    an expression."""

    def __init__(self, settings: SpotConfig) -> None:
        self._settings = settings
        self.settled = np.inf  # s: time from which the face at rest is known
        self._mouth: deque[tuple[float, float]] = deque()  # (s, px)
        self._ended: deque[float] = deque(maxlen=RECENT)  # s, offsets of recent movements

    def watch(self, time: float, away: Floats) -> None:
        """Takes the change of every region over ``change_s``, float32 (R,) px, to know what the mouth did recently."""
        self._mouth.append((time, top_two(away[_MOUTH_PLACES])))
        while self._mouth[0][0] < time - self._settings.speech_s - SLOWEST:
            self._mouth.popleft()

    def _speaking(self, onset: float, px: float) -> bool:
        """Whether the mouth had been moving for a large part of the last ``speech_s`` seconds before ``onset``.

        px: strength of the movement in question; much weaker movements do not count.
        """
        settings = self._settings
        least = max(settings.speech_px, settings.speech_share * px)
        before = [moved > least for time, moved in self._mouth if onset - settings.speech_s <= time < onset]
        return bool(before) and sum(before) > settings.speech_time * len(before)

    def recall(self, other: Veto) -> None:
        """Copies what the mouth did before the face was briefly lost."""
        self._mouth = other._mouth

    def ended(self, offset: float, vector: Floats) -> None:
        """A movement has ended; ``vector`` float32 (R, 2) px is its displacement at the apex."""
        if strength(vector) >= self._settings.min_shift_px:
            self._ended.append(offset)

    def objection(self, candidate: Candidate, onset: float, until: float, history: History) -> tuple[Kind, str] | None:
        """Why it is not a micro-expression, as far as known at ``until``; None if no rule rejects it.

        history: the measurements from before the onset until now.
        """
        settings, vector = self._settings, candidate.vector
        px, moved = strength(vector), moved_regions(vector)
        inside = [m for m in history if onset - settings.change_s <= m.time <= until] or [history[-1]]
        if onset < self.settled:
            return Kind.UNDECIDED, "began before the face was known"
        if problem := self._size(px, candidate.least):
            return problem
        if max(m.head for m in inside) > settings.head_speed_px_s:
            return Kind.HEAD, "the head moved"
        if why := self._blink(candidate, inside):
            return Kind.BLINK, why
        if moved <= MOUTH and self._speaking(onset, px):
            return Kind.SPEECH, f"the mouth was moving in the last {settings.speech_s:g} s, too"
        since = [end for end in self._ended if onset - end < settings.isolation_s]
        if since:
            kind = Kind.SPEECH if moved <= MOUTH else Kind.MACRO
            return kind, f"one of a run of movements: another ended {max(onset - max(since), 0):.2f} s before"
        if until - onset < settings.micro_min_s:
            return Kind.UNDECIDED, f"lasted only {until - onset:.3f} s"
        return None

    def _blink(self, candidate: Candidate, inside: History) -> str:
        """Why the movement is one of the eyelids; empty if it is not."""
        settings, vector = self._settings, candidate.vector
        # the anchor may show them half closed, when someone looks down; then they open
        lowered = np.array([m.displacement for m in inside])[:, EYES, 1] - candidate.origin[EYES, 1]
        lids = float(np.abs(lowered.mean(axis=1)).max())
        shut = min(m.eyes for m in inside) < 1 - settings.eyes_shut
        lead = lids > LID_PX and lids_lead(vector)
        if shut and (lead or lids > settings.blink_lids * strength(vector)):
            return "the eyes closed"
        if lead and moved_regions(vector) <= UPPER:
            return "the eyelids moved most, and only the upper face with them"
        return ""

    def _size(self, px: float, least: float) -> tuple[Kind, str] | None:
        settings = self._settings
        if px < least:
            return Kind.UNDECIDED, f"moved only {px:.2f} px, less than {least:.2f} px"
        if px > settings.max_shift_px:
            return Kind.MACRO, f"moved {px:.1f} px, more than {settings.max_shift_px:g} px"
        return None


def strength(vector: Floats) -> float:
    """Mean displacement in px of the two regions that moved most, without lids; ``vector`` float32 (R, 2) px."""
    return top_two(lengths(vector)[ACTIVE])


def lids_lead(vector: Floats) -> bool:
    """Whether a lid was displaced further than anything else."""
    size = lengths(vector)
    return float(size[EYES].max()) > float(size[ACTIVE].max())


def moved_regions(vector: Floats) -> frozenset[int]:
    """Regions displaced by at least MOVED of the largest displacement, without lids."""
    size = lengths(vector)
    size[list(EYE_REGIONS)] = 0
    return frozenset(int(i) for i in np.flatnonzero(size >= MOVED * size.max()))
