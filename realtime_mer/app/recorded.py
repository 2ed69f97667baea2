"""Uploaded videos: their analysis and its files, kept for one session of one viewer and then removed.

A session has a folder of its own with a name that cannot be guessed; only the files listed here are served from it.
"""

from __future__ import annotations

import mimetypes
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from realtime_mer.app.child import Child
from realtime_mer.app.pictures import EventPictures
from realtime_mer.app.settings import UPLOADS
from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.errors import MerError, SourceError
from realtime_mer.records import Observation, Status
from realtime_mer.run import log_header, watch
from realtime_mer.sinks import EVENTS_CSV, LOG, REPORT, SIGNALS_CSV, VIDEO, Sink
from realtime_mer.sinks.clips import EventClips, Stills
from realtime_mer.sinks.convert import convert
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines, Recording, read_jsonl
from realtime_mer.sinks.report import write_report
from realtime_mer.sinks.signals import Signals, read_signals
from realtime_mer.sinks.video import AnnotatedVideo
from realtime_mer.sources import open_source

if TYPE_CHECKING:
    from starlette.responses import Response

SLOW: Final = 8.0  # an event's clip plays this many times slower: 0.2 s become 1.6
SHOWN_RATE: Final = 30.0  # frames/s of the annotated video: it is for looking
NEWS_S: Final = 0.4  # how often progress is told
LEAVE_S: Final = 10.0  # how long an analysis may take to notice that its viewer has left
SUFFIXES: Final = (".json", ".jsonl", ".csv", ".html", ".mp4")  # of the files that may be fetched


@dataclass(frozen=True, slots=True)
class Analysis:
    """One analysed video. token: names its folder in the addresses of its files. pictures: by (track, movement id)."""

    name: str
    folder: Path
    token: str
    recording: Recording
    signals: Signals
    pictures: dict[tuple[int, int], dict[str, str]]

    def url(self, file: str) -> str | None:
        """Where the page finds a file of this analysis, None when it was not made."""
        return f"/results/{self.token}/{file}" if (self.folder / file).is_file() else None


@dataclass(slots=True)
class Session:
    """What one viewer has uploaded and analysed. ``stop`` ends the analysis under way, if there is one.

    benchmark: the process of the Benchmark tab.
    """

    folder: Path
    uploads: set[Path] = field(default_factory=set)
    analyses: list[Analysis] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    busy: threading.Lock = field(default_factory=threading.Lock)
    benchmark: Child = field(default_factory=Child)


