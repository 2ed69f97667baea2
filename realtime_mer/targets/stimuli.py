"""Markers of a stimulus program, from its LSL stream during a run, at their times on the source's clock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from realtime_mer.errors import ConfigError
from realtime_mer.records import Frame, Marker, Observation, SourceInfo
from realtime_mer.sinks import Sink
from realtime_mer.targets.lsl import clock_offset, library
from realtime_mer.targets.messages import on_this_clock

LOOK_S: Final = 1.0  # wait for the stream before searching again
WAIT_S: Final = 0.2  # wait for a sample
CLOCK_S: Final = 2.0  # wait for a comparison of the other machine's clock with ours
JOIN_S: Final = 3.0
KEY: Final = "lsl"  # key of these markers


def stream_name(address: str) -> str:
    """NAME of lsl:NAME. Raises ConfigError."""
    scheme, _, name = address.partition(":")
    if scheme != "lsl" or not name:
        raise ConfigError(f"markers come from lsl:NAME, not from '{address}'")
    return name


class Stimuli(Sink):
    """Passes every marker of the LSL stream called ``name`` to each of ``marks`` at the next frame.

    The stream may begin later, end and come back. LSL's own comparison of the two machines' clocks converts its stamps
    to our clock. Among the sinks of a run it comes after those that get the markers.

    Raises OutputError when pylsl is missing, ConfigError for a source that has no clock in common with a stimulus
    program (a recording, a browser's camera).
    """

    def __init__(self, name: str, info: SourceInfo, marks: Sequence[Callable[[Marker], None]]) -> None:
        if not on_this_clock(info):
            raise ConfigError(f"markers need a live camera or stream, and {info.uri} is neither")
        self.taken = 0
        self._lsl, self._name, self._marks = library(), name, tuple(marks)
        self._offset = clock_offset(self._lsl)
        self._come: deque[Marker] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"markers of {name}", daemon=True)
        self._thread.start()

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002
        while self._come:
            marker = self._come.popleft()
            for mark in self._marks:
                mark(marker)
            self.taken += 1

    def close(self) -> None:
        self._stop.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        from pylsl.util import LostError

        while not self._stop.is_set():
            found = self._lsl.resolve_byprop("name", self._name, 1, LOOK_S)
            if found and not self._stop.is_set():
                inlet = self._lsl.StreamInlet(found[0], recover=False)
                with suppress(LostError):  # search for it again
                    self._follow(inlet)
                inlet.close_stream()

    def _follow(self, inlet: Any) -> None:
        from pylsl.util import TimeoutError as NoAnswer

        there = 0.0  # the other machine's clock to ours, s
        while not self._stop.is_set():
            sample, stamp = inlet.pull_sample(timeout=WAIT_S)
            if sample is None:
                continue
            with suppress(NoAnswer):  # keep the last known one; clocks drift by microseconds per second
                there = inlet.time_correction(timeout=CLOCK_S)
            self._come.append(Marker(stamp + there - self._offset, KEY, str(sample[0])))
