"""Frame in, observation out: connects the stages. Knows no files, cameras or model files; ``build`` makes one.

Every frame is aligned and measured. Detection runs beside that from time to time, classification once or twice per
movement. A recorded video and a camera go through the same ``push``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Self

import numpy as np

from realtime_mer.config import Config, SpotConfig
from realtime_mer.continuity import Break, Broken, Continuity
from realtime_mer.errors import SourceError
from realtime_mer.events import Reporter
from realtime_mer.face.align import alignable
from realtime_mer.face.check import Check
from realtime_mer.face.lane import UNHURRIED, Answer, Detect, DetectionLane
from realtime_mer.face.track import FaceTracks
from realtime_mer.observe import Observer, Stage, observed
from realtime_mer.recognize import Recognizer
from realtime_mer.records import End, Event, Frame, Movement, Observation
from realtime_mer.spotting import MakeSpotter
from realtime_mer.watched import Place, WatchedFace

RATE_KNOWN: Final = 0.25  # s of frames before their rate is judged
LARGEST: Final = 32766  # px, largest side of a frame: beyond it OpenCV cannot warp, and MediaPipe ends the process
CUT_SHORT: Final = "the recording ended before the movement did"
RECALIBRATED: Final = "the resting face was learned again"

Places = dict[int, Place]  # track -> where its face was


class Pipeline:
    """Watches the faces in a sequence of frames: ``begin``, ``push`` each frame, ``finish``, and finally ``close``.

    detect:     finds the faces of a frame, e.g. ``FaceDetector.detect``.
    check:      confirms faces that are followed, e.g. ``FaceCheck.check``; without it, every check is a detection.
    spotter:    makes the spotter of a face, e.g. ``MovementDetector``.
    recognizer: classifies the motion of a movement; without one, events have no prediction.
    observers:  called when each stage starts and ends.
    close:      called at the end of ``close``, to release what was made for this pipeline.

    A new pipeline is ready for a recorded video; for a live source call ``begin(live=True)`` first.
    """

    def __init__(
        self,
        detect: Detect,
        spotter: MakeSpotter,
        recognizer: Recognizer | None = None,
        config: Config | None = None,
        *,
        check: Check | None = None,
        observers: Sequence[Observer] = (),
        close: Callable[[], None] | None = None,
    ) -> None:
        self.recognizer = recognizer
        self._detect = observed(detect, Stage.DETECT, observers)
        self._check_faces = None if check is None else observed(check, Stage.CHECK, observers)
        self._make_spotter, self._observers, self._close = spotter, tuple(observers), close
        self._config = config or Config()
        self._parts: tuple[DetectionLane[Places], Reporter] | tuple[()] = ()
        self.begin()

    @property
    def config(self) -> Config:
        """The current settings."""
        return self._config

    def begin(self, *, live: bool = False, config: Config | None = None) -> None:
        """Forgets every face: the next frame starts a new recording, with new settings if ``config`` is given.

        live: never wait for detection or classification. A recorded video waits, so that it gives the same result every
        time. The model stays, whatever ``config.classify`` says.
        """
        self._stop()
        self._config = config = config or self._config
        self._live = live
        self._lane: DetectionLane[Places] = DetectionLane(self._detect, config.faces, live, self._check_faces)
        self._answer = observed(self._lane.answer, Stage.WAIT, self._observers)
        self._continuity = Continuity(config.spot)
        self._reporter = Reporter(self.recognizer, config, live, self._observers)
        self._parts = self._lane, self._reporter
        # a face in view is seen only at the checks, and must be remembered from one to the next
        self._tracks = FaceTracks(max(config.faces.forget_s, 2 * max(config.faces.check_s, UNHURRIED)))
        self._faces: dict[int, WatchedFace] = {}
        self._latest_ids: dict[int, int] = {}  # for faces that may come back: track -> id of the latest movement
        self._times: deque[float] = deque()  # s, of the last second
        self._new_times: deque[float] = deque()  # s, of the new ones among them
        self._last = -math.inf  # s, of the latest frame
        self._relearn = False  # learn every face again at the next frame

    def recalibrate(self, spot: SpotConfig | None = None) -> None:
        """Learns the resting face again from the next frame on, with new thresholds if ``spot`` is given.

        Current movements end. Faces keep their tracks, and the numbering of their movements continues.
        """
        if spot is not None:
            self._config = replace(self._config, spot=spot)
        self._relearn = True

    def push(self, frame: Frame) -> Observation:
        """Takes the next frame and returns its observation.

        Raises SourceError if its time is not later than the previous one's, or its ``gray`` is not uint8 (H, W).
        """
        self._check(frame)
        broken = self._continuity.push(frame)
        events = self._break(broken, frame) if broken else []
        if self._relearn:
            self._relearn = False
            for track in tuple(self._faces):
                events += self._drop(track, RECALIBRATED, frame.time)
            self._lane.check_now()
        self._count(frame)
        events += self._detected(frame)
        signals = []
        for track, watched in self._faces.items():
            signal, movements = watched.step(frame)
            signals.append(signal)
            events += self._report(track, movements, frame.time)
            if not watched.in_sight:
                self._lane.check_now()
        events += self._reporter.classified(frame.time, wait=not self._live)
        notes = (*((broken.what.value,) if broken else ()), *self._notes())
        return Observation(frame.index, frame.time, tuple(signals), tuple(events), self._rate(), frame.lost, notes)

    def finish(self) -> End:
        """Ends the recording: current movements are cut short; waits for classifications."""
        if self._last == -math.inf:
            return End(None, ())
        now = self._last
        events: list[Event] = []
        for track in tuple(self._faces):
            events += self._drop(track, CUT_SHORT, now)
        return End(now, (*events, *self._reporter.classified(now, wait=True)))

    def close(self) -> None:
        """Ends the threads. The pipeline cannot be used afterwards."""
        self._stop()
        close, self._close = self._close, None
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop(self) -> None:
        for part in self._parts:
            part.close()

    def _check(self, frame: Frame) -> None:
        if not self._last < frame.time < math.inf:
            raise SourceError(f"frame {frame.index}: times must increase, but {frame.time} s follows {self._last} s")
        if frame.gray.dtype != np.uint8 or frame.gray.ndim != 2 or not frame.gray.size:
            raise SourceError(
                f"frame {frame.index}: gray must be uint8 (H, W), not {frame.gray.dtype} {frame.gray.shape}"
            )
        if max(frame.gray.shape) > LARGEST:
            width, height = frame.size
            raise SourceError(
                f"frame {frame.index} is {width}x{height} px, more than {LARGEST} px on a side: reduce its size"
            )

    # --- faces come and go --------------------------------------------------------------------------------------------

    def _detected(self, frame: Frame) -> list[Event]:
        """Requests a detection when one is due, and uses the answer to an earlier one."""
        watching = bool(self._faces)
        if self._lane.due(frame.time, watching):
            places = {track: watched.place for track, watched in self._faces.items()}
            # a new anchor is taken at the landmarks, which must be known before it is due
            soon = frame.time + self._config.faces.check_s + UNHURRIED
            settled = all(watched.settled_until(soon) for watched in self._faces.values())
            expected = [watched.carried() for watched in self._faces.values()] if settled else []
            self._lane.ask(frame, places, watching, expected)
        answer = self._answer(frame.time)
        return [] if answer is None else self._take(answer)

    def _take(self, answer: Answer[Places]) -> list[Event]:
        asked, places = answer.frame, answer.context
        # the positions carried by registration are the known ones
        self._tracks.follow(asked.time, [w.carried() for w in self._faces.values() if w.in_sight])
        if answer.faces is None:
            for track in places.keys() & self._faces.keys():
                self._faces[track].seen()
            return []
        seen = self._tracks.update(asked.time, [face for face in answer.faces if alignable(face.points)])
        events: list[Event] = []
        for face in seen:
            if (watched := self._faces.get(face.track)) is not None:
                events += self._report(face.track, watched.confirm(face, asked, places.get(face.track)), asked.time)
                continue
            spotter = self._make_spotter(self._config.spot, self._latest_ids.get(face.track, 0) + 1)
            self._faces[face.track] = WatchedFace(face, asked, spotter, self._config.faces, self._observers)
        for track in set(self._faces) - {face.track for face in seen}:
            self._faces[track].miss()
            self._lane.check_now()
            if self._faces[track].gone:
                events += self._drop(track, "the face left the frame", asked.time)
        return events

    def _drop(self, track: int, reason: str, now: float) -> list[Event]:
        """Stops watching a face; its current movement ends for ``reason``."""
        watched = self._faces[track]
        events = self._report(track, watched.interrupt(reason), now)
        self._latest_ids[track] = max(watched.latest_id, self._latest_ids.get(track, 0))
        del self._faces[track]
        return events

    def _report(self, track: int, movements: Sequence[Movement], now: float) -> list[Event]:
        return self._reporter.report(track, self._faces[track].ring, movements, now) if movements else []

    def _break(self, broken: Broken, frame: Frame) -> list[Event]:
        """Ends current movements where the recording is interrupted, so that nothing is measured across.

        The faces are checked at once. After a change of size positions are meaningless, so all faces are dropped.
        """
        resized = broken.what is Break.SIZE
        events: list[Event] = []
        for track, watched in tuple(self._faces.items()):
            if resized:
                events += self._drop(track, broken.reason, frame.time)
            else:
                events += self._report(track, watched.interrupt(broken.reason), frame.time)
        self._lane.check_now()
        if broken.what is not Break.HOLE:
            self._lane.forget()
        if resized:
            self._tracks.forget()
        if broken.what is not Break.CUT:
            self._times.clear()
            self._new_times.clear()
        return events

    # --- the recording ------------------------------------------------------------------------------------------------

    def _count(self, frame: Frame) -> None:
        self._last = frame.time
        self._times.append(frame.time)
        while len(self._times) > 2 and self._times[0] < frame.time - 1.0:
            self._times.popleft()
        if not frame.repeated:
            self._new_times.append(frame.time)
        while self._new_times and self._new_times[0] < self._times[0]:
            self._new_times.popleft()

    def _rate(self) -> float:
        """New frames per second, over the last second."""
        times = self._new_times
        return 0.0 if len(times) < 2 else (len(times) - 1) / (times[-1] - times[0])

    def _notes(self) -> tuple[str, ...]:
        lowest = self._config.spot.min_rate_fps
        if self._times[-1] - self._times[0] >= RATE_KNOWN and self._rate() < lowest:
            # the same text in every frame, so that it can be counted; the rate itself is in the observation
            new = " that show something new" if 2 * len(self._new_times) < len(self._times) else ""
            return (f"fewer than {lowest:g} frames/s{new}: micro-expressions cannot be resolved",)
        return ()
