"""Jobs: uploads, their analyses and live recordings, each with an owner, a folder and a time to live.

A job belongs to a browser, known by the hash of the token in its cookie, not to a page: it goes on when the page is
reloaded, when the network breaks or the laptop sleeps, and is removed when its owner was not heard of for LINGER_S.
Each job has a folder of its own with all its files. The folder of the server is locked while it runs; what a killed
server has left is removed by the next one. A server that keeps its jobs finds those again that were done; they stay.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from realtime_mer.app.folders import FOLDER, kept, note, remove_stale, size_of
from realtime_mer.app.job import KINDS, RESULTS, Job, Options, State
from realtime_mer.errors import MerError, SourceError
from realtime_mer.sinks.lines import one_line
from realtime_mer.sinks.lock import Lock
from realtime_mer.sinks.place import make_folder

UPLOADS: Final = 8  # jobs of one owner that are not finished
JOBS: Final = 256  # of all owners
UPLOAD_BYTES: Final = 1 << 30  # of one video
OWNER_BYTES: Final = 8 << 30  # of all that one owner has here
RESERVE_BYTES: Final = 1 << 30  # of the disk that stay free
LINGER_S: Final = 30 * 60.0  # how long jobs outlive the last sign of their owner's pages
SWEEP_S: Final = 5.0  # interval between checks
JOIN_S: Final = 10.0  # time an analysis may take to stop


class Jobs:
    """All jobs of one server. work: analyzes a job; runs in the threads of this object, one job at a time in each.

    workers: analyses at once. keep: a folder where jobs stay; by default they are in a temporary one. Close it at the
    end: everything but ``keep`` is removed. Raises OutputError when the folder is in use or cannot be written.
    """

    def __init__(
        self,
        work: Callable[[Job], None],
        *,
        workers: int = 1,
        linger_s: float = LINGER_S,
        keep: Path | None = None,
    ) -> None:
        remove_stale()
        if keep is not None:
            make_folder(keep)
        self.root = keep or Path(tempfile.mkdtemp(prefix=FOLDER))
        self._held = Lock(self.root)
        self._work, self._linger_s, self._keeps = work, linger_s, keep is not None
        self._jobs: dict[str, Job] = {job.id: job for job in kept(self.root)}  # by id, oldest first
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
        """Notes that a page of the owner is still there, which keeps the owner's jobs."""
        self._seen[owner] = time.monotonic()

    def of(self, owner: str) -> list[Job]:
        """The owner's jobs, oldest first."""
        return [job for job in self if job.owner == owner]

    def get(self, owner: str, id: str) -> Job | None:
        """The owner's job; None when there is none with that id, or it belongs to someone else."""
        job = self._jobs.get(id)
        return job if job is not None and secrets.compare_digest(job.owner, owner) else None

    def position(self, job: Job) -> int | None:
        """Number of jobs before this one in the queue; None when it is not waiting."""
        with self._changed:
            return self._queue.index(job) if job in self._queue else None

    def begin(self, owner: str, name: str, size: int, options: Options) -> Job:
        """Creates a job that waits for its upload. Raises SourceError when it cannot be accepted."""
        name = one_line(Path(name.replace("\\", "/")).name).strip()[:120]
        suffix = Path(name).suffix.lower()
        if suffix not in KINDS + RESULTS:
            raise SourceError(
                f"{name or 'this file'} cannot be used: choose a video ({', '.join(KINDS)}), a log or a .zip of results"
            )
        if not 0 < size <= UPLOAD_BYTES:
            raise SourceError(f"{name}: {'it is empty' if size <= 0 else 'at most 1 GB can be uploaded'}")
        with self._changed:
            own = self.of(owner)
            if len(self._jobs) >= JOBS:
                raise SourceError(f"{name}: this server is full: try again later")
            if sum(not job.state.over for job in own) >= UPLOADS:
                raise SourceError(f"{name}: {UPLOADS} recordings are already waiting: try again when one is done")
            self._make_room(owner, size)
            return self._add(owner, name, size, options, State.UPLOADING)

    def record(self, owner: str, name: str, *, private: bool) -> Job:
        """Creates a job for a live recording; pass it to ``recorded`` when it is finished.

        Raises SourceError when the disk is full.
        """
        with self._changed:
            self._make_room(owner, 0)
            job = self._add(owner, one_line(name)[:120], 0, Options(private=private), State.RECORDING)
        note(job)  # so that a recording is found again after a power cut
        return job

    def uploaded(self, job: Job) -> None:
        """Queues the analysis of a complete upload."""
        with self._changed:
            if job.state is State.UPLOADING:
                job.state = State.QUEUED
                self._queue.append(job)
                self._changed.notify_all()

    def halt(self, job: Job) -> None:
        """Stops a job, whether running or waiting."""
        job.stop.set()
        with self._changed:
            if job in self._queue:
                self._queue.remove(job)
            if job.state in (State.UPLOADING, State.QUEUED):
                job.state, job.error = State.STOPPED, f"{job.name}: stopped before it began"
                shutil.rmtree(job.folder, ignore_errors=True)

    def discard(self, job: Job) -> None:
        """Removes a recording that could not begin."""
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
        """Stops every job and removes the temporary folder."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for job in self:
            job.stop.set()
        for thread in self._threads:
            thread.join(JOIN_S)
        for job in self:
            if not (self._keeps and job.state is State.DONE):
                shutil.rmtree(job.folder, ignore_errors=True)
        self._jobs.clear()
        self._held.close()
        if not self._keeps:
            shutil.rmtree(self.root, ignore_errors=True)

    def _add(self, owner: str, name: str, size: int, options: Options, state: State) -> Job:
        id = secrets.token_urlsafe(16)
        plain = re.sub(r"[^\w.-]", "_", Path(name).stem)[:60]
        folder = self.root / f"{plain}-{id[:8]}"
        folder.mkdir(mode=0o700)
        job = self._jobs[id] = Job(id, owner, name, folder, size, options, state)
        self._seen.setdefault(owner, time.monotonic())
        return job

    def _make_room(self, owner: str, size: int) -> None:
        held = sum(size_of(job.folder) + (job.size if job.state is State.UPLOADING else 0) for job in self.of(owner))
        if held + size > OWNER_BYTES:
            raise SourceError("your quota is full: delete some recordings first")
        if shutil.disk_usage(self.root).free - size < RESERVE_BYTES:
            raise SourceError("the server's disk is full: delete recordings, or try again later")

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
                note(job)
                ended, error_text = State.DONE, ""
            except MerError as error:
                ended, error_text = State.STOPPED if job.stop.is_set() else State.FAILED, str(error)
            except Exception as error:  # a failing job must not end the thread that others wait for
                ended, error_text = (
                    State.FAILED,
                    f"{job.name}: an internal error ended the analysis ({type(error).__name__})",
                )
            # the viewer knows the file's name, but must not see the server's path
            job.error = error_text.replace(str(job.upload), job.name).replace(str(job.folder) + os.sep, "")
            job.state = ended

    def _last_seen(self, job: Job) -> float:
        return self._seen.setdefault(job.owner, time.monotonic())

    def _sweep(self) -> None:
        while True:
            with self._changed:
                if self._closing or self._changed.wait_for(lambda: self._closing, SWEEP_S):
                    return
            now = time.monotonic()
            for job in self:
                if job.state is State.RECORDING:
                    self.seen(job.owner)  # its viewer decides when it ends
                elif not (self._keeps and job.state is State.DONE) and now - self._last_seen(job) > self._linger_s:
                    self.remove(job)
