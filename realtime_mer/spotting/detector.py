"""The shipped spotter: finds the movements of one face and reports when each began, peaked and ended, and what it was.

Theory of operation. Registration gives the displacement of each region against an anchor. A face at rest moves by some
hundredths of a pixel; a micro-expression moves two or more regions by a few tenths within 0.2 s. So:

1. ``baseline`` estimates the resting noise of the regions, and gives their change over the last ``change_s`` seconds.
The mean change of the two regions that moved most, in units of their noise, is the *activity*. 2. A movement starts
when the activity stays above a threshold for ``hold_s``. The threshold is ``onset_noise`` times the activity's own
noise above its usual level; after a strong movement it is higher for some seconds. 3. The position just before is kept
as the *origin*. From then on the activity is the distance from it, not a change, so that the rise and fall of one
movement are seen as one. 4. The apex is the maximum. Once the activity has fallen by ``apex_drop`` and
``apex_delay_s`` have passed, a provisional movement is reported as soon as it is likely enough that it will be
confirmed (``early``). 5. Onset and offset are read from its course (``candidate``): onset where it last was below
``onset_fraction`` of the peak, offset where it comes back to ``offset_fraction``, or where the face keeps still on its
way back (``plateau_s``). 6. A movement that rose as fast as a micro-expression (``rise_max_s``) and then stayed
(``held_s``) or returned too late is *held*, a kind of its own; its offset is when it came to rest. 7. Movements that
are too long, too strong or too weak for this recording, blinks, speech, head movements, and movements of a run are
reported as rejected, with the reason (``veto``). 8. For some time after a movement, the rest of its way back to the
origin does not count as activity.

Everything is causal: a decision at one frame uses that frame and earlier ones only.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from enum import Enum
from typing import Final

import numpy as np

from realtime_mer.config import SpotConfig
from realtime_mer.records import Activity, Floats, Kind, Measurement, Movement
from realtime_mer.spotting.baseline import ACTIVE, ROUNDING, Baseline
from realtime_mer.spotting.candidate import Candidate, Past, along
from realtime_mer.spotting.early import RECENT, Evidence, probability
from realtime_mer.spotting.lengths import lengths, top_two
from realtime_mer.spotting.veto import Veto, strength

HISTORY: Final = 2.5  # s of measurements kept: the longest movement and its onset
RESUME: Final = 0.3  # s: a face that was lost for a moment keeps its resting noise; only its position is new
RETURN: Final = 1.0  # s after a movement in which the rest of its return is not a new movement
LATE_RETURN: Final = 5.0  # s, the same after a movement that did not return
EYE_RECOVERY: Final = 0.06  # s after a blink, plus ``change_s``, in which the upper face still shows it
PLATEAU_RANGE: Final = 0.08  # of the peak, while a face keeps still for ``plateau_s``
HELD_RANGE: Final = 0.15  # of the peak, while it keeps still for ``held_s``
HELD_APEX: Final = 0.9  # fraction of the held level: the apex of a movement without a maximum
PEAK_LIMIT: Final = 24.0  # times noise: limit, so that a strong macro-expression does not hide what follows it


class State(Enum):
    """The states of the detector. The arrows are the only transitions.

    SETTLING -> RESTING -> RISING -> MOVING -> PAST_APEX, and back to RESTING from each of the last three; ``interrupt``
    leads from any state to SETTLING.
    """

    SETTLING = "learning the face at rest"
    RESTING = "waiting for a change"
    RISING = "the activity is above the threshold, but not yet for long enough"
    MOVING = "a movement is under way, and nothing of it has been reported"
    PAST_APEX = "its apex is past, and it was reported as provisional"


class MovementDetector:
    """A ``Spotter``. first_id: of the first movement."""

    def __init__(self, settings: SpotConfig | None = None, first_id: int = 1) -> None:
        self._settings = settings or SpotConfig()
        self._next_id = first_id
        self._known: Baseline | None = None  # resting noise before the face was lost
        self._start()

    def _start(self) -> None:
        self.state = State.SETTLING
        self._baseline = Baseline(self._settings)
        self._veto = Veto(self._settings)
        self._history: deque[Past] = deque()
        self._began: float | None = None
        self._latest: float | None = None
        self._above_since = 0.0  # s, while RISING
        self._candidate: Candidate | None = None  # while MOVING or PAST_APEX
        self._strongest = 0.0  # activity of recent movements
        self._eyes_shut = -np.inf  # s, when last
        # the return of the latest movement: until when, and to which position
        self._returning: tuple[float, Floats] = -np.inf, np.zeros(0, np.float32)

    @property
    def settled(self) -> bool:
        return self.state is not State.SETTLING

    @property
    def quiet(self) -> bool:
        at_rest = self.state in (State.SETTLING, State.RESTING)
        return at_rest and self._latest is not None and self._upper_counts(self._latest)

    def push(self, measurement: Measurement) -> tuple[Activity, list[Movement]]:
        settings, baseline, time = self._settings, self._baseline, measurement.time
        step = 0.0 if self._latest is None else time - self._latest
        self._latest = time
        self._settle(time)
        if measurement.eyes < 1 - settings.eyes_shut:
            self._eyes_shut = time
        center, smooth, before = baseline.push(time, measurement.displacement)
        self._history.append(Past(center, smooth, measurement.head, measurement.eyes))
        while self._history[0].time < time - HISTORY:
            self._history.popleft()

        change = smooth - before
        away = lengths(change)
        self._veto.watch(center, away)
        threshold = self._threshold(step)
        found: list[Movement] = []
        if self._candidate is not None:
            level = baseline.activity(lengths(smooth - self._candidate.origin), self._upper_counts(time))
            found = self._follow(self._candidate, center, smooth, level)
        else:
            level = self._watch(time, step, center, smooth, before, change, away, threshold)
        assert baseline.position is not None
        where, noise = smooth - baseline.position, baseline.noise.copy()
        seen = Activity(where, noise, measurement.head, measurement.eyes, level, threshold, baseline.least)
        return seen, found

    def interrupt(self, reason: str) -> list[Movement]:
        """As in ``Spotter``. The resting position is learned again; the resting noise is kept."""
        found = []
        if (candidate := self._candidate) is not None:
            assert self._latest is not None
            found = [self._report(candidate, self._onset(candidate), self._latest, Kind.UNDECIDED, reason)]
        known, veto = self._baseline if self.settled else self._known, self._veto
        self._start()
        self._veto.recall(veto)
        if known is not None:
            self._baseline.recall(known)
            self._known = known
        return found

    # --- at rest ------------------------------------------------------------------------------------------------------

    def _settle(self, time: float) -> None:
        self._began = time if self._began is None else self._began
        settle = self._settings.settle_s
        needed = settle if self._known is None else min(RESUME, settle)
        if self.state is State.SETTLING and time - self._began >= needed:
            self.state = State.RESTING
            self._veto.settled = self._began + needed

    def _threshold(self, step: float) -> float:
        """The current threshold of the activity, ``step`` seconds after the last frame."""
        settings, baseline = self._settings, self._baseline
        remembered = min(self._strongest, PEAK_LIMIT) - baseline.level
        self._strongest *= math.exp(-step / settings.peak_memory_s)
        rise = max(settings.onset_noise * baseline.level_noise, settings.peak_share * remembered)
        return baseline.level + rise

    def _watch(
        self, time: float, step: float, center: float, smooth: Floats, before: Floats, change: Floats, away: Floats,
        threshold: float,
    ) -> float:  # fmt: skip
        """Detects the start of a movement, or learns from the frame; returns the activity.

        change: from ``before`` to ``smooth``. away: its lengths.
        """
        settings, baseline = self._settings, self._baseline
        upper = self._upper_counts(time)
        level = baseline.activity(away, upper)
        until, origin = self._returning
        if time < until:
            # a returning face changes towards its origin; only other changes count
            back = min(max(along(change, origin - before, baseline.noise), 0.0), 1.0)
            level = baseline.activity(lengths(change - back * (origin - before)), upper)
        if not (self.settled and level > threshold and top_two(away[ACTIVE]) > baseline.least / 2):
            self.state = State.RESTING if self.settled else State.SETTLING
            baseline.learn(step, smooth, away, level, first=not self.settled)
            return level
        if self.state is not State.RISING:
            self.state, self._above_since = State.RISING, time
        if time - self._above_since >= settings.hold_s or step >= settings.hold_s:
            self.state = State.MOVING
            self._candidate = Candidate(
                self._next_id, center, center, level, change, before, baseline.noise, baseline.least
            )
            self._next_id += 1
        return level

    def _upper_counts(self, time: float) -> bool:
        """Whether the upper face counts: not during a blink, nor while a change still contains one."""
        return time - self._eyes_shut > self._settings.change_s + EYE_RECOVERY

    # --- a movement in progress
    # -----------------------------------------------------------------------------------------

    def _follow(self, candidate: Candidate, time: float, smooth: Floats, level: float) -> list[Movement]:
        settings = self._settings
        if level > candidate.peak:
            candidate.apex, candidate.peak, candidate.vector = time, level, smooth - candidate.origin
        found: list[Movement] = []
        fallen = level < (1 - settings.apex_drop) * candidate.peak
        past = fallen and time - candidate.apex >= settings.apex_delay_s
        if self.state is State.MOVING and past and time - candidate.entered <= settings.micro_max_s:
            onset = self._onset(candidate)
            objection = self._veto.objection(candidate, onset, time, self._history)
            if objection is None and self.likely(self._evidence(candidate, onset, time, smooth)):
                self.state = State.PAST_APEX
                found.append(self._report(candidate, onset, None, Kind.MICRO, ""))
        if candidate.share(smooth) <= settings.offset_fraction and time > candidate.apex:
            found.append(self._finish(candidate, time))
        elif (stopped := self._stopped(candidate, time)) is not None:
            found.append(self._finish(candidate, stopped))
        elif (rested := self._held(candidate, time)) is not None:
            found.append(self._hold(candidate, rested, "the face rests in a new position"))
        elif time - candidate.entered > settings.macro_max_s:
            reason = f"lasted longer than {settings.macro_max_s:g} s"
            found.append(self._hold(candidate, time, reason))
        return found

    def likely(self, evidence: Evidence) -> bool:
        """Whether a movement is likely enough to be confirmed. Called from its apex on until it is, unless a rule would
        reject it."""
        return probability(evidence) >= self._settings.early

    def _evidence(self, candidate: Candidate, onset: float, time: float, smooth: Floats) -> Evidence:
        assert self._latest is not None
        before = next(kept for kept in self._history if kept.time >= time - RECENT)
        fall = (candidate.share(before.displacement) - candidate.share(smooth)) / max(time - before.time, 1e-3)
        apex, times_least = candidate.apex, strength(candidate.vector) / max(candidate.least, 1e-6)
        return Evidence(candidate.id, self._latest, apex, apex - onset, times_least, fall)

    def _stopped(self, candidate: Candidate, time: float) -> float | None:
        """When the face came to rest during its return, or None while it moves or holds the expression."""
        settings = self._settings
        if time - candidate.apex < settings.plateau_s:
            return None
        since, share = candidate.still(self._history, time - settings.plateau_s, PLATEAU_RANGE)
        return since if share <= settings.plateau_fraction else None

    def _held(self, candidate: Candidate, time: float) -> float | None:
        """When the face came to rest in its new position (a step, not a pulse); None if it has not."""
        held = self._settings.held_s
        if time - candidate.entered < held - ROUNDING:
            return None
        since, share = candidate.still(self._history, time - held, HELD_RANGE)
        return since if share < np.inf else None

    def _finish(self, candidate: Candidate, offset: float) -> Movement:
        longest = self._settings.micro_max_s
        onset = self._onset(candidate)
        if offset - onset > longest:
            return self._hold(candidate, offset, f"lasted {offset - onset:.2f} s, longer than {longest:g} s")
        kind, reason = self._veto.objection(candidate, onset, offset, self._history) or (Kind.MICRO, "")
        return self._end(candidate, onset, offset, kind, reason)

    def _hold(self, candidate: Candidate, rested: float, reason: str) -> Movement:
        """Ends a movement that did not return in time: held if it rose as fast as a micro-expression.

        rested: s, when the face came to rest, or until when it was followed.
        """
        settings = self._settings
        onset = self._onset(candidate)
        top = candidate.share(self._at(rested).displacement) if rested < candidate.apex else 1.0
        apex = candidate.first(self._history, onset, HELD_APEX * top)
        offset = min(max(rested, apex), onset + settings.micro_max_s)
        if apex - onset > settings.rise_max_s:
            candidate.apex = min(candidate.apex, offset)
            return self._end(candidate, onset, offset, Kind.MACRO, reason)
        candidate.apex = apex
        if problem := self._veto.objection(candidate, onset, offset, self._history):
            return self._end(candidate, onset, offset, *problem)
        if settings.held_is_micro:
            return self._end(candidate, onset, offset, Kind.MICRO, "", held=True)
        return self._end(candidate, onset, offset, Kind.HELD, f"held: {reason}", held=True)

    def _at(self, time: float) -> Past:
        return min(self._history, key=lambda kept: abs(kept.time - time))

    def _end(
        self, candidate: Candidate, onset: float, offset: float, kind: Kind, reason: str, *, held: bool = False
    ) -> Movement:
        assert self._latest is not None
        self.state, self._candidate = State.RESTING, None
        self._baseline.restart()
        came_back = kind is not Kind.MACRO and not held
        self._returning = self._latest + (RETURN if came_back else LATE_RETURN), candidate.origin
        self._strongest = max(self._strongest, candidate.peak)
        self._veto.ended(offset, candidate.vector)
        return replace(self._report(candidate, onset, offset, kind, reason), held=held)

    def _onset(self, candidate: Candidate) -> float:
        settings = self._settings
        return candidate.onset(self._history, settings.onset_fraction, settings.look_back_s)

    def _report(self, candidate: Candidate, onset: float, offset: float | None, kind: Kind, reason: str) -> Movement:
        vector = candidate.vector
        return Movement(candidate.id, onset, candidate.apex, offset, strength(vector), kind, reason, vector)
