"""One job: an upload with its analysis, or a live recording. ``jobs`` manages them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from realtime_mer.sinks import LOG, RECORDED

KINDS: Final = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".mjpeg")
RESULTS: Final = (".jsonl", ".zip")  # a log, or a folder of results as downloaded with "everything"
UPLOAD: Final = "upload"  # name of the uploaded file in the job's folder, plus its own suffix
CODING: Final = "coding-"  # prefix of imported codings


class State(StrEnum):
    """The state of a job."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    RUNNING = "running"
    RECORDING = "recording"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self in (State.DONE, State.FAILED, State.STOPPED)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of an analysis that a viewer may choose. enter: the sensitivity, None for the server's. private: make no
    pictures.

    video: make the annotated video.
    """

    enter: float | None = None
    private: bool = False
    video: bool = True


@dataclass(slots=True, eq=False)
class Job:
    """One recording of one owner. size: announced bytes of the upload. error: what went wrong.

    share: completed fraction of the analysis, None while unknown. rate: frames/s analyzed. began: monotonic time at the
    start of the analysis.
    """

    id: str
    owner: str
    name: str
    folder: Path
    size: int
    options: Options
    state: State = State.UPLOADING
    error: str = ""
    share: float | None = None
    frames: int = 0
    found: int = 0
    began: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)  # of its reviews and clips

    @property
    def upload(self) -> Path:
        """The path of the uploaded file."""
        return self.folder / f"{UPLOAD}{Path(self.name).suffix.lower()}"

    @property
    def log(self) -> Path:
        return self.folder / LOG

    @property
    def left_s(self) -> float | None:
        """Estimated seconds of analysis left; None while unknown."""
        if self.state is not State.RUNNING or not self.share:
            return None
        return (time.monotonic() - self.began) * (1 / self.share - 1)

    @property
    def media(self) -> Path | None:
        """The video as it was captured; None if there is none, or none anymore."""
        return next(
            (path for path in (self.folder / RECORDED, self.upload) if path.is_file() and path.suffix.lower() in KINDS),
            None,
        )
