"""Frame in, observation out: joins the stages. Knows no file, no camera and no model file; ``build`` makes one.

Every frame is aligned and measured (the motion lane). Detection runs beside it, now and then, and classification once
or twice a movement. A recording and a camera go through the same ``push``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Protocol, Self

import numpy as np

from realtime_mer.config import Config
from realtime_mer.errors import SourceError
from realtime_mer.face.align import Transform, alignable
from realtime_mer.face.lane import Detect, DetectionLane
from realtime_mer.face.track import FaceTracks
from realtime_mer.motion.flow import recogniser_input
from realtime_mer.motion.follow import Followed, Follower
from realtime_mer.motion.ring import KeyFrames, Ring
from realtime_mer.recognise import Recogniser, predict
from realtime_mer.recognise.worker import BatchWorker
from realtime_mer.records import (
    Detection,
    Event,
    Face,
    FaceSignal,
    Frame,
    Kind,
    Observation,
    Prediction,
    SourceInfo,
    Span,
    Status,
)
from realtime_mer.spotting.cues import cues
from realtime_mer.spotting.detector import Movement, Spotter

RATE_KNOWN: Final = 0.25  # s of frames before their rate is judged
LARGEST: Final = 32766  # px, side of a picture: beyond it OpenCV cannot warp, and MediaPipe ends the process
MISSES: Final = 2  # detections in a row that must miss a face before it is given up


class FrameSource(Protocol):
    """What ``run`` needs of a source; ``sources`` makes them."""

    @property
    def info(self) -> SourceInfo: ...
    def __iter__(self) -> Iterator[Frame]: ...


@dataclass(slots=True)
class _Tracked:
    """One face in view."""

    follower: Follower
    spotter: Spotter
    ring: Ring = field(default_factory=Ring)
    misses: int = 0
    lost_since: float | None = None
    asked_transform: Transform | None = None  # in use when the detection under way was asked for
    closed: int = 0  # id of the latest movement whose final report is out
    known: dict[int, tuple[float, float, Prediction]] = field(default_factory=dict)  # span id -> onset, apex, answer


class Pipeline:
    """Watches the faces in a run of frames.

    detect:     finds the faces of a frame, e.g. ``FaceDetector.detect``.
    recogniser: names the motion of a movement; None leaves events without a prediction.
    live:       never wait for detection or classification. A recording waits, and so gives the same result each time.
    close:      called at the end of ``close``, to free what was made for this pipeline.
    """

    def __init__(
        self,
        detect: Detect,
        recogniser: Recogniser | None = None,
        config: Config | None = None,
        *,
        live: bool = False,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.config = config or Config()
        self.live = live
        self.recogniser = recogniser
        self._detect, self._close = detect, close
        self._lane: DetectionLane | None = None
        self._worker: BatchWorker[Event, KeyFrames] | None = None
        self.reset()

    def reset(self) -> None:
        """Forgets every face: the next frame begins a new recording."""
        self._stop()
        faces = self.config.faces
        self._lane = DetectionLane(self._detect, faces.patience, self.live)
        if self.recogniser is not None:
            spec = self.recogniser.spec
            make = partial(recogniser_input, feature=spec.feature, size=spec.input_shape[1])
            self._worker = BatchWorker(self.recogniser.classify, make, threaded=self.live)
        # a face in view is seen at the checks only, and must be remembered from one to the next
        self._tracks = FaceTracks(max(faces.forget, 2 * faces.refresh))
        self._faces: dict[int, _Tracked] = {}
        self._counted: dict[int, int] = {}  # track -> movements reported, of faces that may come back
        self._asked = -np.inf
        self._hurry = False
        self._times: deque[float] = deque()

    def run(self, source: FrameSource) -> Iterator[Observation]:
        """One observation per frame of ``source``, and a last one when movements were still open at its end."""
        for _, observation in self.watch(source):
            yield observation

    def watch(self, source: FrameSource) -> Iterator[tuple[Frame | None, Observation]]:
        """As ``run``, with the frames, for whoever draws them; the last observation may come without one."""
        if source.info.live != self.live or self._times:
            self.live = source.info.live
            self.reset()
        last: Frame | None = None
        for frame in source:
            last = frame
            yield frame, self.push(frame)
        if last is not None and (events := self.finish()):
            yield None, Observation(last.index, last.time, (), events, self._rate(), 0, ())

    def push(self, frame: Frame) -> Observation:
        """Takes the next frame. No face is an observation without faces.

        Raises SourceError when its time is not later than the last one's, or its ``gray`` is no picture.
        """
        self._check(frame)
        self._times.append(frame.time)
        while len(self._times) > 2 and self._times[0] < frame.time - 1.0:
            self._times.popleft()
        events = self._detection(frame)
        signals = []
        for track, tracked in self._faces.items():
            signal, found = self._watch(track, tracked, frame)
            signals.append(signal)
            events += found
        events += self._classified(frame.time, wait=not self.live)
        return Observation(
            frame.index, frame.time, tuple(signals), tuple(events), self._rate(), frame.lost, self._notes()
        )

    def finish(self) -> tuple[Event, ...]:
        """The end of the recording: movements still open are reported as not to be judged, classifications awaited."""
        events: list[Event] = []
        for track, tracked in self._faces.items():
            events += self._report(track, tracked, tracked.spotter.reach(), self._times[-1])
        events += self._classified(self._times[-1] if self._times else 0.0, wait=True)
        for track in tuple(self._faces):
            self._drop(track)
        return tuple(events)

    def close(self) -> None:
        """Ends the threads; the pipeline cannot be used any more."""
        self._stop()
        close, self._close = self._close, None
        if close is not None:
            close()

    def _stop(self) -> None:
        if self._lane is not None:
            self._lane.close()
        if self._worker is not None:
            self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, frame: Frame) -> None:
        last = self._times[-1] if self._times else -math.inf
        if not last < frame.time < math.inf:
            raise SourceError(f"frame {frame.index}: times must increase, but {frame.time} s follows {last} s")
        if frame.gray.dtype != np.uint8 or frame.gray.ndim != 2 or not frame.gray.size:
            raise SourceError(
                f"frame {frame.index}: gray must be uint8 (H, W), not {frame.gray.dtype} {frame.gray.shape}"
            )
        if max(frame.gray.shape) > LARGEST:
            width, height = frame.size
            raise SourceError(
                f"frame {frame.index} is {width}x{height} px, more than {LARGEST} on a side: make it smaller"
            )

    # --- detection: the heavy lane --------------------------------------------------------------------------------

    def _detection(self, frame: Frame) -> list[Event]:
        """Asks for a detection when one is due, and takes over the answer to an earlier one."""
        assert self._lane is not None
        events: list[Event] = []
        interval = self.config.faces.refresh if self._faces else self.config.faces.search
        if not self._lane.busy and (self._hurry or frame.time - self._asked >= interval):
            self._lane.ask(frame)
            self._asked, self._hurry = frame.time, False
            for tracked in self._faces.values():
                tracked.asked_transform = tracked.follower.transform
            if not self._faces and not self.live:
                # nothing is measured meanwhile, so a recording may as well wait and lose no frame of a new face
                return self._take(self._lane.answer(math.inf))
        if (answer := self._lane.answer(frame.time)) is not None:
            events = self._take(answer)
        return events

    def _take(self, answer: tuple[Frame, Sequence[Detection]] | None) -> list[Event]:
        if answer is None:
            return []
        asked, detections = answer
        # where registration has carried the faces is where they are known to be
        self._tracks.follow(asked.time, [t.follower.carried() for t in self._faces.values() if t.lost_since is None])
        seen = self._tracks.update(asked.time, [d for d in detections if alignable(d.points)])
        events: list[Event] = []
        for face in seen:
            tracked = self._faces.get(face.track)
            if tracked is None:
                counted = self._counted.pop(face.track, 0)
                follower, spotter = Follower(face, asked.gray, asked.time), Spotter(self.config.spot, counted)
                self._faces[face.track] = _Tracked(follower, spotter, closed=counted)
                continue
            tracked.misses = 0
            asked_at = tracked.asked_transform
            slipped = asked_at is not None and not tracked.follower.agrees(face, asked_at)
            # a face that is out of sight where it was detected has changed its looks: only a new anchor finds it again
            if slipped or tracked.lost_since is not None:
                events += self._report(
                    face.track, tracked, tracked.spotter.interrupt("the face was lost and found again"), asked.time
                )
                tracked.follower.seat(face, asked.gray, asked.time)
                tracked.lost_since = None
        for track in set(self._faces) - {face.track for face in seen}:
            tracked = self._faces[track]
            tracked.misses += 1
            self._hurry = True
            if tracked.misses >= MISSES or tracked.lost_since is not None:
                events += self._report(
                    track, tracked, tracked.spotter.interrupt("the face left the picture"), asked.time
                )
                self._drop(track)
        return events

    def _drop(self, track: int) -> None:
        self._counted[track] = self._faces.pop(track).spotter.counted

    # --- the motion lane --------------------------------------------------------------------------------------------

    def _watch(self, track: int, tracked: _Tracked, frame: Frame) -> tuple[FaceSignal, list[Event]]:
        followed = tracked.follower.step(frame.gray, frame.time)
        tracked.ring.push(followed.aligned, frame.lost)
        face = tracked.follower.carried()
        note = self._note(tracked, face, followed)
        if note:
            return FaceSignal(face, None, note), self._report(
                track, tracked, tracked.spotter.interrupt(note), frame.time
            )
        motion, movements = tracked.spotter.push(frame.time, followed.displacement, followed.eyes, followed.head)
        if tracked.spotter.quiet and tracked.follower.rest(frame.gray, frame.time):
            tracked.asked_transform = None
        settling = "" if tracked.spotter.settled else "learning the resting face"
        return FaceSignal(face, motion, settling), self._report(track, tracked, movements, frame.time)

    def _note(self, tracked: _Tracked, face: Face, followed: Followed) -> str:
        """Why the face cannot be measured in this frame, empty when it can."""
        settings = self.config.faces
        if followed.lost:
            tracked.lost_since = followed.aligned.time if tracked.lost_since is None else tracked.lost_since
            self._hurry = True
            return "face out of sight"
        tracked.lost_since = None
        if face.box[2] - face.box[0] < settings.min_width:
            return "face too small"
        if max(abs(face.pose[0]), abs(face.pose[1])) > settings.max_turn:
            return "face turned away"
        return ""

    # --- events -----------------------------------------------------------------------------------------------------

    def _report(self, track: int, tracked: _Tracked, movements: Sequence[Movement], now: float) -> list[Event]:
        """Events for the movements; those that are to be classified are sent to the worker and come from
        ``_classified``."""
        events: list[Event] = []
        for movement in movements:
            event = self._event(track, tracked, movement, now)
            span = event.span
            early = movement.span.status is Status.PROVISIONAL
            if early and span.kind is not Kind.MICRO:
                continue  # the final report will say it
            if span.kind is not Kind.MICRO or self._worker is None or (early and not self.config.classify.provisional):
                events.append(event)
                tracked.closed = tracked.closed if early else span.id
                continue
            onset, apex, prediction = tracked.known.pop(span.id, (None, None, None))
            if (onset, apex) == (span.onset, span.apex):
                events.append(replace(event, prediction=prediction))
            else:
                self._worker.submit(event, tracked.ring.key_frames(span.onset, span.apex))
        return events

    def _event(self, track: int, tracked: _Tracked, movement: Movement, now: float) -> Event:
        span: Span = movement.span
        rate, gap, lost = tracked.ring.rate(span.onset, span.apex if span.offset is None else span.offset)
        if span.kind is Kind.MICRO and 0 < rate < self.config.spot.min_rate:
            reason = f"{rate:.1f} frames/s cannot resolve a micro-expression"
            span = replace(span, kind=Kind.UNSURE, status=Status.REJECTED, reason=reason)
        model, provider = (r.spec.id, r.provider) if (r := self.recogniser) else ("", "")
        return Event(track, span, None, cues(movement.displacement), rate, gap, lost, model, provider, now)

    def _classified(self, now: float, wait: bool) -> list[Event]:
        """Events whose classification is done. ``wait``: for all of them."""
        if self._worker is None or self.recogniser is None:
            return []
        events = []
        for event, _, probabilities in self._worker.drain() if wait else self._worker.ready():
            prediction = predict(probabilities, self.recogniser.spec)
            if event.span.status is Status.PROVISIONAL:
                tracked = self._faces.get(event.track)
                if tracked is None or event.span.id <= tracked.closed:
                    continue  # computed too late: its final report is out
                tracked.known = {event.span.id: (event.span.onset, event.span.apex, prediction)}
            events.append(replace(event, prediction=prediction, reported=now))
        return events

    def _rate(self) -> float:
        times = self._times
        return 0.0 if len(times) < 2 else (len(times) - 1) / (times[-1] - times[0])

    def _notes(self) -> tuple[str, ...]:
        rate = self._rate()
        if self._times[-1] - self._times[0] >= RATE_KNOWN and rate < self.config.spot.min_rate:
            # the same words in every frame, so that they can be counted; the rate itself is in the observation
            return (f"fewer than {self.config.spot.min_rate:g} frames/s: micro-expressions cannot be resolved",)
        return ()
