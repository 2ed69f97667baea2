"""Turns the measured displacements of one face into movements with onset, apex and offset, and says what each one was.

Causal: a decision at one frame uses that frame and earlier ones only. No pictures here, and no emotion.

How it works. A resting position and its noise are followed slowly while nothing happens. The activity is the mean of
the two regions that are furthest from rest, in units of their noise. When it rises above a threshold a movement has
begun; its resting position is then frozen, so that rise and fall of one movement are seen as one. The apex is the
maximum. Onset and offset are read from the displacement projected on its direction at the apex, which is far less
noisy than the activity itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from realtime_mer.config import SpotConfig
from realtime_mer.records import Floats, Kind, Motion, Span, Status
from realtime_mer.regions import BROW_REGIONS, EYE_REGIONS, MOUTH_REGIONS, REGIONS

HISTORY: Final = 1.5  # s of measurements kept for looking back
SMOOTHING: Final = 0.016  # s: measurements are averaged over this, a fifth of the shortest movement of interest
EYE_RECOVERY: Final = 0.08  # s after a blink during which the upper face is still moving
NOISE_FLOOR: Final = 0.04  # px: registration is not better than this, however still the face
PEAK_MEMORY: Final = 20.0  # s, half-life-like time constant of the memory of strong movements
PLATEAU: Final = 0.12  # s: a face that keeps still this long in mid-movement has come to rest
PLATEAU_RANGE: Final = 0.08  # of the peak, while it keeps still
PLATEAU_SHARE: Final = 0.8  # of the peak: still further out than this, the expression is being held
MACRO_LIMIT: Final = 2.0  # s: a movement that lasts longer has become the new resting face
UPPER: Final = frozenset((*BROW_REGIONS, *EYE_REGIONS, 6, 7))  # what a blink drags along: brows, lids, cheeks
MOUTH: Final = frozenset(MOUTH_REGIONS)
ACTIVE: Final = np.array(
    [i for i in range(len(REGIONS)) if i not in EYE_REGIONS]
)  # lids open no event: they blink and follow the gaze


@dataclass(slots=True)
class _Sample:
    time: float
    displacement: Floats
    eyes: float
    head: float
    level: float


@dataclass(slots=True)
class _Movement:
    """The movement under way."""

    id: int
    entered: float  # time at which the activity exceeded the threshold
    apex: float
    peak: float  # activity at the apex
    vector: Floats  # (R, 2) px from rest at the apex
    rest: Floats  # (R, 2) px
    announced: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """A span and what moved in it. displacement: float32 (R, 2) px from rest at the apex."""

    span: Span
    displacement: Floats


class Spotter:
    """``push`` one measurement per frame; ``reach`` flushes at the end; ``reset`` forgets the face."""

    def __init__(self, config: SpotConfig | None = None) -> None:
        self._config = config or SpotConfig()
        self.reset()

    def reset(self) -> None:
        """Forgets everything but the count of movements."""
        regions = len(REGIONS)
        self._ids = getattr(self, "_ids", 0)
        self._recent: deque[tuple[float, Floats]] = deque()
        self._history: deque[_Sample] = deque()
        self._rest = np.zeros((regions, 2), np.float32)
        self._noise = np.full(regions, 4 * NOISE_FLOOR, np.float32)
        self._level_rest, self._level_noise = 1.0, 0.5
        self._strongest = 0.0
        self._began: float | None = None
        self._previous: float | None = None
        self._above_since: float | None = None
        self._movement: _Movement | None = None
        self._last_eyes_shut = -np.inf
        self._last_head = -np.inf
        self._ended: deque[float] = deque(maxlen=8)  # offsets of recent movements

    @property
    def settled(self) -> bool:
        """The resting face is known: movements are reported from now on."""
        return (
            self._began is not None
            and self._previous is not None
            and self._previous - self._began >= self._config.settle
        )

    @property
    def quiet(self) -> bool:
        """Nothing is moving: the moment to take a new anchor."""
        return self._movement is None and self._above_since is None

    def push(self, time: float, displacement: Floats, eyes: float, head: float) -> tuple[Motion, list[Movement]]:
        """One frame's measurement. Times must increase.

        displacement: float32 (R, 2) px, continuous over changes of the anchor. eyes: 1 = as at rest. head: px/s.
        Returns the signals and the movements reported at this frame (provisional or final).
        """
        settings = self._config
        if self._began is None:
            self._began = time
            self._rest = displacement.copy()
        step = 0.0 if self._previous is None else time - self._previous
        self._previous = time
        smooth = self._smoothed(time, displacement)
        if eyes < 1 - settings.eyes_shut:
            self._last_eyes_shut = time
        if head > settings.head_speed:
            self._last_head = time

        level = self._activity(time, smooth)
        threshold = self._level_rest + max(
            settings.enter * self._level_noise, settings.memory * (self._strongest - self._level_rest)
        )
        self._strongest *= float(np.exp(-step / PEAK_MEMORY))
        self._history.append(_Sample(time, smooth, eyes, head, level))
        while self._history[0].time < time - HISTORY:
            self._history.popleft()

        found: list[Movement] = []
        settled = self.settled
        if self._movement is not None:
            found = self._moving(time, smooth, level)
        elif settled and level > threshold:
            self._above_since = time if self._above_since is None else self._above_since
            if time - self._above_since >= settings.hold or step >= settings.hold:
                self._enter(time, smooth, level)
        else:
            self._above_since = None
            self._learn(step, smooth, level, fast=not settled)
        return Motion(smooth - self._rest, self._noise.copy(), head, eyes, level, threshold), found

    def reach(self) -> list[Movement]:
        """The end of the recording, or of the face: the movement under way ends as not to be judged."""
        movement, self._movement = self._movement, None
        if movement is None:
            return []
        last = self._history[-1].time
        return [
            self._span(
                movement,
                self._onset(movement),
                last,
                Kind.UNSURE,
                "the recording or the face ended before the movement did",
            )
        ]

    def interrupt(self, reason: str) -> list[Movement]:
        """The measurement broke (face lost, turned away): ends the movement under way and starts learning anew."""
        found = (
            [self._span(m, self._onset(m), self._history[-1].time, Kind.UNSURE, reason)]
            if (m := self._movement)
            else []
        )
        self.reset()
        return found

    # --- the resting face -------------------------------------------------------------------------------------------

    def _smoothed(self, time: float, displacement: Floats) -> Floats:
        self._recent.append((time, displacement))
        while self._recent[0][0] < time - SMOOTHING:
            self._recent.popleft()
        if len(self._recent) == 1:
            return displacement
        return np.mean([d for _, d in self._recent], axis=0, dtype=np.float32)

    def _activity(self, time: float, smooth: Floats) -> float:
        away = smooth - self._rest
        z = np.sqrt((away**2).sum(axis=1)) / (self._noise + NOISE_FLOOR)
        if time - self._last_eyes_shut < EYE_RECOVERY:
            z[list(UPPER)] = 0.0
        two = np.partition(z[ACTIVE], -2)[-2:]
        return float(two.mean())

    def _learn(self, step: float, smooth: Floats, level: float, fast: bool) -> None:
        settings = self._config
        away = smooth - self._rest
        size = np.sqrt((away**2).sum(axis=1))
        share = 1 - float(np.exp(-step / (settings.settle / 4 if fast else settings.noise)))
        # 0.8: what turns the mean length of a 2-D Gaussian residual into its standard deviation
        self._noise += share * (0.8 * size - self._noise)
        self._rest += (1 - float(np.exp(-step / (settings.baseline / 3 if fast else settings.baseline)))) * away
        self._level_noise += share * (1.25 * abs(level - self._level_rest) - self._level_noise)
        self._level_noise = max(self._level_noise, 0.1)
        self._level_rest += share * (level - self._level_rest)

    # --- a movement -------------------------------------------------------------------------------------------------

    def _enter(self, time: float, smooth: Floats, level: float) -> None:
        self._ids += 1
        self._movement = _Movement(self._ids, time, time, level, smooth - self._rest, self._rest.copy())
        self._above_since = None

    def _moving(self, time: float, smooth: Floats, level: float) -> list[Movement]:
        settings, movement = self._config, self._movement
        assert movement is not None
        if level > movement.peak:
            movement.apex, movement.peak, movement.vector = time, level, smooth - movement.rest
        share = self._share(movement, smooth)
        duration = time - movement.entered
        found: list[Movement] = []
        past_apex = level < (1 - settings.fall) * movement.peak and time - movement.apex >= settings.wait
        if past_apex and not movement.announced and duration <= settings.micro_max:
            movement.announced = True
            onset = self._onset(movement)
            if not self._objection(movement, onset, time):
                found.append(self._span(movement, onset, None, Kind.MICRO, ""))
        if share <= settings.leave and time > movement.apex:
            found.append(self._finish(movement, time))
        elif (stopped := self._stopped(movement, time)) is not None:
            found.append(self._finish(movement, stopped))
            self._rest = smooth.copy()  # it did not return the whole way: this is the resting face now
        elif duration > MACRO_LIMIT:
            found.append(
                self._span(movement, self._onset(movement), time, Kind.MACRO, f"lasted longer than {MACRO_LIMIT:g} s")
            )
            self._end(time, found[-1].span)
            self._rest = smooth.copy()  # the face has come to rest in a new position
        return found

    def _stopped(self, movement: _Movement, time: float) -> float | None:
        """When the face came to rest part of the way back, or None while it moves or holds the expression."""
        if time - movement.apex < PLATEAU:
            return None
        late = [s for s in self._history if s.time >= time - PLATEAU]
        shares = [self._share(movement, s.displacement) for s in (late[0], late[len(late) // 2], late[-1])]
        if max(shares) - min(shares) > PLATEAU_RANGE or shares[-1] > PLATEAU_SHARE:
            return None
        return late[0].time

    def _finish(self, movement: _Movement, offset: float) -> Movement:
        settings = self._config
        onset = self._onset(movement)
        objection = self._objection(movement, onset, offset)
        if objection is None and offset - onset > settings.micro_max:
            objection = Kind.MACRO, f"lasted {offset - onset:.2f} s, longer than {settings.micro_max:g} s"
        kind, reason = objection or (Kind.MICRO, "")
        found = self._span(movement, onset, offset, kind, reason)
        self._end(offset, found.span)
        return found

    def _end(self, offset: float, span: Span) -> None:
        assert self._movement is not None
        self._strongest = max(self._strongest, self._movement.peak)
        self._movement = None
        if span.strength >= self._config.min_shift:
            self._ended.append(offset)

    def _objection(self, movement: _Movement, onset: float, until: float) -> tuple[Kind, str] | None:
        """Why this is not a micro-expression, as far as can be seen at ``until``."""
        settings = self._config
        inside = [s for s in self._history if onset - 0.05 <= s.time <= until]
        strength = self._strength(movement)
        if strength < settings.min_shift:
            return Kind.UNSURE, f"moved only {strength:.2f} px, less than {settings.min_shift:g} px"
        if inside and max(s.head for s in inside) > settings.head_speed:
            return Kind.HEAD, "the head moved"
        shut = min((s.eyes for s in inside), default=1.0)
        moved = self._moved(movement)
        if shut < 1 - settings.eyes_shut and moved <= UPPER:
            return Kind.BLINK, "the eyes closed and only the upper face moved"
        since = [end for end in self._ended if onset - end < settings.isolation]
        if since:
            kind = Kind.SPEECH if moved <= MOUTH else Kind.MACRO
            return kind, f"one of a run of movements: another ended {max(onset - max(since), 0):.2f} s before"
        if until - onset < settings.micro_min:
            return Kind.UNSURE, f"lasted only {until - onset:.3f} s"
        return None

    def _moved(self, movement: _Movement) -> frozenset[int]:
        """Regions displaced by at least half of the most displaced one."""
        size = np.sqrt((movement.vector**2).sum(axis=1))
        size[list(EYE_REGIONS)] = 0
        return frozenset(int(i) for i in np.flatnonzero(size >= 0.5 * size.max()))

    def _strength(self, movement: _Movement) -> float:
        size = np.sqrt((movement.vector[ACTIVE] ** 2).sum(axis=1))
        return float(np.partition(size, -2)[-2:].mean())

    def _share(self, movement: _Movement, displacement: Floats) -> float:
        """The displacement projected on that at the apex, each region weighted by its precision; 1 at the apex."""
        weight = 1 / (self._noise[ACTIVE, None] + NOISE_FLOOR) ** 2
        apex = movement.vector[ACTIVE]
        away = (displacement - movement.rest)[ACTIVE]
        return float((weight * apex * away).sum() / max((weight * apex**2).sum(), 1e-9))

    def _onset(self, movement: _Movement) -> float:
        """Time at which the movement last was below ``start`` of its peak before the apex."""
        onset = movement.entered
        for sample in reversed(self._history):
            if sample.time > movement.apex:
                continue
            if sample.time < movement.entered - self._config.look_back:
                break
            onset = sample.time
            if self._share(movement, sample.displacement) <= self._config.start:
                break
        return onset

    def _span(self, movement: _Movement, onset: float, offset: float | None, kind: Kind, reason: str) -> Movement:
        status = Status.PROVISIONAL if offset is None else Status.CONFIRMED if kind is Kind.MICRO else Status.REJECTED
        span = Span(movement.id, onset, movement.apex, offset, self._strength(movement), kind, status, reason)
        return Movement(span, movement.vector)
