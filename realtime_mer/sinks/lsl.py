"""Lab Streaming Layer: events as markers and the activity level as a signal, for synchrony with EEG and others.

Needs pylsl, which is not among our requirements: ``pip install pylsl``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from typing import Any

from realtime_mer.errors import OutputError
from realtime_mer.records import End, Event, Frame, Observation
from realtime_mer.sinks import Sink
from realtime_mer.sinks.event_json import to_json


class LabStream(Sink):
    """Two outlets: ``NAME-events`` (each event's JSON, stamped at its apex) and ``NAME-level`` (float32 level and
    threshold of the first measured face). A stamp is LSL's clock minus the age of what it marks on the source's clock.

    Raises OutputError when pylsl or its library is missing.
    """

    def __init__(self, name: str = "realtime-mer") -> None:
        try:
            self._lsl: Any = importlib.import_module("pylsl")
        except (ImportError, RuntimeError, OSError) as error:  # the last two: liblsl itself is missing
            reason = " ".join(str(error).split())
            raise OutputError(f"LSL output needs pylsl and liblsl ({reason}): pip install pylsl") from None
        lsl = self._lsl
        events = lsl.StreamInfo(f"{name}-events", "Markers", 1, lsl.IRREGULAR_RATE, "string", f"{name}-events")
        level = lsl.StreamInfo(f"{name}-level", "Motion", 2, lsl.IRREGULAR_RATE, "float32", f"{name}-level")
        self._events = lsl.StreamOutlet(events)
        self._level = lsl.StreamOutlet(level)

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002
        now = self._lsl.local_clock()
        activity = next((s.activity for s in observation.faces if s.activity is not None), None)
        if activity is not None:
            self._level.push_sample([activity.level, activity.threshold], now)
        self._mark(observation.events, observation.time, now)

    def end(self, end: End) -> None:
        if end.time is not None:
            self._mark(end.events, end.time, self._lsl.local_clock())

    def _mark(self, events: Iterable[Event], time: float, now: float) -> None:
        for event in events:
            self._events.push_sample([json.dumps(to_json(event))], now - (time - event.movement.apex))

    def close(self) -> None:
        """Ends the outlets: LSL frees them when nothing refers to them."""
        self._events = self._level = None
