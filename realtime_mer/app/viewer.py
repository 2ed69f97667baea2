"""One viewer's live analysis: a source, a pipeline and the thread between them. No network code here.

The thread measures every frame; the page collects what it shows with ``take`` and ``preview`` at its own pace. What is
shown is thinned there, never before the pipeline. A viewer outlives the connection of its page, so that it can be
resumed; ``log`` holds everything that happened, ``history`` the latest events with their pictures.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import cv2
import numpy as np

from realtime_mer.app import messages
from realtime_mer.app.calibration import Calibration
from realtime_mer.app.job import Job
from realtime_mer.app.keeping import Keeper, MemoryLines
from realtime_mer.app.pictures import EventPictures, jpeg
from realtime_mer.config import Config
from realtime_mer.errors import MerError, OutputError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import End, Event, Frame, Marker, Observation
from realtime_mer.run import log_header, watch
from realtime_mer.sinks import Marked, Sink
from realtime_mer.sinks.jsonl import Anchor, Header, JsonLines, iso
from realtime_mer.sources import Source
from realtime_mer.sources.probe import COARSE_FPS
from realtime_mer.spotting.quality import LIVE_MEMORY_S, Quality, Sensitivity
from realtime_mer.targets import Target

CURVE: Final = 2000  # curve points that may wait for a slow page; the oldest are dropped first
DELAYS: Final = 400  # frames over which the delay is measured
HISTORY: Final = 200  # events kept with their pictures for a page that resumes; the log has all of them
LATE_S: Final = 0.15  # a longer delay is not real time
PREVIEW_WIDTH: Final = 640  # px
PREVIEW_QUALITY: Final = 70
JOIN_S: Final = 5.0
BLUR: Final = 24  # width of the privacy picture in blocks: no face is recognizable, a head is still visible


class Viewer:
    """Analyzes what ``connect`` opens until it ends or ``close`` is called. Start it with ``start``.

    build: makes the pipeline; called in the thread, because it loads models. owner: the token of its browser. private:
    make no pictures of faces. anchor: the wall clock at time 0 of the source, if the page knows it. targets: where
    events are sent as they happen.
    """

    def __init__(
        self,
        connect: Callable[[], Source],
        build: Callable[[Config], Pipeline],
        config: Config,
        *,
        private: bool,
        owner: str = "",
        anchor: Anchor | None = None,
        targets: Sequence[Target] = (),
    ) -> None:
        self.id, self.owner, self.private = secrets.token_urlsafe(12), owner, private
        self.keeper = Keeper()
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._connect, self._build, self._config, self._anchor = connect, build, config, anchor
        self._targets, self._sending = tuple(targets), list[Sink]()
        self._lines = MemoryLines()
        self._lock = threading.Lock()
        self._messages: list[dict[str, Any]] = []
        self._curve: deque[tuple[float, int, float, float]] = deque(maxlen=CURVE)
        self._delays: deque[float] = deque(maxlen=DELAYS)
        self._latest: tuple[Frame, Observation] | None = None
        self._shown = -1
        self._zero: float | None = None  # time of the first frame, s
        self._lost = 0
        self._quality = Quality(config.spot, LIVE_MEMORY_S)
        self._source: Source | None = None
        self._pipeline: Pipeline | None = None
        self._head: Header | None = None
        self._started: dict[str, Any] | None = None
        self._journal: JsonLines | None = None
        self._calibration: Calibration | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def log(self) -> str:
        """The log of the run so far, as JSON Lines, without a summary during the run."""
        return self._lines.text

    def start(self) -> None:
        self._thread.start()

    def recalibrate(self, config: Config | None = None) -> None:
        """Learns the resting face again, with the thresholds of ``config`` if given. The model stays."""
        if config is not None:
            self._config = config
        if self._pipeline is not None:
            self._pipeline.recalibrate(self._config.spot)
            with self._lock:
                self._quality = Quality(self._config.spot, LIVE_MEMORY_S)
                self._calibration = None

    def calibrate(self, seconds: float) -> None:
        """Watches the resting face for ``seconds``, then chooses a sensitivity at which it causes no event."""
        with self._lock:
            self._calibration = Calibration(seconds)

    def record(self, job: Job, *, video: bool) -> None:
        """Records the run into ``job`` from now on. Raises OutputError before the first frame."""
        source, head = self._source, self._head
        if source is None or head is None:
            raise OutputError("the camera has not started yet")
        self.keeper.begin(job, replace(head, created=iso(datetime.now(UTC))), source.stats, video=video)

    def mark(self, key: str, text: str, time_s: float | None = None) -> Marker | None:
        """Sets a marker at ``time_s`` on the source's clock, by default now."""
        latest, source = self._latest, self._source
        if latest is None or source is None:
            return None
        now = time.monotonic() if source.info.clock == "monotonic" else latest[1].time
        marker = Marker(now if time_s is None else time_s, key, text)
        self.keeper.mark(marker)
        with self._lock:
            if self._journal is not None:
                self._journal.mark(marker)
        for sink in self._sending:
            if isinstance(sink, Marked):
                sink.mark(marker)
        return marker

    def resume(self) -> list[dict[str, Any]]:
        """What a page needs to resume the run: how it began, and the latest events."""
        with self._lock:
            began = [] if self._started is None else [{**self._started, "zero": self._zero}]
            self._messages = [m for m in self._messages if m["type"] != "event"]  # they are in the history
            return [*began, *self.history]

    def take(self) -> list[dict[str, Any]]:
        """The messages since the last call: what happened, then the current state."""
        with self._lock:
            found, self._messages = self._messages, []
            curve = list(self._curve)
            self._curve.clear()
            latest, delays, can = self._latest, list(self._delays), self._quality.result()
        if latest is not None and latest[1].index != self._shown:
            self._shown = latest[1].index
            found.append(self._state(latest[1], curve, delays, can))
        return found

    def preview(self) -> bytes | None:
        """The newest frame as JPEG, blurred in privacy mode; None before the first."""
        latest = self._latest
        return None if latest is None else preview(latest[0], self.private)

    def stop(self) -> None:
        """Ends the capture; remaining messages can be taken until ``done``."""
        self._stop.set()
        if self._source is not None:
            self._source.close()

    def close(self) -> None:
        """Ends the capture and frees the pipeline; waits for the thread."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._build(self._config) as pipeline, self._connect() as source:
                self._source, self._pipeline = source, pipeline
                recognizer = pipeline.recognizer
                about = (recognizer.spec.id, recognizer.provider, recognizer.why) if recognizer else ("none", "", "")
                self._head = log_header(source.info, pipeline)
                if self._anchor is not None:
                    self._head = replace(self._head, anchor=self._anchor)
                self._started = messages.started(source.info, *about) | {"id": self.id, "private": self.private}
                self.tell(self._started)
                self._watch(pipeline, source, self._head)
                self.tell({"type": "stopped"})
        except MerError as error:
            self.tell({"type": "error", "text": str(error)})
        except Exception as error:  # the page must not wait for a thread that has ended
            self.tell({"type": "error", "text": f"an internal error ended the analysis ({type(error).__name__})"})
            raise
        finally:
            self._source = self._pipeline = None

    def _watch(self, pipeline: Pipeline, source: Source, head: Header) -> None:
        pictures = EventPictures()
        page = _Page(self, pictures, source.info.clock == "monotonic")
        self._journal = JsonLines(self._lines, head, stats=source.stats)
        sinks: list[Sink] = [self._journal, self.keeper, page] if self.private else [
            self._journal, self.keeper, pictures, page,
        ]  # fmt: skip
        self._sending = [target.follow(head, source.stats) for target in self._targets]
        for _ in watch(source, pipeline, [*sinks, *self._sending]):
            if self._stop.is_set():
                source.close()

    def publish(self, frame: Frame, observation: Observation, delay: float | None) -> None:
        """Stores what the page shows next; ``delay`` in s since the capture, None when unknown."""
        with self._lock:
            self._latest = frame, observation
            self._zero = observation.time if self._zero is None else self._zero
            self._lost += observation.lost
            self._quality.push(observation, frame.gray)
            if delay is not None:
                self._delays.append(delay)
            for signal in observation.faces:
                if (activity := signal.activity) is not None:
                    self._curve.append((observation.time, signal.face.track, activity.level, activity.threshold))
            calibration = self._calibration
        if calibration is not None and calibration.push(observation):
            self._calibrated(calibration)

    def _calibrated(self, done: Calibration) -> None:
        with self._lock:
            self._calibration = None
        found = done.result()
        if found.enter is not None:
            spot = replace(self._config.spot, onset_noise=found.enter)
            self.recalibrate(replace(self._config, spot=spot))
        self.tell({"type": "calibrated", "enter": found.enter, "text": found.text})

    def tell_event(self, event: Event, pictures: dict[str, str]) -> None:
        message = messages.event(event, pictures)
        with self._lock:
            if event.final:
                self.history.append(message)
            self._messages.append(message)

    def tell(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._messages.append(message)

    def _state(
        self,
        seen: Observation,
        curve: list[tuple[float, int, float, float]],
        delays: list[float],
        can: Sensitivity | None,
    ) -> dict[str, Any]:
        source = self._source
        stats = source.stats() if source is not None else None
        hints = list(seen.notes)
        if not hints and self._config.spot.min_rate_fps <= seen.fps < COARSE_FPS:
            hints.append(
                f"below {COARSE_FPS:g} frames/s the shortest movements span only two or three frames; a faster "
                "camera sees more"
            )
        delay = [round(1000 * float(v), 1) for v in np.percentile(delays, (50, 95))] if delays else None
        if delay is not None and delay[0] > 1000 * LATE_S:
            hints.insert(0, f"not real time: the display is {delay[0] / 1000:.1f} s behind")
        recording, calibration = self.keeper.job, self._calibration
        return {
            "type": "state",
            "time": seen.time,
            "frames": seen.index + 1,
            "fps": round(seen.fps, 2),
            "lost": self._lost,
            "countable": stats is None or stats.missed is not None,
            "dropped": stats.dropped if stats else 0,
            "reconnects": stats.reconnects if stats else 0,
            "delay": delay,
            "notes": hints,
            "smallest": {"size": can.size, "why": list(can.reasons)} if can else None,
            "faces": [messages.face(signal) for signal in seen.faces],
            "curve": [[round(t, 4), k, round(level, 2), round(limit, 2)] for t, k, level, limit in curve],
            "recording": None if recording is None else {
                "job": recording.id, "frames": recording.frames, "missing": self.keeper.missing,
            },
            "calibrating": None if calibration is None else round(calibration.left_s, 1),
        }  # fmt: skip


class _Page(Sink):
    """Passes the output of a run to a viewer. timed: capture times can be compared with this machine's clock."""

    def __init__(self, viewer: Viewer, pictures: EventPictures, timed: bool) -> None:
        self._viewer, self._pictures, self._timed = viewer, pictures, timed

    def write(self, observation: Observation, frame: Frame) -> None:
        self._viewer.publish(frame, observation, time.monotonic() - frame.time if self._timed else None)
        self._tell(observation.events)

    def end(self, end: End) -> None:
        self._tell(end.events)

    def close(self) -> None:
        """Does nothing: the viewer ends by itself."""

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:  # the provisional and the final event of a movement may come together, and share a key
            self._viewer.tell_event(event, self._pictures.made.pop(event.key, {}) if event.final else {})


def preview(frame: Frame, private: bool) -> bytes:
    """A small JPEG of the frame; with ``private``, so coarse that nobody can be recognized."""
    image = frame.image
    height, width = image.shape[:2]
    if private:
        coarse = (BLUR, max(1, round(BLUR * height / width)))
        image = cv2.resize(cv2.resize(image, coarse, interpolation=cv2.INTER_AREA), (width, height))
    if width > PREVIEW_WIDTH:
        size = (PREVIEW_WIDTH, round(height * PREVIEW_WIDTH / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return jpeg(np.asarray(image, np.uint8), PREVIEW_QUALITY)
