"""One viewer's live analysis: a source, a pipeline and the thread between them. Speaks no network protocol.

The thread measures every frame; what is shown is taken out by ``take`` and ``preview`` at the page's own pace, and
is thinned there, never in front of the pipeline.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import cv2
import numpy as np

from realtime_mer.app import messages
from realtime_mer.app.pictures import EventPictures, jpeg
from realtime_mer.config import Config
from realtime_mer.errors import MerError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import End, Event, Frame, Observation
from realtime_mer.run import watch
from realtime_mer.sinks import Sink
from realtime_mer.sources import Source
from realtime_mer.sources.probe import COARSE_FPS
from realtime_mer.spotting.quality import LIVE_MEMORY_S, Quality, Sensitivity

CURVE: Final = 2000  # curve points that may wait for a slow page: the oldest go first
DELAYS: Final = 400  # frames over which the delay is told
PREVIEW_WIDTH: Final = 640  # px
PREVIEW_QUALITY: Final = 70
JOIN_S: Final = 5.0
BLUR: Final = 24  # the privacy picture is this many blocks wide: nobody is recognised, a head is still seen


class Viewer:
    """Analyses what ``connect`` opens until it ends or ``close`` is called. Start it with ``start``.

    build: makes the pipeline; called in the thread, since it loads models. private: make no pictures of anybody.
    """

    def __init__(
        self, connect: Callable[[], Source], build: Callable[[Config], Pipeline], config: Config, *, private: bool
    ) -> None:
        self._connect, self._build, self._config, self._private = connect, build, config, private
        self._lock = threading.Lock()
        self._messages: list[dict[str, Any]] = []
        self._curve: deque[tuple[float, int, float, float]] = deque(maxlen=CURVE)
        self._delays: deque[float] = deque(maxlen=DELAYS)
        self._latest: tuple[Frame, Observation] | None = None
        self._shown = -1
        self._lost = 0
        self._quality = Quality(config.spot, LIVE_MEMORY_S)
        self._run_number = 0
        self._source: Source | None = None
        self._stop = threading.Event()
        self._wish: Config | None = None
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def recalibrate(self, config: Config | None = None) -> None:
        """Learns the resting face anew, with other thresholds when ``config`` is given. The model stays."""
        self._wish = config or self._config

    def take(self) -> list[dict[str, Any]]:
        """The messages since the last call: what happened, then the state now."""
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
        """The newest picture as JPEG, blurred in privacy mode; None before the first."""
        latest = self._latest
        return None if latest is None else preview(latest[0], self._private)

    def stop(self) -> None:
        """Ends the capture; what is still to be reported can be taken until ``done``."""
        self._stop.set()
        if self._source is not None:
            self._source.close()

    def close(self) -> None:
        """Ends the capture and frees the pipeline; waits for the thread."""
        self.stop()
        self._thread.join(JOIN_S)

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._build(self._config) as pipeline, self._connect() as source:
                self._source = source
                recogniser = pipeline.recogniser
                about = (recogniser.spec.id, recogniser.provider, recogniser.why) if recogniser else ("none", "", "")
                self._tell(messages.started(source.info, *about))
                self._watch(pipeline, source)
                self._tell({"type": "stopped"})
        except MerError as error:
            self._tell({"type": "error", "text": str(error)})
        except Exception as error:  # the page must not wait for a thread that is gone
            self._tell({"type": "error", "text": f"an internal error ended the analysis ({type(error).__name__})"})
            raise
        finally:
            self._source = None

    def _watch(self, pipeline: Pipeline, source: Source) -> None:
        pictures = EventPictures()
        page = _Page(self, pictures, source.info.clock == "monotonic")
        for _ in watch(source, pipeline, [page] if self._private else [pictures, page]):
            if (wish := self._wish) is not None:
                self._wish = None
                pipeline.begin(live=source.info.live, config=replace(pipeline.config, spot=wish.spot))
                self._run_number += 1
                with self._lock:
                    self._quality = Quality(wish.spot, LIVE_MEMORY_S)

    def publish(self, frame: Frame, observation: Observation, delay: float | None) -> None:
        """Takes over what the page shows next; ``delay`` in s from the capture, None when it is not known."""
        with self._lock:
            self._latest = frame, observation
            self._lost += observation.lost
            self._quality.push(observation, frame.gray)
            if delay is not None:
                self._delays.append(delay)
            for signal in observation.faces:
                if (activity := signal.activity) is not None:
                    self._curve.append((observation.time, signal.face.track, activity.level, activity.threshold))

    def tell_event(self, event: Event, pictures: dict[str, str]) -> None:
        self._tell(messages.event(event, self._run_number, pictures))

    def _tell(self, message: dict[str, Any]) -> None:
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
                f"below {COARSE_FPS:g} frames/s the shortest movements rest on two or three frames: "
                "a faster camera sees more"
            )
        return {
            "type": "state",
            "time": seen.time,
            "frames": seen.index + 1,
            "fps": round(seen.fps, 2),
            "lost": self._lost,
            "dropped": stats.dropped if stats else 0,
            "reconnects": stats.reconnects if stats else 0,
            "delay": [round(1000 * float(v), 1) for v in np.percentile(delays, (50, 95))] if delays else None,
            "notes": hints,
            "smallest": {"size": can.size, "why": list(can.reasons)} if can else None,
            "faces": [messages.face(signal) for signal in seen.faces],
            "curve": [[round(t, 4), k, round(level, 2), round(limit, 2)] for t, k, level, limit in curve],
        }


class _Page(Sink):
    """Hands on to a viewer what a run gives. timed: capture times can be compared with the clock of this machine."""

    def __init__(self, viewer: Viewer, pictures: EventPictures, timed: bool) -> None:
        self._viewer, self._pictures, self._timed = viewer, pictures, timed

    def write(self, observation: Observation, frame: Frame) -> None:
        self._viewer.publish(frame, observation, time.monotonic() - frame.time if self._timed else None)
        self._tell(observation.events)

    def end(self, end: End) -> None:
        self._tell(end.events)

    def close(self) -> None:
        """The viewer ends by itself."""

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._viewer.tell_event(event, self._pictures.made.pop(event.key, {}))


def preview(frame: Frame, private: bool) -> bytes:
    """A small JPEG of the frame; ``private``: so coarse that nobody can be recognised."""
    image = frame.image
    height, width = image.shape[:2]
    if private:
        coarse = (BLUR, max(1, round(BLUR * height / width)))
        image = cv2.resize(cv2.resize(image, coarse, interpolation=cv2.INTER_AREA), (width, height))
    if width > PREVIEW_WIDTH:
        size = (PREVIEW_WIDTH, round(height * PREVIEW_WIDTH / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return jpeg(np.asarray(image, np.uint8), PREVIEW_QUALITY)
