"""Jobs: uploads, their analyses and live recordings, each with an owner, a folder and a time to live.

A job belongs to a browser, known by the token in its cookie, not to a page: it goes on when the page is reloaded, when
the network breaks or the laptop sleeps, and is removed when its owner was not heard of for LINGER_S. Each job has a
folder of its own with all its files. The folder of the server is locked while it runs; what a killed server has left is
removed by the next one.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from realtime_mer.errors import MerError, OutputError, SourceError
from realtime_mer.review.decisions import PREFIX
from realtime_mer.sinks import CLIPS, EVENTS_CSV, LOG, RECORDED, REPORT, SIGNALS_CSV, STILLS, VIDEO
from realtime_mer.sinks.lines import one_line
from realtime_mer.sinks.lock import Lock

UPLOADS: Final = 8  # jobs of one owner that are not finished
UPLOAD_BYTES: Final = 1 << 30  # of one video
OWNER_BYTES: Final = 8 << 30  # of all that one owner has here
RESERVE_BYTES: Final = 1 << 30  # of the disk that stay free
LINGER_S: Final = 30 * 60.0  # how long jobs outlive the last sign of their owner's pages
SWEEP_S: Final = 5.0  # how often that is looked at
JOIN_S: Final = 10.0  # how long an analysis may take to notice that it is to end
KINDS: Final = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".mjpeg")
RESULTS: Final = (".jsonl", ".zip")  # a log, or a folder of results as "Everything" hands it out
FOLDER: Final = "realtime-mer-app-"  # how the server's folder in the temporary folder begins
UPLOAD: Final = "upload"  # the uploaded file in the folder of its job, with its own suffix
CODING: Final = "coding-"  # and of codings that were imported
_NAMES: Final = re.compile(
    rf"({re.escape(LOG)}|{re.escape(SIGNALS_CSV)}|{re.escape(EVENTS_CSV)}|{re.escape(REPORT)}|{re.escape(VIDEO)}"
    rf"|{re.escape(RECORDED)}|{PREFIX}[A-Za-z0-9_-]+\.jsonl|{CODING}[A-Za-z0-9_-]+\.(eaf|csv|tsv)"
    rf"|{STILLS}/event-\d+-\d+\.jpg|{CLIPS}/event-\d+-\d+\.mp4)"
)  # what is taken out of a folder of results


class State(StrEnum):
    """Where a job is on its way."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    RUNNING = "running"
    RECORDING = "recording"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def over(self) -> bool:
        """Whether nothing more happens to the job."""
        return self in (State.DONE, State.FAILED, State.STOPPED)


@dataclass(frozen=True, slots=True)
class Options:
    """What a viewer may ask of an analysis. enter: the sensitivity, None: the server's. private: make no pictures.

    video: make the annotated one.
    """

    enter: float | None = None
    private: bool = False
    video: bool = True


@dataclass(slots=True, eq=False)
class Job:
    """One recording of one owner. size: bytes of the upload, as announced. told: what went wrong.

    share: of the analysis that is done, None while unknown. rate: frames/s analysed. began: monotonic time of the start
    of the analysis.
    """

    id: str
    owner: str
    name: str
    folder: Path
    size: int
    options: Options
    state: State = State.UPLOADING
    told: str = ""
    share: float | None = None
    frames: int = 0
    found: int = 0
    began: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)  # of its reviews and clips

    @property
    def upload(self) -> Path:
        """Where the uploaded file is."""
        return self.folder / f"{UPLOAD}{Path(self.name).suffix.lower()}"

    @property
    def log(self) -> Path:
        return self.folder / LOG

    @property
    def left_s(self) -> float | None:
        """Seconds of analysis left, as it has gone so far; None while that cannot be said."""
        if self.state is not State.RUNNING or not self.share:
            return None
        return (time.monotonic() - self.began) * (1 / self.share - 1)

    @property
    def media(self) -> Path | None:
        """The video as it was captured; None where there is none (any more)."""
        return next((path for path in (self.folder / RECORDED, self.upload) if path.is_file() and _video(path)), None)


