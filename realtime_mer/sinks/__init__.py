"""Where observations go: log, tables, video, clips, report. Each module is one sink or one format derived from the log.

The JSON Lines log (``jsonl``) is the master record; ``convert`` derives every exchange format from it. Nothing is
measured or decided here, and importing this package imports no sink.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Protocol, Self, runtime_checkable

from realtime_mer.records import End, Frame, Marker, Observation

# The files of one recording.
LOG: Final = "events.jsonl"
EVENTS_CSV: Final = "events.csv"
SIGNALS_CSV: Final = "signals.csv"
VIDEO: Final = "annotated.mp4"
RECORDED: Final = "video.mp4"  # recording of a live run, as captured
REPORT: Final = "report.html"
CLIPS: Final = "clips"  # a folder: a video per event
STILLS: Final = "stills"  # a folder: a strip of images per event, for the report


@runtime_checkable
class Marked(Protocol):
    """A sink that also receives markers, in the writing thread."""

    def mark(self, marker: Marker) -> None: ...


class Sink(ABC):
    """Receives every Observation in order, and leaves complete files however the run ends.

    The constructor raises OutputError if the output cannot be written, so that this is known before work starts.
    ``write`` raises OutputError if writing fails later (disk full); everything written before stays readable.
    """

    @abstractmethod
    def write(self, observation: Observation, frame: Frame) -> None:
        """Receives one observation and its frame."""

    def end(self, end: End) -> None:
        """Receives the last events. Not called if the run was cut short."""
        del end

    @abstractmethod
    def close(self) -> None:
        """Finishes the output. Closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
