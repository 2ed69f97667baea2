"""One clock for recordings whose timestamps restart, go back, or are replaced by a rate from the user."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from typing import NamedTuple

import av

from realtime_mer.sources.decode import Picture, Pictures
from realtime_mer.sources.feed import Counts

NO_TIME = "without a timestamp"
BEHIND = "with a time that is not after that of the frame before"
BACK_S = 0.5  # two frames this far behind are a restart; a smaller step may be frames out of order
STRAYS = 8  # this many frames out of order in a row are a restart anyway
SILENCE_S = 1.0  # an interval longer than this ...
SILENCE_FRAMES = 10  # ... and than so many usual ones is a hole in the recording


class Timed(NamedTuple):
    """A frame with its time, s, and the unknown seconds before it."""

    time: float
    hole: float
    frame: av.VideoFrame


class FileClock:
    """Puts frames on one clock that only goes forward, and records where the container's own does not.

    start: start of the container's clock, s. usual: nominal interval between frames, s, used for the unknown time
    between two parts.
    """

    def __init__(self, counts: Counts, start: float, usual: float) -> None:
        self._counts, self._usual, self._offset = counts, usual, -start
        self._given: float | None = None  # latest time of the container's
        self._last: float | None = None  # of the latest frame, on our clock
        self._ended = 0.0  # of the latest frame on our clock, whether it may be shown or not
        self._restarts: list[float] = []
        self._silences: list[tuple[float, float]] = []

    def run(self, shown: Pictures) -> Generator[Timed, None, None]:
        """The frames of ``shown`` at increasing times. A single frame out of order is skipped and counted."""
        strays: list[Picture] = []
        for picture in shown:
            given, frame = picture
            if frame is None:
                if given is not None and self._given is not None and given > self._given:
                    self._given, self._ended = given, given + self._offset
            elif given is None:
                self._counts.skip(NO_TIME)
            elif self._given is None or given > self._given:
                self._skip(strays)
                yield self._forward(given, frame)
            else:
                strays.append(picture)
                far = len(strays) > 1 and self._given - given >= BACK_S
                if far or len(strays) >= STRAYS:
                    yield from self._settle(strays)
        yield from self._settle(strays)
        self._tell()

    def _forward(self, given: float, frame: av.VideoFrame) -> Timed:
        time, hole = given + self._offset, 0.0
        if self._last is not None and time - self._last > max(SILENCE_S, SILENCE_FRAMES * self._usual):
            hole = time - self._last
            self._silences.append((self._last, time))
        self._given, self._last, self._ended = given, time, time
        return Timed(time, hole, frame)

    def _settle(self, strays: list[Picture]) -> Generator[Timed, None, None]:
        """Handles frames behind the clock: a restart if they continue each other, otherwise skipped."""
        times = [picture.time for picture in strays if picture.time is not None]
        if len(times) < 2 or not all(a < b for a, b in pairwise(times)):
            self._skip(strays)
            return
        time = self._ended + self._usual
        self._offset, self._given, self._last = time - times[0], None, None
        self._restarts.append(time)
        for given, picture in zip(times, strays, strict=True):
            if picture.frame is not None:
                hole = self._usual if self._given is None else 0.0
                yield self._forward(given, picture.frame)._replace(hole=hole)
        strays.clear()

    def _skip(self, strays: list[Picture]) -> None:
        for _ in strays:
            self._counts.skip(BEHIND)
        strays.clear()

    def _tell(self) -> None:
        if self._restarts:
            times = "once" if len(self._restarts) == 1 else f"{len(self._restarts)} times"
            self._counts.notes.append(
                f"the timestamps restart {times}, first at {self._restarts[0]:.3f} s; the unknown time between "
                f"the parts is shown as {1000 * self._usual:.3g} ms"
            )
        if self._silences:
            start, end = self._silences[0]
            more = f", and {len(self._silences) - 1} more" if len(self._silences) > 1 else ""
            self._counts.notes.append(f"no frames from {start:.3f} s to {end:.3f} s{more}: a hole in the recording")


def at_rate(shown: Pictures, rate: float, counts: Counts) -> Generator[Timed, None, None]:
    """The frames at the capture rate (frames/s) given by the user, without the container's times.

    Skipped frames keep their places.
    """
    before, last, index = counts.skipped, None, 0
    for given, frame in shown:
        if frame is None:
            continue
        again = last is not None and given is not None and last - given >= BACK_S
        yield Timed((index + counts.skipped - before) / rate, 1 / rate if again else 0.0, frame)
        last, index = given, index + 1
