"""Records what registration measures of a face on its way to the spotter: everything that a spotter sees.

No picture is stored. From a tape, the same spotter with the same settings reports the same movements.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import REGIONS
from realtime_mer.records import Activity, End, Event, Floats, Frame, Measurement, Movement, Observation
from realtime_mer.sinks import Sink
from realtime_mer.spotting import MakeSpotter, Spotter

# A row of a tape: dx and dy of each region, the noise of each region, head, eyes, fit.
R: Final = len(REGIONS)
DISPLACEMENT, NOISE = slice(0, 2 * R), slice(2 * R, 3 * R)
HEAD, EYES, FIT = range(3 * R, 3 * R + 3)
WIDTH: Final = 3 * R + 3
NO_PICTURE: Final = np.zeros((0, 0), np.uint8)


@dataclass(slots=True)
class Tape:
    """Everything one spotter saw, from when its face came into view.

    track: of the face. first_id: of its first movement. index, time: of each frame; s. values: WIDTH numbers per frame.
    breaks: (frames before it, reason): where measuring was interrupted, and why.
    """

    first_id: int
    track: int = 0
    index: array[int] = field(default_factory=lambda: array("q"))
    time: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("f"))
    breaks: list[tuple[int, str]] = field(default_factory=list)

    def add(self, measurement: Measurement) -> None:
        """Records the next measurement."""
        self.index.append(measurement.index)
        self.time.append(measurement.time)
        self.values.frombytes(measurement.displacement.astype(np.float32).tobytes())
        self.values.frombytes(measurement.noise.astype(np.float32).tobytes())
        self.values.extend((measurement.head, measurement.eyes, measurement.fit))

    def interrupt(self, reason: str) -> None:
        """Records that measuring was interrupted here; of several breaks in a row, only the first counts."""
        done = self.breaks[-1][0] if self.breaks else 0
        if len(self.time) > done:
            self.breaks.append((len(self.time), reason))

    def measurements(self) -> Iterator[Measurement]:
        """The recorded measurements, without the images and their positions, which no spotter uses."""
        for index, time, row in zip(self.index, self.time, self.table, strict=True):
            yield Measurement(
                index=index,
                time=time,
                displacement=row[DISPLACEMENT].reshape(R, 2),
                noise=row[NOISE],
                head=float(row[HEAD]),
                eyes=float(row[EYES]),
                fit=float(row[FIT]),
                lost=False,
                stale=False,
                aligned=NO_PICTURE,
                transform=np.eye(2, 3),
            )

    @property
    def table(self) -> Floats:
        """``values`` as float32 (N, WIDTH)."""
        return np.frombuffer(self.values, np.float32).reshape(-1, WIDTH)


class TapedSpotter:
    """A ``Spotter`` that records its input and passes it on to another."""

    def __init__(self, spotter: Spotter, tape: Tape, pushed: list[TapedSpotter]) -> None:
        self.tape = tape
        self.latest: Activity | None = None
        self._spotter, self._pushed = spotter, pushed

    @property
    def settled(self) -> bool:
        return self._spotter.settled

    @property
    def quiet(self) -> bool:
        return self._spotter.quiet

    def push(self, measurement: Measurement) -> tuple[Activity, Sequence[Movement]]:
        self.tape.add(measurement)
        self.latest, movements = self._spotter.push(measurement)
        self._pushed.append(self)
        return self.latest, movements

    def interrupt(self, reason: str) -> Sequence[Movement]:
        self.tape.interrupt(reason)
        return self._spotter.interrupt(reason)


class Tapes(Sink):
    """The tapes of a run. Give ``make`` to ``build(spotter=...)``, and the object itself to the run as a sink.

    frames: index, time in s, frames lost before it and whether it repeats the one before, of every frame.
    events: the final ones, with the motion that the recognizer saw.
    """

    def __init__(self, spotter: MakeSpotter) -> None:
        self.tapes: list[Tape] = []
        self.events: list[Event] = []
        self.index, self.time = array("q"), array("d")
        self.lost, self.repeated = array("q"), array("b")
        self._spotter = spotter
        self._pushed: list[TapedSpotter] = []  # of the current frame

    def make(self, settings: SpotConfig, first_id: int) -> Spotter:
        """A spotter whose tape is stored here."""
        self.tapes.append(Tape(first_id))
        return TapedSpotter(self._spotter(settings, first_id), self.tapes[-1], self._pushed)

    def write(self, observation: Observation, frame: Frame) -> None:
        self.index.append(frame.index)
        self.time.append(frame.time)
        self.lost.append(frame.lost)
        self.repeated.append(frame.repeated)
        tracks = {id(signal.activity): signal.face.track for signal in observation.faces}
        for spotter in self._pushed:  # a spotter does not know its track; its answer comes back with the track
            spotter.tape.track = tracks.get(id(spotter.latest), spotter.tape.track)
        self._pushed.clear()
        self.events += [event for event in observation.events if event.final]

    def end(self, end: End) -> None:
        self.events += [event for event in end.events if event.final]

    def close(self) -> None:
        pass
