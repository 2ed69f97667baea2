"""An event as a flat JSON object, as in the log and in messages to other programs. No files here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from realtime_mer.records import Cue, Event, Kind, Movement, Prediction, Status
from realtime_mer.typed import Count, Fraction, Measure, convert, shown

Probabilities = Annotated[dict[str, Fraction], msgspec.Meta(min_length=1)]


def to_json(event: Event) -> dict[str, Any]:
    """The flat JSON object of one event, without its arrays; NaN becomes null.

    ``from_json`` returns an equal event.
    """
    movement, prediction = event.movement, event.prediction
    return {
        "type": "event",
        "track": event.track,
        "id": movement.id,
        "status": movement.status.value,
        "kind": movement.kind.value,
        "reason": movement.reason,
        "held": movement.held,
        "onset": _number(movement.onset),
        "apex": _number(movement.apex),
        "offset": None if movement.offset is None else _number(movement.offset),
        "onset_frame": event.onset_frame,
        "apex_frame": event.apex_frame,
        "offset_frame": event.offset_frame,
        "strength": _number(movement.strength),
        "label": prediction.label if prediction else None,
        "abstained": prediction.abstained if prediction else None,
        "probabilities": _numbers(prediction.probabilities) if prediction else None,
        "objective": event.objective.label if event.objective else None,
        "objective_probabilities": _numbers(event.objective.probabilities) if event.objective else None,
        "action_units": None if event.action_units is None else _numbers(event.action_units),
        "cues": [
            {"region": c.region, "dx": _number(c.dx), "dy": _number(c.dy), "action_units": list(c.action_units)}
            for c in event.cues
        ],
        "side": event.side,
        "fps": _number(event.fps),
        "gap": _number(event.gap),
        "lost": event.lost,
        "model": event.model,
        "provider": event.provider,
        "reported": _number(event.reported),
    }


def from_json(values: dict[str, Any]) -> Event:
    """Reads what ``to_json`` made. Raises ValueError with one line when it is something else."""
    line = convert(values, _Line)
    movement = Movement(
        line.id, line.onset, line.apex, line.offset, _float(line.strength), line.kind, line.reason, held=line.held
    )
    if movement.status is not line.status:
        raise ValueError(f"status '{line.status}' does not fit kind {movement.kind} and offset {movement.offset}")
    return Event(
        track=line.track,
        movement=movement,
        onset_frame=line.onset_frame,
        apex_frame=line.apex_frame,
        offset_frame=line.offset_frame,
        prediction=_prediction(line),
        objective=_objective(line),
        action_units=line.action_units,
        cues=tuple(Cue(c.region, _float(c.dx), _float(c.dy), c.action_units) for c in line.cues),
        side=line.side,
        fps=_float(line.fps),
        gap=_float(line.gap),
        lost=line.lost,
        model=line.model,
        provider=line.provider,
        reported=_float(line.reported),
    )


def _prediction(line: _Line) -> Prediction | None:
    if line.abstained is not (None if line.probabilities is None else line.label is None):
        raise ValueError(f"abstained is {line.abstained}, which does not fit label and probabilities")
    return _answer("label", line.label, line.probabilities)


def _objective(line: _Line) -> Prediction | None:
    return _answer("objective", line.objective, line.objective_probabilities)


def _answer(name: str, label: str | None, probabilities: dict[str, float] | None) -> Prediction | None:
    if label is not None and label not in (probabilities or {}):
        raise ValueError(f"{name} {shown(label)} is not among the probabilities")
    return None if probabilities is None else Prediction(label, probabilities)


@dataclass(frozen=True, slots=True)
class _CueLine:
    region: str
    dx: Measure | None
    dy: Measure | None
    action_units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """The fields of ``to_json`` with their types."""

    track: Count
    id: Count
    status: Status
    kind: Kind
    reason: str
    onset: Measure
    apex: Measure
    offset: Measure | None
    onset_frame: Count
    apex_frame: Count
    offset_frame: Count | None
    strength: Measure | None
    label: str | None
    abstained: bool | None
    probabilities: Probabilities | None
    cues: tuple[_CueLine, ...]
    fps: Measure | None
    gap: Measure | None
    lost: Count
    model: str
    provider: str
    reported: Measure | None
    held: bool = False  # missing in logs of earlier versions
    side: Literal["left", "right", "both", ""] = ""
    objective: str | None = None
    objective_probabilities: Probabilities | None = None
    action_units: Probabilities | None = None


def _numbers(values: dict[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _float(value: float | None) -> float:
    return math.nan if value is None else value
