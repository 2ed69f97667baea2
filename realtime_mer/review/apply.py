"""Applies a coder's corrections to a log. The result has the same records, so every export, the report and training can
use it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from realtime_mer.errors import SourceError
from realtime_mer.records import Event, Kind, Movement, Prediction
from realtime_mer.review.decisions import Decision, Review, read_review, review_name
from realtime_mer.sinks import SIGNALS_CSV
from realtime_mer.sinks.jsonl import Recording, read_jsonl
from realtime_mer.sinks.signals import read_signals

DISMISSED = "dismissed by coder"


def reviewed(log: Path, review: str | Path) -> Recording:
    """The log with a coder's corrections. review: the coder's name, or the coder's file.

    Raises SourceError when one of the files cannot be read, ConfigError for an invalid name.
    """
    path = review if isinstance(review, Path) else log.with_name(review_name(review))
    if not path.is_file():
        raise SourceError(f"there is no review {path.name} beside {log}")
    return apply(read_jsonl(log), read_review(path), frame_times(log))


def frame_times(log: Path) -> Sequence[float]:
    """Times of the frames of a log, s, from the signals.csv beside it, if any."""
    signals = log.with_name(SIGNALS_CSV)
    return read_signals(signals).frames if signals.is_file() else ()


def apply(recording: Recording, review: Review, frames: Sequence[float] = ()) -> Recording:
    """``recording`` with a coder's decisions. Other events are unchanged.

    Accepted events become micro-expressions, rejected ones are dismissed, times and labels are the coder's. A label by
    a coder has probability 1 and the model "coder NAME". frames: times of the frames, s, from which the frame indices
    follow; otherwise they follow from the rate.
    """
    said = review.now()
    clock = _Clock(recording, frames)
    events = [
        _changed(event, step, review.coder, clock) if event.final and (step := said.get(event_name(event))) else event
        for event in recording.events
    ]
    events += [
        _added(step, number, review.coder, clock)
        for number, step in enumerate((s for s in said.values() if s.added and s.verdict != "rejected"), 1)
    ]
    return recording._replace(events=events)


def coded(recording: Recording, review: Review, frames: Sequence[float] = ()) -> Recording:
    """As ``apply``, with only the events that the coder accepted or added: the coder's own coding."""
    accepted = {name for name, step in review.now().items() if step.verdict == "accepted"}
    seen = [event for event in recording.events if event.final and event_name(event) in accepted]
    return apply(recording._replace(events=seen), review, frames)


def event_name(event: Event) -> str:
    """The name of a logged event in decisions."""
    return f"{event.track}-{event.movement.id}"


class _Clock:
    """Finds the frame at a time."""

    def __init__(self, recording: Recording, frames: Sequence[float]) -> None:
        self._frames = np.asarray(frames, np.float64)
        self._rate = recording.header.source.rate
        self._start = recording.header.start or 0.0

    def frame(self, time: float, event: Event | None = None) -> int:
        if len(self._frames):
            return int(np.abs(self._frames - time).argmin())
        if event is not None and event.fps > 0:
            return max(0, event.apex_frame + round((time - event.movement.apex) * event.fps))
        return max(0, round((time - self._start) * self._rate))


def _changed(event: Event, step: Decision, coder: str, clock: _Clock) -> Event:
    movement = event.movement
    kind, reason = movement.kind, movement.reason
    if step.verdict == "accepted":
        kind, reason = Kind.MICRO, ""
    elif step.verdict == "rejected" and kind is Kind.MICRO:
        kind, reason = Kind.DISMISSED, f"{DISMISSED} {coder}"
    if step.comment and kind is not Kind.MICRO:
        reason = f"{reason}: {step.comment}" if reason else step.comment
    onset = movement.onset if step.onset is None else step.onset
    offset = movement.end if step.offset is None else step.offset
    apex = min(max(movement.apex if step.apex is None else step.apex, onset), offset)
    moved = replace(movement, onset=onset, apex=apex, offset=offset, kind=kind, reason=reason)
    changed = replace(
        event,
        movement=moved,
        onset_frame=event.onset_frame if onset == movement.onset else clock.frame(onset, event),
        apex_frame=event.apex_frame if apex == movement.apex else clock.frame(apex, event),
        offset_frame=event.offset_frame if offset == movement.offset else clock.frame(offset, event),
    )
    if step.label is None:
        return changed
    return replace(changed, prediction=_answer(step.label), model=f"coder {coder}", provider="")


def _added(step: Decision, number: int, coder: str, clock: _Clock) -> Event:
    if step.onset is None or step.offset is None:  # ``check`` allows none, so the file was written by hand
        raise SourceError(f"the review of {coder} adds {step.event} without an onset and an offset")
    apex = (step.onset + step.offset) / 2 if step.apex is None else step.apex
    movement = Movement(10**6 + number, step.onset, apex, step.offset, math.nan, Kind.MICRO)
    return Event(
        track=step.face or 0,
        movement=movement,
        onset_frame=clock.frame(step.onset),
        apex_frame=clock.frame(apex),
        offset_frame=clock.frame(step.offset),
        prediction=_answer(step.label) if step.label is not None else None,
        cues=(),
        fps=math.nan,
        gap=math.nan,
        lost=0,
        model=f"coder {coder}",
        provider="",
        reported=step.offset,
    )


def _answer(label: str) -> Prediction | None:
    """The coder's label as a prediction; an empty label means that the coder is undecided."""
    return Prediction(label, {label: 1.0}) if label else None
