"""Lab Streaming Layer: sends events, markers and signals for synchrony with EEG, and receives markers of stimulus
programs.

A sample has the capture time of its frame, converted to LSL's clock with one offset that is measured once:
``local_clock() - time.monotonic()`` is constant, while the time of writing depends on the load of the machine. Sources
whose times are not on this machine's clock (a browser's camera, a recording) are converted by the arrival of their
first frame, and the stream's description says so.

Needs pylsl, whose wheel carries liblsl: pip install 'realtime-mer[targets]'.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from realtime_mer.errors import ConfigError, OutputError
from realtime_mer.face.regions import NAMES
from realtime_mer.records import End, Event, Frame, Marker, Observation, Status
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Header
from realtime_mer.sinks.text import event_words
from realtime_mer.targets import State, Stats, Target
from realtime_mer.targets.messages import Message, Messages, on_this_clock

NAME: Final = "realtime-mer"
CONFIGURED: Final = (Path("lsl_api.cfg"), Path("~/lsl_api/lsl_api.cfg"), Path("/etc/lsl_api/lsl_api.cfg"))  # liblsl's
QUIET: Final = "[log]\nlevel = -2\n"  # errors only
TOGETHER_S: Final = 0.02  # interval of pushing signals; each push wakes threads of liblsl and of its readers
TOGETHER: Final = 32  # samples at most
LOOKS: Final = 32  # pairs of readings of both clocks, of which the closest counts
REST: Final = "resting noise"  # the unit of the level and the threshold
CHANNELS: Final = (
    ("track", "number"),
    ("level", REST),
    ("threshold", REST),
    ("head", "px/s"),
    ("eyes", "share"),
    *((f"{name} {axis}", "px") for name in NAMES for axis in ("x", "y")),
)
MOVED: Final = len(CHANNELS) - 2 * len(NAMES)  # where the regions begin


def library() -> Any:
    """Imports pylsl and stops it from writing to standard error, unless it has its own configuration.

    Raises OutputError.
    """
    try:
        lsl = importlib.import_module("pylsl")
    except (ImportError, RuntimeError, OSError) as error:  # the last two: liblsl itself is missing
        reason = " ".join(str(error).split())
        raise OutputError(f"LSL needs pylsl and liblsl ({reason}): pip install 'realtime-mer[targets]'") from None
    if "LSLAPICFG" not in os.environ and not any(path.expanduser().exists() for path in CONFIGURED):
        lsl.set_config_content(QUIET)  # takes effect only before the first call
    return lsl


def clock_offset(lsl: Any) -> float:
    """LSL's clock minus the monotonic clock, s. Read several times, so that an interruption between the two readings
    has no effect."""
    pairs = []
    for _ in range(LOOKS):
        before = time.monotonic()
        there = lsl.local_clock()
        after = time.monotonic()
        pairs.append((after - before, there - (before + after) / 2))
    return float(min(pairs)[1])


def _nothing() -> None:
    """Does nothing: nobody waits for the end."""


class LabStream(Target):
    """Three outlets for each run. A second simultaneous run gets NAME-2 and so on.

    NAME-events   Markers: the JSON message of each report of an event, stamped at its apex.
    NAME-markers  Markers: a few words, stamped where they belong: "micro: negative 83 % onset 1/2", "... apex 1/2",
                  "... offset 1/2" (face 1, movement 2), and the markers of the user.
    NAME-signals  float32, one sample a frame with a measured face (the first one): CHANNELS, with their units.
    """

    def __init__(self, name: str = NAME, *, rejected: bool = False) -> None:
        if not (name or NAME).isprintable():
            raise ConfigError("an LSL stream needs a printable name")
        self._lsl, self._prefix, self._rejected = library(), name or NAME, rejected
        self._offset = clock_offset(self._lsl)
        self._runs: dict[int, _Outlets] = {}
        self._sent = 0  # of ended runs
        self.name = f"lsl:{self._prefix}"

    def follow(self, head: Header, stats: Stats | None = None) -> Sink:
        number = next(n for n in range(1, len(self._runs) + 2) if n not in self._runs)
        prefix = self._prefix if number == 1 else f"{self._prefix}-{number}"
        offset = self._offset if on_this_clock(head.source) else None
        outlets = self._runs[number] = _Outlets(self._lsl, prefix, head, stats, offset, rejected=self._rejected)
        outlets.closed = lambda: self._over(number)
        return outlets

    @property
    def state(self) -> State:
        runs = tuple(self._runs.values())
        return State(self._sent + sum(r.sent for r in runs), peers=sum(r.listening for r in runs))

    def close(self) -> None:
        for outlets in tuple(self._runs.values()):
            outlets.close()

    def _over(self, number: int) -> None:
        if (outlets := self._runs.pop(number, None)) is not None:
            self._sent += outlets.sent


class _Outlets(Sink):
    """The outlets of one run. Pushing a sample takes microseconds and never blocks: liblsl keeps it for its readers.

    offset: from the source's clock to LSL's, s; None until the first frame. sent: samples of events and markers.
    """

    def __init__(
        self, lsl: Any, prefix: str, head: Header, stats: Stats | None, offset: float | None, *, rejected: bool
    ) -> None:
        self._lsl, self._offset, self.sent = lsl, offset, 0
        self.closed: Callable[[], None] = _nothing
        self._samples = np.zeros((TOGETHER, len(CHANNELS)), np.float32)  # not pushed yet, with their stamps
        self._stamps: list[float] = []
        self._pushed = 0.0  # s on the source's clock
        self._messages: Messages | None = Messages(self._event, head, stats, rejected=rejected)
        clock = "offset measured" if offset is not None else "by the arrival of the first frame"
        about = {"source": head.source.uri, "model": head.model, "product": head.product, "clock": clock}
        self._events = self._outlet(f"{prefix}-events", "Markers", (("event", "JSON"),), "string", about)
        self._markers = self._outlet(f"{prefix}-markers", "Markers", (("marker", "text"),), "string", about)
        self._signals = self._outlet(f"{prefix}-signals", "FaceMotion", CHANNELS, "float32", about)

    @property
    def listening(self) -> bool:
        """Whether there is any reader."""
        return any(o is not None and o.have_consumers() for o in (self._events, self._markers, self._signals))

    def write(self, observation: Observation, frame: Frame) -> None:
        if self._offset is None:
            self._offset = self._lsl.local_clock() - observation.time
        for signal in observation.faces:
            if (activity := signal.activity) is not None:
                row = self._samples[len(self._stamps)]
                row[:MOVED] = signal.face.track, activity.level, activity.threshold, activity.head, activity.eyes
                row[MOVED:] = activity.displacement.ravel()
                self._stamps.append(observation.time + self._offset)
                break
        if self._stamps and (observation.time - self._pushed >= TOGETHER_S or len(self._stamps) == len(self._samples)):
            self._pushed = observation.time
            self._push()
        if self._messages is not None:
            self._messages.write(observation, frame)
        self._words(observation.events)

    def mark(self, marker: Marker) -> None:
        """Sends a marker of the user."""
        self._mark(marker.text or marker.key, marker.time)

    def end(self, end: End) -> None:
        self._push()
        if self._messages is not None:
            self._messages.end(end)
        self._words(end.events)

    def close(self) -> None:
        """Ends the outlets, which LSL frees when nothing refers to them."""
        self._push()
        self._events = self._markers = self._signals = None
        # The messages refer to this object, and to the source with its last frames: a cycle, which would keep
        # everything in memory until the next garbage collection, which is rare in a long process.
        self._messages = None
        self.closed()
        self.closed = _nothing

    def _push(self) -> None:
        if self._signals is not None and self._stamps:
            self._signals.push_chunk(self._samples[: len(self._stamps)], self._stamps)
            self._stamps = []

    def _event(self, message: Message, passing: bool) -> None:  # noqa: ARG002
        if message["type"] == "event" and self._events is not None and self._offset is not None:
            self._events.push_sample([json.dumps(message, allow_nan=False)], message["apex"] + self._offset)
            self.sent += 1

    def _words(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if event.status is Status.CONFIRMED:
                moved, number = event.movement, f"{event.track}/{event.movement.id}"
                for moment, at in (("onset", moved.onset), ("apex", moved.apex), ("offset", moved.end)):
                    self._mark(f"{event_words(event)} {moment} {number}", at)

    def _mark(self, text: str, at: float) -> None:
        if self._markers is not None and self._offset is not None:
            self._markers.push_sample([text], at + self._offset)
            self.sent += 1

    def _outlet(
        self, name: str, kind: str, channels: tuple[tuple[str, str], ...], form: str, about: dict[str, str]
    ) -> Any:
        info = self._lsl.StreamInfo(name, kind, len(channels), self._lsl.IRREGULAR_RATE, form, name)
        described = info.desc()
        described.append_child_value("manufacturer", NAME)
        for key, value in about.items():
            described.append_child_value(key, value)
        listed = described.append_child("channels")
        for label, unit in channels:
            channel = listed.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
            channel.append_child_value("type", kind)
        return self._lsl.StreamOutlet(info)
