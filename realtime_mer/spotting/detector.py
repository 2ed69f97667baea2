"""Turns the measured displacements of one face into movements with onset, apex and offset, and says what each one was.

Causal: a decision at one frame uses that frame and earlier ones only. No pictures here, and no emotion.

How it works. ``rest`` knows how much the regions of this face wander. When they change by much more, a movement has
begun; where they were just before is its starting point, and is kept, so that rise and fall of one movement are seen as
one. The apex is the maximum. Onset and offset are read from the displacement projected on its direction at the apex,
which is far less noisy than its length. What lasts too long, is too strong, belongs to a blink, a turn of the head
or a run of movements is reported as rejected, with the reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import EYE_REGIONS, MOUTH_REGIONS
from realtime_mer.records import Floats, Kind, Motion, Span, Status
from realtime_mer.spotting.baseline import ACTIVE, LAG, NOISE_FLOOR, UPPER, Rest

HISTORY: Final = 2.5  # s of measurements kept for looking back: the longest movement and its onset
RESUME: Final = 0.3  # s: a face that was lost for a moment is as restless as before; only its position is new
RETURN: Final = 1.0  # s after a movement during which the rest of the way back to its start is not a new one
ROUNDING: Final = 1e-6  # s: clocks that started long ago are not exact to more
EYE_RECOVERY: Final = LAG + 0.06  # s after a blink during which the change of the upper face still contains it
PLATEAU: Final = 0.12  # s: a face that keeps still this long in mid-movement has come to rest
PLATEAU_RANGE: Final = 0.08  # of the peak, while it keeps still
PLATEAU_SHARE: Final = 0.85  # of the peak: still further out than this, the expression is being held
HELD: Final = 0.6  # s: a face that keeps still this long anywhere has come to rest there
HELD_RANGE: Final = 0.15  # of the peak, while it keeps still
PEAK_MEMORY: Final = 6.0  # s, time constant of the memory of strong movements
PEAK_LIMIT: Final = 24.0  # times noise: a strong macro-expression does not make deaf for what follows it
MACRO_LIMIT: Final = 2.0  # s: a movement that lasts longer has become the new resting face
MOUTH: Final = frozenset(MOUTH_REGIONS)


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """A span and what moved in it. displacement: float32 (R, 2) px from the starting point at the apex."""

    span: Span
    displacement: Floats


@dataclass(slots=True)
class _Open:
    """The movement under way."""

    id: int
    entered: float  # s, when the change was noticed
    apex: float  # s
    peak: float  # activity at the apex
    vector: Floats  # (R, 2) px from the starting point at the apex
    origin: Floats  # (R, 2) px, the starting point
    announced: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    time: float
    displacement: Floats
    eyes: float
    head: float


class Spotter:
    """``push`` one measurement per frame; ``reach`` flushes at the end; ``interrupt`` when the face was lost."""

    def __init__(self, config: SpotConfig | None = None, counted: int = 0) -> None:
        """counted: movements of this track that were reported before: ids go on from there."""
        self._config = config or SpotConfig()
        self.counted = counted
        self.reset()

    def reset(self) -> None:
        """Forgets the face, but goes on counting movements."""
        settings = self._config
        self._rest = Rest(settings.settle, settings.noise, settings.baseline)
        self._history: deque[_Sample] = deque()
        self._known: Rest | None = None  # how restless the face was before it was lost
        self._began: float | None = None
        self._latest: float | None = None
        self._open: _Open | None = None
        self._above_since: float | None = None
        self._strongest = 0.0
        self._eyes_shut = -np.inf  # s, when last
        # the way back of the latest movement: until when, and to where
        self._returning: tuple[float, Floats] = -np.inf, np.zeros(0, np.float32)
        self._ended: deque[float] = deque(maxlen=8)  # s, offsets of recent movements

    @property
    def settled(self) -> bool:
        """The resting face is known: movements are reported from now on."""
        needed = self._config.settle if self._known is None else min(RESUME, self._config.settle)
        return self._began is not None and self._latest is not None and self._latest - self._began >= needed

    @property
    def quiet(self) -> bool:
        """Nothing is moving and the eyes are open: the moment to take a new anchor."""
        moving = self._open is not None or self._above_since is not None
        return not moving and self._latest is not None and self._latest - self._eyes_shut > EYE_RECOVERY

    def push(self, time: float, displacement: Floats, eyes: float, head: float) -> tuple[Motion, list[Movement]]:
        """One frame's measurement. Times must increase.

        displacement: float32 (R, 2) px, continuous over changes of the anchor. eyes: 1 = as at rest. head: px/s.
        Returns the signals and the movements reported at this frame (provisional or final).
        """
        settings, rest = self._config, self._rest
        step = 0.0 if self._latest is None else time - self._latest
        self._latest = time
        self._began = time if self._began is None else self._began
        if eyes < 1 - settings.eyes_shut:
            self._eyes_shut = time
        upper = time - self._eyes_shut > EYE_RECOVERY
        centre, smooth, before = rest.push(time, displacement)
        self._history.append(_Sample(centre, smooth, eyes, head))
        while self._history[0].time < time - HISTORY:
            self._history.popleft()

        remembered = min(self._strongest, PEAK_LIMIT) - rest.level
        threshold = rest.level + max(settings.enter * rest.level_noise, settings.memory * remembered)
        self._strongest *= float(np.exp(-step / PEAK_MEMORY))
        found: list[Movement] = []
        if self._open is not None:
            level = rest.activity(smooth - self._open.origin, upper)
            found = self._moving(self._open, centre, smooth, level)
        else:
            change = smooth - before
            level = rest.activity(change, upper)
            until, origin = self._returning
            if time < until:
                # on its way back the face changes towards where it came from; what it does beside that counts
                back = min(max(self._along(change, origin - before), 0.0), 1.0)
                level = rest.activity(change - back * (origin - before), upper)
            if self.settled and level > threshold and _strength(change) > settings.min_shift / 2:
                self._above_since = time if self._above_since is None else self._above_since
                if time - self._above_since >= settings.hold or step >= settings.hold:
                    self.counted += 1
                    self._open = _Open(self.counted, centre, centre, level, change, before)
                    self._above_since = None
            else:
                self._above_since = None
                rest.learn(step, smooth, change, level, first=not self.settled)
        assert rest.position is not None
        return Motion(smooth - rest.position, rest.noise.copy(), head, eyes, level, threshold), found

    def reach(self) -> list[Movement]:
        """The end of the recording, or of the face: the movement under way ends as not to be judged."""
        return self._abandon("the recording ended before the movement did")

    def interrupt(self, reason: str) -> list[Movement]:
        """The measurement broke (face lost, turned away): ends the movement under way.

        Where the face rests is learnt anew; how restless it is, is remembered.
        """
        found = self._abandon(reason)
        known = self._rest if self.settled else self._known
        self.reset()
        if known is not None:
            self._rest.recall(known)
            self._known = known
        return found

    def _abandon(self, reason: str) -> list[Movement]:
        movement, self._open = self._open, None
        if movement is None:
            return []
        return [self._report(movement, self._onset(movement), self._history[-1].time, Kind.UNSURE, reason)]

    # --- a movement under way -----------------------------------------------------------------------------------------

    def _moving(self, movement: _Open, time: float, smooth: Floats, level: float) -> list[Movement]:
        settings = self._config
        if level > movement.peak:
            movement.apex, movement.peak, movement.vector = time, level, smooth - movement.origin
        found: list[Movement] = []
        past = level < (1 - settings.fall) * movement.peak and time - movement.apex >= settings.wait
        if past and not movement.announced and time - movement.entered <= settings.micro_max:
            movement.announced = True
            onset = self._onset(movement)
            if self._objection(movement, onset, time) is None:
                found.append(self._report(movement, onset, None, Kind.MICRO, ""))
        if self._share(movement, smooth) <= settings.leave and time > movement.apex:
            found.append(self._finish(movement, time))
        elif (stopped := self._stopped(movement, time)) is not None:
            found.append(self._finish(movement, stopped))
        elif self._held(movement, time):
            reason = f"held longer than {settings.micro_max:g} s: the face rests in a new position"
            found.append(self._report(movement, self._onset(movement), time, Kind.MACRO, reason))
            self._end(movement, time)
        elif time - movement.entered > MACRO_LIMIT:
            found.append(
                self._report(movement, self._onset(movement), time, Kind.MACRO, f"lasted longer than {MACRO_LIMIT:g} s")
            )
            self._end(movement, time)
        return found

    def _stopped(self, movement: _Open, time: float) -> float | None:
        """When the face came to rest part of the way back, or None while it moves or holds the expression."""
        if time - movement.apex < PLATEAU:
            return None
        since, share = self._still(movement, time - PLATEAU, PLATEAU_RANGE)
        return since if share <= PLATEAU_SHARE else None

    def _held(self, movement: _Open, time: float) -> bool:
        """Whether the face came to rest in its new position: a step, not a pulse."""
        return time - movement.entered >= HELD - ROUNDING and self._still(movement, time - HELD, HELD_RANGE)[1] < np.inf

    def _still(self, movement: _Open, start: float, most: float) -> tuple[float, float]:
        """The first time from ``start`` and the latest share of the peak; infinite if it varied by over ``most``."""
        late = [sample for sample in self._history if sample.time >= start - ROUNDING]
        shares = [self._share(movement, late[k].displacement) for k in {0, len(late) // 3, 2 * len(late) // 3, -1}]
        latest = self._share(movement, late[-1].displacement)
        return late[0].time, latest if max(shares) - min(shares) <= most else np.inf

    def _finish(self, movement: _Open, offset: float) -> Movement:
        settings = self._config
        onset = self._onset(movement)
        kind, reason = self._objection(movement, onset, offset) or (Kind.MICRO, "")
        if kind is Kind.MICRO and offset - onset > settings.micro_max:
            kind, reason = Kind.MACRO, f"lasted {offset - onset:.2f} s, longer than {settings.micro_max:g} s"
        found = self._report(movement, onset, offset, kind, reason)
        self._end(movement, offset)
        return found

    def _end(self, movement: _Open, offset: float) -> None:
        assert self._latest is not None
        self._open = None
        self._rest.restart()
        self._returning = self._latest + RETURN, movement.origin
        self._strongest = max(self._strongest, movement.peak)
        if _strength(movement.vector) >= self._config.min_shift:
            self._ended.append(offset)

    def _objection(self, movement: _Open, onset: float, until: float) -> tuple[Kind, str] | None:
        """Why this is not a micro-expression, as far as can be seen at ``until``; None when nothing speaks against
        it."""
        settings = self._config
        strength, moved = _strength(movement.vector), _moved(movement.vector)
        inside = [sample for sample in self._history if onset - LAG <= sample.time <= until]
        if strength < settings.min_shift:
            return Kind.UNSURE, f"moved only {strength:.2f} px, less than {settings.min_shift:g} px"
        if strength > settings.max_shift:
            return Kind.MACRO, f"moved {strength:.1f} px, more than {settings.max_shift:g} px"
        if max(sample.head for sample in inside) > settings.head_speed:
            return Kind.HEAD, "the head moved"
        if min(sample.eyes for sample in inside) < 1 - settings.eyes_shut and moved <= UPPER:
            return Kind.BLINK, "the eyes closed and only the upper face moved"
        since = [end for end in self._ended if onset - end < settings.isolation]
        if since:
            kind = Kind.SPEECH if moved <= MOUTH else Kind.MACRO
            return kind, f"one of a run of movements: another ended {max(onset - max(since), 0):.2f} s before"
        if until - onset < settings.micro_min:
            return Kind.UNSURE, f"lasted only {until - onset:.3f} s"
        return None

    def _share(self, movement: _Open, displacement: Floats) -> float:
        """The displacement projected on that at the apex, each region weighted by its precision; 1 at the apex."""
        return self._along(displacement - movement.origin, movement.vector)

    def _along(self, away: Floats, way: Floats) -> float:
        """``away`` projected on ``way``, both (R, 2) px: 1 where it has come all that way."""
        weight = 1 / (self._rest.noise[ACTIVE, None] + NOISE_FLOOR) ** 2
        target = way[ACTIVE]
        return float((weight * target * away[ACTIVE]).sum() / max((weight * target**2).sum(), 1e-9))

    def _onset(self, movement: _Open) -> float:
        """Time at which the movement last was below ``start`` of its peak before the apex, or was lowest."""
        onset, lowest = movement.entered, np.inf
        for sample in reversed(self._history):
            if sample.time > movement.apex:
                continue
            if sample.time < movement.entered - self._config.look_back:
                break
            share = self._share(movement, sample.displacement)
            if share < lowest:
                onset, lowest = sample.time, share
            if share <= self._config.start:
                break
        return onset

    def _report(self, movement: _Open, onset: float, offset: float | None, kind: Kind, reason: str) -> Movement:
        status = Status.PROVISIONAL if offset is None else Status.CONFIRMED if kind is Kind.MICRO else Status.REJECTED
        strength = _strength(movement.vector)
        return Movement(
            Span(movement.id, onset, movement.apex, offset, strength, kind, status, reason), movement.vector
        )


def _strength(vector: Floats) -> float:
    """Mean displacement in px of the two regions that moved most, lids aside."""
    size = np.sqrt((vector[ACTIVE] ** 2).sum(axis=1))
    return float(np.partition(size, -2)[-2:].mean())


def _moved(vector: Floats) -> frozenset[int]:
    """Regions displaced by at least half of the most displaced one, lids aside."""
    size = np.sqrt((vector**2).sum(axis=1))
    size[list(EYE_REGIONS)] = 0
    return frozenset(int(i) for i in np.flatnonzero(size >= 0.5 * size.max()))