class Sessions:
    """All sessions of one app, below ``root``, by Gradio's session hash."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._folders: dict[str, tuple[Path, str]] = {}  # token -> folder of an analysis, and what it is of

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def of(self, key: str) -> Session:
        """The viewer's session, made at its first use."""
        with self._lock:
            if key not in self._sessions:
                folder = self.root / "sessions" / secrets.token_urlsafe(16)
                folder.mkdir(parents=True, mode=0o700)
                self._sessions[key] = Session(folder)
            return self._sessions[key]

    def leave(self, key: str) -> None:
        """The viewer has left: what is under way ends, and all that belongs to the session is removed."""
        with self._lock:
            session = self._sessions.pop(key, None)
        if session is not None:
            session.stop.set()
            session.benchmark.close()
            # an analysis notices at its next frame; one that nobody asks for news any more is over anyway
            waited = session.busy.acquire(timeout=LEAVE_S)
            self._remove(session)
            if waited:
                session.busy.release()

    def holds(self, upload: Path) -> bool:
        """Whether the path lies where uploads are kept: the page is not believed when it names a file."""
        return upload.resolve().is_relative_to((self.root / "uploads").resolve())

    def close(self) -> None:
        """The server ends: nothing stays behind."""
        for key in list(self._sessions):
            self.leave(key)
        shutil.rmtree(self.root, ignore_errors=True)

    def clear(self, session: Session) -> None:
        """Forgets the results of an earlier run."""
        for analysis in session.analyses:
            self._folders.pop(analysis.token, None)
            shutil.rmtree(analysis.folder, ignore_errors=True)
        session.analyses.clear()

    def folder(self, session: Session, name: str) -> tuple[str, Path]:
        """A new folder for one analysis, and its token. name: put before the names of its files when they are saved."""
        token = secrets.token_urlsafe(24)
        folder = session.folder / token
        folder.mkdir()
        with self._lock:
            self._folders[token] = folder, name
        return token, folder

    async def serve(self, token: str, name: str) -> Response:
        """One file of one analysis; 404 for everything else."""
        from starlette.responses import FileResponse, PlainTextResponse

        folder, of = self._folders.get(token, (self.root, ""))
        path = folder / name
        if not of or path.parent != folder or path.suffix not in SUFFIXES or not path.is_file():
            return PlainTextResponse("there is no such result, or its session has ended", 404)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        where = "inline" if path.suffix in (".html", ".mp4") else "attachment"
        return FileResponse(
            path,
            media_type=kind,
            filename=f"{of}.{name}",
            content_disposition_type=where,
            headers={"Cache-Control": "no-store"},
        )

    def _remove(self, session: Session) -> None:
        self.clear(session)
        shutil.rmtree(session.folder, ignore_errors=True)
        for upload in session.uploads:
            upload.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the analysis of one video is; share from 0 to 1, None when the length is unknown."""

    name: str
    share: float | None
    frames: int
    rate: float
    found: int


def analyse(
    sessions: Sessions, session: Session, upload: Path, config: Config, *, private: bool, video: bool
) -> Iterator[Progress | Analysis]:
    """Analyses one upload; yields progress, at last the Analysis, which is also kept in the session.

    private: make no pictures and no videos. video: make the annotated one. Raises MerError with the upload's name in
    place of its path.
    """
    name = upload.name
    if not sessions.holds(upload):
        raise SourceError(f"{name} is not an upload of this page")
    if len(session.analyses) >= UPLOADS:
        raise SourceError(f"{name}: {UPLOADS} videos at a time are enough: analyse the others afterwards")
    if not session.busy.acquire(blocking=False):
        raise SourceError(f"{name}: another analysis is under way in this window: stop it first")
    token, folder = sessions.folder(session, upload.stem)
    try:
        with build(config) as pipeline, open_source(upload) as source:
            info = replace(source.info, uri=name)
            stills, pictures, found = Stills(), EventPictures(), 0
            made: list[Sink] = [
                JsonLines(folder / LOG, log_header(info, pipeline), stats=source.stats),
                SignalsCsv(folder / SIGNALS_CSV),
            ]
            if not private:
                made += [stills, pictures, EventClips(folder, info.rate, slow=SLOW)]
                if video:
                    made.append(AnnotatedVideo(folder / VIDEO, info.rate, max_rate=SHOWN_RATE))
            told = time.monotonic()
            for seen in watch(source, pipeline, made):
                if session.stop.is_set():
                    raise SourceError(f"{name}: stopped")
                found += sum(event.status is Status.CONFIRMED for event in seen.events)
                if isinstance(seen, Observation) and time.monotonic() - told > NEWS_S:
                    told = time.monotonic()
                    share = min(seen.time / info.duration, 1.0) if info.duration else None
                    yield Progress(name, share, seen.index + 1, seen.fps, found)
        convert(folder / LOG, "csv", folder / EVENTS_CSV)
        write_report(folder / LOG, folder / SIGNALS_CSV, folder / REPORT, {} if private else stills.strips)
        result = Analysis(
            name, folder, token, read_jsonl(folder / LOG), read_signals(folder / SIGNALS_CSV), pictures.made
        )
        session.analyses.append(result)
    except MerError as error:
        shutil.rmtree(folder, ignore_errors=True)
        # a viewer knows the name of the file, and is not told where the server keeps it
        raise type(error)(str(error).replace(str(upload), name).replace(str(folder) + os.sep, "")) from None
    finally:
        session.busy.release()
    yield result
