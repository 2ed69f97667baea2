"""An event as a flat JSON object: how it stands in the log and goes out to other programs. No files here."""

from __future__ import annotations

import math
from typing import Any

from realtime_mer.records import Cue, Event, Kind, Movement, Prediction, Status


def to_json(event: Event) -> dict[str, Any]:
    """The flat JSON object of one event, without its arrays; not-a-number becomes null.

    ``from_json`` gives back an event that is equal to it.
    """
    movement, prediction = event.movement, event.prediction
    return {
        "type": "event",
        "track": event.track,
        "id": movement.id,
        "status": movement.status.value,
        "kind": movement.kind.value,
        "reason": movement.reason,
        "onset": _number(movement.onset),
        "apex": _number(movement.apex),
        "offset": None if movement.offset is None else _number(movement.offset),
        "onset_frame": event.onset_frame,
        "apex_frame": event.apex_frame,
        "offset_frame": event.offset_frame,
        "strength": _number(movement.strength),
        "label": prediction.label if prediction else None,
        "abstained": prediction.abstained if prediction else None,
        "probabilities": {k: _number(p) for k, p in prediction.probabilities.items()} if prediction else None,
        "cues": [
            {"region": c.region, "dx": _number(c.dx), "dy": _number(c.dy), "action_units": list(c.action_units)}
            for c in event.cues
        ],
        "fps": _number(event.fps),
        "gap": _number(event.gap),
        "lost": event.lost,
        "model": event.model,
        "provider": event.provider,
        "reported": _number(event.reported),
    }


def from_json(values: dict[str, Any]) -> Event:
    """Reads what ``to_json`` made. Raises KeyError, TypeError or ValueError when it is something else."""
    probabilities = values["probabilities"]
    prediction = None
    if probabilities is not None:
        prediction = Prediction(values["label"], {str(k): _float(p) for k, p in probabilities.items()})
    movement = Movement(
        id=int(values["id"]),
        onset=_float(values["onset"]),
        apex=_float(values["apex"]),
        offset=None if values["offset"] is None else float(values["offset"]),
        strength=_float(values["strength"]),
        kind=Kind(values["kind"]),
        reason=str(values["reason"]),
    )
    if movement.status is not Status(values["status"]):
        raise ValueError(f"status {values['status']!r} does not fit kind {movement.kind} and offset {movement.offset}")
    return Event(
        track=int(values["track"]),
        movement=movement,
        onset_frame=int(values["onset_frame"]),
        apex_frame=int(values["apex_frame"]),
        offset_frame=None if values["offset_frame"] is None else int(values["offset_frame"]),
        prediction=prediction,
        cues=tuple(
            Cue(c["region"], _float(c["dx"]), _float(c["dy"]), tuple(c["action_units"])) for c in values["cues"]
        ),
        fps=_float(values["fps"]),
        gap=_float(values["gap"]),
        lost=int(values["lost"]),
        model=str(values["model"]),
        provider=str(values["provider"]),
        reported=_float(values["reported"]),
    )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
