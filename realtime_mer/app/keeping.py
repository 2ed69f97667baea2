"""Keeps a live run: a recording that can begin and end at any time, and a log of every run in memory.

The measuring thread writes the log and the signals; another thread writes pictures and video, which cost far more. If
that one is too slow, frames are missing in the video, never in the measurement, and are counted.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from realtime_mer.app import analysis
from realtime_mer.app.folders import note
from realtime_mer.app.job import Job, State
from realtime_mer.errors import MerError
from realtime_mer.records import End, Event, Frame, Marker, Observation, SourceStats, Status
from realtime_mer.sinks import CLIPS, LOG, RECORDED, SIGNALS_CSV, STILLS, Sink
from realtime_mer.sinks.clips import EventClips, Stills
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import Header, JsonLines
from realtime_mer.sinks.video import VideoFile

CLIP_S: Final = 0.5  # before the onset and after the offset in the clip of an event
WAITING_BYTES: Final = 256 << 20  # of frames that may wait for the writing thread
JOIN_S: Final = 60.0  # time for that thread to write what is still waiting


class MemoryLines:
    """A log kept in memory, ready to be saved at any time."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, text: str) -> None:
        self._lines.append(text)

    def close(self) -> None:
        """Does nothing: the lines stay."""

    @property
    def text(self) -> str:
        return "".join(self._lines)


class Keeper(Sink):
    """Takes a run's observations, and records them in a job from ``begin`` to ``finish``. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._kept: _Kept | None = None
        self._last: float | None = None  # s, of the latest frame

    @property
    def job(self) -> Job | None:
        """The current recording, if any."""
        return self._job

    @property
    def missing(self) -> int:
        """Frames missing in the video."""
        return self._kept.missing if self._kept is not None else 0

    def begin(self, job: Job, head: Header, stats: Callable[[], SourceStats], *, video: bool) -> None:
        """Records from the next frame on. video: the captured video, too. Raises OutputError."""
        with self._lock:
            if self._job is None:
                self._kept, self._job = _Kept(job, head, stats, video=video), job

    def mark(self, marker: Marker) -> None:
        with self._lock:
            if self._kept is not None:
                self._kept.mark(marker)

    def finish(self) -> Job | None:
        """Ends the recording and writes the files derived from it; None when there is no recording. Takes a few
        seconds."""
        with self._lock:
            kept, job = self._kept, self._job
            self._kept = self._job = None
        if kept is None or job is None:
            return None
        try:
            kept.finish(End(self._last, ()))
            analysis.finish(job)
            note(job)
            job.state = State.DONE
        except MerError as error:
            job.state, job.error = State.FAILED, str(error)
        return job

    def write(self, observation: Observation, frame: Frame) -> None:
        self._last = observation.time
        with self._lock:
            if self._kept is None:
                return
            try:
                self._kept.write(observation, frame)
            except MerError as error:  # the disk is full: the run goes on, and the owner is told
                self._fail(str(error))

    def end(self, end: End) -> None:
        with self._lock:
            if self._kept is not None:
                self._kept.last_events(end)

    def close(self) -> None:
        self.finish()

    def _fail(self, why: str) -> None:
        kept, job = self._kept, self._job
        self._kept = self._job = None
        if kept is not None and job is not None:
            kept.abandon()
            job.state, job.error = State.FAILED, why


class _Kept:
    """The sinks of one recording."""

    def __init__(self, job: Job, head: Header, stats: Callable[[], SourceStats], *, video: bool) -> None:
        self._job = job
        self._log = JsonLines(job.folder / LOG, head, stats=stats)
        self._signals = SignalsCsv(job.folder / SIGNALS_CSV)
        pictures: list[Sink] = []
        if not job.options.private:
            pictures.append(Stills(folder=job.folder / STILLS, rejected=True))
            if video:
                pictures.append(_Video(job.folder / RECORDED, head.source.rate))
            else:
                pictures.append(EventClips(job.folder / CLIPS, head.source.rate, before=CLIP_S, after=CLIP_S))
        self._behind = Behind(pictures)

    @property
    def missing(self) -> int:
        return self._behind.missing

    def write(self, observation: Observation, frame: Frame) -> None:
        self._log.write(observation, frame)
        self._signals.write(observation, frame)
        self._behind.write(observation, frame)
        self._job.frames += 1
        self._job.found += sum(event.status is Status.CONFIRMED for event in observation.events)

    def mark(self, marker: Marker) -> None:
        self._log.mark(marker)

    def last_events(self, end: End) -> None:
        self._log.end(end)
        self._behind.end(end)
        self._job.found += sum(event.status is Status.CONFIRMED for event in end.events)

    def finish(self, end: End) -> None:
        """Closes all sinks, the log last, because its summary says that the recording is complete."""
        self._log.end(end)
        try:
            self._behind.close()
            self._signals.close()
        except MerError:
            self.abandon()
            raise
        self._log.close()

    def abandon(self) -> None:
        """Closes what can be closed, without a summary in the log."""
        self._log.__exit__(MerError, None, None)
        for sink in (self._signals, self._behind):
            try:
                sink.close()
            except MerError:
                continue


class Behind(Sink):
    """Runs sinks in another thread, and drops frames that would wait too long; their events are passed on with the next
    frame.

    missing: frames that were dropped.
    """

    def __init__(self, sinks: list[Sink]) -> None:
        self.missing = 0
        self._sinks = sinks
        self._waiting: queue.Queue[tuple[Observation, Frame] | End | None] = queue.Queue()
        self._held: tuple[Event, ...] = ()  # of dropped frames
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._closed = not sinks
        if sinks:
            self._thread.start()

    def write(self, observation: Observation, frame: Frame) -> None:
        if self._closed:
            return
        most = max(8, WAITING_BYTES // (3 * frame.gray.size))  # a color frame has three bytes per pixel
        if self._waiting.qsize() >= most:
            self.missing += 1
            self._held += observation.events
            return
        if self._held:
            observation, self._held = replace(observation, events=self._held + observation.events), ()
        self._waiting.put((observation, frame))

    def end(self, end: End) -> None:
        if not self._closed:
            self._waiting.put(replace(end, events=self._held + end.events))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
            self._thread.join(JOIN_S)
            for sink in self._sinks:
                sink.close()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            for sink in tuple(self._sinks):
                try:
                    if isinstance(item, End):
                        sink.end(item)
                    else:
                        sink.write(*item)
                except MerError:  # the disk is full: what was written so far plays
                    self._sinks.remove(sink)


class _Video(Sink):
    """The captured video."""

    def __init__(self, path: Path, rate: float) -> None:
        self._file = VideoFile(path, rate, preset="ultrafast", crf=20)

    def write(self, observation: Observation, frame: Frame) -> None:
        self._file.write(frame.image, observation.time)

    def close(self) -> None:
        self._file.close()