class Jobs:
    """All jobs of one server. work: analyses a job; run in the threads of this object, one job after the other.

    workers: analyses at once. Close it at last: nothing stays behind.
    """

    def __init__(self, work: Callable[[Job], None], *, workers: int = 1, linger_s: float = LINGER_S) -> None:
        remove_stale()
        self.root = Path(tempfile.mkdtemp(prefix=FOLDER))
        self._held = Lock(self.root)
        self._work, self._linger_s = work, linger_s
        self._jobs: dict[str, Job] = {}  # by id, in the order of their making
        self._queue: list[Job] = []
        self._seen: dict[str, float] = {}  # owner -> monotonic time
        self._changed = threading.Condition()
        self._closing = False
        self._threads = [threading.Thread(target=self._serve, name=f"jobs {n}", daemon=True) for n in range(workers)]
        self._threads.append(threading.Thread(target=self._sweep, name="jobs sweep", daemon=True))
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def seen(self, owner: str) -> None:
        """A page of the owner has asked for something: the owner's jobs live on."""
        self._seen[owner] = time.monotonic()

    def of(self, owner: str) -> list[Job]:
        """The owner's jobs, oldest first."""
        return [job for job in self if job.owner == owner]

    def get(self, owner: str, id: str) -> Job | None:
        """The owner's job; None when there is none of that id, or it is somebody else's."""
        job = self._jobs.get(id)
        return job if job is not None and secrets.compare_digest(job.owner, owner) else None

    def position(self, job: Job) -> int | None:
        """How many jobs are analysed before this one can be; None when it does not wait."""
        with self._changed:
            return self._queue.index(job) if job in self._queue else None

    def begin(self, owner: str, name: str, size: int, options: Options) -> Job:
        """A new job that waits for its upload. Raises SourceError for what cannot be taken."""
        name = one_line(Path(name.replace("\\", "/")).name).strip()[:120]
        suffix = Path(name).suffix.lower()
        if suffix not in KINDS + RESULTS:
            raise SourceError(f"{name or 'this file'}: choose a video ({', '.join(KINDS)}), a log or a .zip of results")
        if not 0 < size <= UPLOAD_BYTES:
            raise SourceError(f"{name}: {'it is empty' if size <= 0 else 'at most 1 GB can be uploaded'}")
        with self._changed:
            own = self.of(owner)
            if sum(not job.state.over for job in own) >= UPLOADS:
                raise SourceError(f"{name}: {UPLOADS} recordings at a time are enough: wait until one is done")
            self._make_room(owner, size)
            return self._add(owner, name, size, options, State.UPLOADING)

    def record(self, owner: str, name: str, *, private: bool) -> Job:
        """A new job for a live recording, which its maker finishes. Raises SourceError when the disk is full."""
        with self._changed:
            self._make_room(owner, 0)
            return self._add(owner, one_line(name)[:120], 0, Options(private=private), State.RECORDING)

    def uploaded(self, job: Job) -> None:
        """The upload is complete: the analysis waits for its turn."""
        with self._changed:
            if job.state is State.UPLOADING:
                job.state = State.QUEUED
                self._queue.append(job)
                self._changed.notify_all()

    def halt(self, job: Job) -> None:
        """Stops a job, also one that still waits."""
        job.stop.set()
        with self._changed:
            if job in self._queue:
                self._queue.remove(job)
            if job.state in (State.UPLOADING, State.QUEUED):
                job.state, job.told = State.STOPPED, f"{job.name}: stopped before it began"
                shutil.rmtree(job.folder, ignore_errors=True)

    def discard(self, job: Job) -> None:
        """Forgets a recording that could not begin."""
        job.state = State.STOPPED
        self.remove(job)

    def remove(self, job: Job) -> None:
        """Stops a job and removes all its files."""
        self.halt(job)
        end = time.monotonic() + JOIN_S
        while job.state in (State.RUNNING, State.RECORDING) and time.monotonic() < end:
            time.sleep(0.02)
        with self._changed:
            self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """The server ends: what is under way is stopped, and nothing stays behind."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for job in self:
            job.stop.set()
        for thread in self._threads:
            thread.join(JOIN_S)
        self._jobs.clear()
        self._held.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def _add(self, owner: str, name: str, size: int, options: Options, state: State) -> Job:
        id = secrets.token_urlsafe(16)
        folder = self.root / id
        folder.mkdir(mode=0o700)
        job = self._jobs[id] = Job(id, owner, name, folder, size, options, state)
        self._seen.setdefault(owner, time.monotonic())
        return job

    def _make_room(self, owner: str, size: int) -> None:
        held = sum(_bytes(job.folder) + (job.size if job.state is State.UPLOADING else 0) for job in self.of(owner))
        if held + size > OWNER_BYTES:
            raise SourceError("your recordings here fill the room that one person has: remove some first")
        if shutil.disk_usage(self.root).free - size < RESERVE_BYTES:
            raise SourceError("the disk of the server is full: remove recordings, or try again later")

    # --- the threads ------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                job = self._queue.pop(0)
                job.state, job.began = State.RUNNING, time.monotonic()
            try:
                self._work(job)
                ended, told = State.DONE, ""
            except MerError as error:
                ended, told = State.STOPPED if job.stop.is_set() else State.FAILED, str(error)
            except Exception as error:  # one job must not end the thread that the others wait for
                ended, told = State.FAILED, f"{job.name}: an internal error ended the analysis ({_what(error)})"
            # a viewer knows the name of the file, and is not told where the server keeps it
            job.told = told.replace(str(job.upload), job.name).replace(str(job.folder) + os.sep, "")
            job.state = ended

    def _sweep(self) -> None:
        while True:
            with self._changed:
                if self._closing or self._changed.wait_for(lambda: self._closing, SWEEP_S):
                    return
            now = time.monotonic()
            for job in self:
                if job.state is State.RECORDING:
                    self.seen(job.owner)  # its viewer decides how long it goes on
                elif now - self._seen.get(job.owner, now) > self._linger_s:
                    self.remove(job)


def remove_stale() -> None:
    """Removes the folders of servers that no longer run: killed, or cut off with the power."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError, OutputError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            Lock(folder).close()  # OutputError: its server is running
            shutil.rmtree(folder, ignore_errors=True)


def unpack(archive: Path, folder: Path) -> None:
    """Takes a folder of results out of a .zip: known names only. Raises SourceError."""
    try:
        with zipfile.ZipFile(archive) as file:
            members = {}
            for member in file.infolist():
                name = re.sub(
                    r"^[^/.][^/]*/(?=[^/]*$|stills/|clips/)", "", member.filename
                )  # without a folder around all
                if _NAMES.fullmatch(name):
                    members[name] = member
            if LOG not in members:
                raise SourceError(f"{archive.name} holds no {LOG}: choose a .zip of results")
            if sum(member.file_size for member in members.values()) > 4 * UPLOAD_BYTES:
                raise SourceError(f"{archive.name} is too large when it is unpacked")
            for name, member in members.items():
                target = folder / name
                target.parent.mkdir(mode=0o700, exist_ok=True)
                with file.open(member) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise SourceError(f"{archive.name} is not a .zip that can be read: {_what(error)}") from None


def _video(path: Path) -> bool:
    return path.suffix.lower() in KINDS


def _bytes(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.path.getsize(os.path.join(where, name))
    return total


def _what(error: BaseException) -> str:
    return type(error).__name__
