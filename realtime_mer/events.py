"""Turns movements into events: which are classified, and how a provisional report becomes a final one.

The reporter knows no faces. It receives what a spotter reported together with that face's ring of recent frames, and
returns the events to publish now. Events that are still being classified follow from ``classified``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from realtime_mer.config import Config
from realtime_mer.motion.flow import recognizer_input
from realtime_mer.motion.ring import KeyFrames, Ring
from realtime_mer.observe import Observer, Stage, observed
from realtime_mer.recognize import Answer, Recognizer, answer
from realtime_mer.recognize.worker import BatchWorker
from realtime_mer.records import Event, Floats, Kind, Movement, Status
from realtime_mer.spotting.cues import cues, side


@dataclass(slots=True)
class _Known:
    """The answer for a provisional event, which is valid for the final one if the key frames stay the same."""

    id: int
    onset: float
    apex: float
    answer: Answer
    motion: Floats


class Reporter:
    """Turns movements into events. live: classify in another thread, and never wait for it."""

    def __init__(
        self, recognizer: Recognizer | None, config: Config, live: bool, observers: Sequence[Observer] = ()
    ) -> None:
        self._recognizer, self._config, self._live = recognizer, config, live
        self._worker: BatchWorker[Event, KeyFrames] | None = None
        if recognizer is not None:
            spec = recognizer.spec
            make = partial(recognizer_input, feature=spec.feature, size=spec.input_shape[1])
            self._worker = BatchWorker(
                observed(recognizer.classify, Stage.CLASSIFY, observers),
                observed(make, Stage.CLASSIFY, observers),
                threaded=live,
            )
        self._closed: dict[int, int] = {}  # track -> id of the latest movement with a final report
        self._known: dict[int, _Known] = {}  # track -> the latest provisional answer

    def report(self, track: int, ring: Ring, movements: Sequence[Movement], now: float) -> list[Event]:
        """Events to publish at source time ``now``; those that need the recognizer first are handed to it."""
        events: list[Event] = []
        for movement in movements:
            event = self._event(track, ring, movement, now)
            micro = event.movement.kind is Kind.MICRO
            if not (micro or event.final):
                continue  # the final report will have it
            if not micro or self._worker is None or not (event.final or self._config.classify.provisional):
                events.append(event)
                if event.final:
                    self._closed[track] = movement.id
            elif (known := self._answer(track, movement)) is not None:
                events.append(answered(event, known.answer, known.motion))
            else:
                self._worker.submit(event, ring.key_frames(movement.onset, movement.apex))
        return events

    def classified(self, now: float, wait: bool) -> list[Event]:
        """Events whose classification is done. wait: for all of them."""
        if self._worker is None or self._recognizer is None:
            return []
        events = []
        for event, motion, row in self._worker.drain() if wait else self._worker.ready():
            found = answer(row, self._recognizer.spec)
            movement = event.movement
            if event.status is Status.PROVISIONAL:
                if movement.id <= self._closed.get(event.track, 0):
                    continue  # too late: its final report has been published
                self._known[event.track] = _Known(movement.id, movement.onset, movement.apex, found, motion)
            events.append(answered(replace(event, reported=now), found, motion))
        return events

    def close(self) -> None:
        """Ends the thread and drops what is still waiting."""
        if self._worker is not None:
            self._worker.close()

    def _answer(self, track: int, movement: Movement) -> _Known | None:
        known = self._known.pop(track, None)
        if known is None or (known.id, known.onset, known.apex) != (movement.id, movement.onset, movement.apex):
            return None
        return known

    def _event(self, track: int, ring: Ring, movement: Movement, now: float) -> Event:
        rate, gap, lost = ring.rate(movement.onset, movement.end)
        if movement.kind in (Kind.MICRO, Kind.HELD) and 0 < rate < self._config.spot.min_rate_fps:
            reason = f"{rate:.1f} frames/s cannot resolve a micro-expression"
            movement = replace(movement, kind=Kind.UNDECIDED, reason=reason)
        model, provider = (r.spec.id, r.provider) if (r := self._recognizer) else ("", "")
        return Event(
            track=track,
            movement=movement,
            onset_frame=ring.frame(movement.onset),
            apex_frame=ring.frame(movement.apex),
            offset_frame=None if movement.offset is None else ring.frame(movement.offset),
            prediction=None,
            cues=() if movement.displacement is None else cues(movement.displacement),
            side="" if movement.displacement is None else side(movement.displacement),
            fps=rate,
            gap=gap,
            lost=lost,
            model=model,
            provider=provider,
            reported=now,
        )


def answered(event: Event, found: Answer, motion: Floats) -> Event:
    """The event with the recognizer's answer and input."""
    return replace(
        event, prediction=found.prediction, objective=found.objective, action_units=found.action_units, motion=motion
    )
