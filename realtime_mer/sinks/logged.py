"""An event as it is logged: the Event, the numbers of its frames, and its JSON form. No files here."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, Final

from realtime_mer.records import Cue, Event, Kind, Observation, Prediction, Span, Status

HISTORY: Final = 120.0  # s of frame times kept: longer than any movement, and small (8 bytes a frame)


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event with the index of the frame nearest to its onset, apex and offset (None while there is no offset)."""

    event: Event
    onset_frame: int
    apex_frame: int
    offset_frame: int | None

    @property
    def final(self) -> bool:
        return self.event.span.status is not Status.PROVISIONAL

    @property
    def end(self) -> float:
        """The offset in seconds; where it was not seen, the apex."""
        span = self.event.span
        return span.apex if span.offset is None else span.offset


class FrameTimes:
    """The times of the recent frames, so that an event can say which frames it means."""

    def __init__(self) -> None:
        self._times = array("d")
        self._indices = array("q")

    def push(self, observation: Observation) -> bool:
        """Notes a frame. False when this frame was noted before (the report at the end repeats the last frame)."""
        if self._indices and self._indices[-1] == observation.index:
            return False
        self._times.append(observation.time)
        self._indices.append(observation.index)
        if observation.time - self._times[0] > 2 * HISTORY:
            old = bisect_right(self._times, observation.time - HISTORY)
            del self._times[:old], self._indices[:old]
        return True

    def nearest(self, time: float) -> int:
        """Index of the frame nearest to ``time``. Raises IndexError before the first frame."""
        after = bisect_left(self._times, time)
        if after == len(self._times) or (after and time - self._times[after - 1] <= self._times[after] - time):
            after -= 1
        return self._indices[after]

    def log(self, event: Event) -> LoggedEvent:
        span = event.span
        offset = None if span.offset is None else self.nearest(span.offset)
        return LoggedEvent(event, self.nearest(span.onset), self.nearest(span.apex), offset)


def to_json(logged: LoggedEvent) -> dict[str, Any]:
    """The flat JSON object of one event; ``from_json`` gives the same event back. Not-a-number becomes null."""
    event, span, prediction = logged.event, logged.event.span, logged.event.prediction
    return {
        "type": "event",
        "track": event.track,
        "id": span.id,
        "status": span.status.value,
        "kind": span.kind.value,
        "reason": span.reason,
        "onset": _number(span.onset),
        "apex": _number(span.apex),
        "offset": None if span.offset is None else _number(span.offset),
        "onset_frame": logged.onset_frame,
        "apex_frame": logged.apex_frame,
        "offset_frame": logged.offset_frame,
        "strength": _number(span.strength),
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


def from_json(values: dict[str, Any]) -> LoggedEvent:
    """Reads what ``to_json`` made. Raises KeyError, TypeError or ValueError when it is something else."""
    probabilities = values["probabilities"]
    prediction = None
    if probabilities is not None:
        prediction = Prediction(values["label"], {str(k): _float(p) for k, p in probabilities.items()})
    span = Span(
        id=int(values["id"]),
        onset=_float(values["onset"]),
        apex=_float(values["apex"]),
        offset=None if values["offset"] is None else float(values["offset"]),
        strength=_float(values["strength"]),
        kind=Kind(values["kind"]),
        status=Status(values["status"]),
        reason=str(values["reason"]),
    )
    cues = tuple(Cue(c["region"], _float(c["dx"]), _float(c["dy"]), tuple(c["action_units"])) for c in values["cues"])
    event = Event(
        track=int(values["track"]),
        span=span,
        prediction=prediction,
        cues=cues,
        fps=_float(values["fps"]),
        gap=_float(values["gap"]),
        lost=int(values["lost"]),
        model=str(values["model"]),
        provider=str(values["provider"]),
        reported=_float(values["reported"]),
    )
    return LoggedEvent(event, int(values["onset_frame"]), int(values["apex_frame"]), values["offset_frame"])


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
