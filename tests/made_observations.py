"""Made-up observations for the tests of sinks, drawing and the report: invented numbers, no face was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from realtime_mer.face.regions import NAMES
from realtime_mer.records import (
    Activity,
    Cue,
    End,
    Event,
    Face,
    FaceSignal,
    Frame,
    Kind,
    Movement,
    Observation,
    Prediction,
    SourceInfo,
)
from realtime_mer.sinks import Sink

INFO = SourceInfo(
    "/videos/subject 1 & 2.mp4", "file", False, (320, 240), 100.0, "container", 300, 3.0, {"codec": "h264"}
)


def face(track: int = 1, box: tuple[float, float, float, float] = (80, 40, 240, 220)) -> Face:
    """A face whose landmarks all lie in the middle of the box, but for the eyes' corners."""
    x0, y0, x1, y1 = box
    points = np.full((478, 2), ((x0 + x1) / 2, (y0 + y1) / 2), np.float32)
    for numbers, x in (((33, 133), 0.3), ((263, 362), 0.7)):
        points[list(numbers)] = (x0 + x * (x1 - x0), y0 + 0.4 * (y1 - y0))
    return Face(track, box, points, 0.97, (3.0, -5.0, 1.5))


def activity(level: float, moved: int = 11) -> Activity:
    displacement = np.zeros((len(NAMES), 2), np.float32)
    displacement[moved] = (0.2 * level, -0.1 * level)
    return Activity(displacement, np.full(len(NAMES), 0.05, np.float32), 1.5, 0.98, level, 6.0)


def event(
    id: int = 1,
    onset: float = 1.0,
    *,
    track: int = 1,
    kind: Kind = Kind.MICRO,
    provisional: bool = False,
    label: str | None = "negative",
    reason: str = "",
    rate: float = 100.0,
    first: float = 0.0,
) -> Event:
    """A movement of 0.3 s with its apex after 0.12 s, reported 0.05 s after the offset; provisional without offset.

    rate, first: of the frames that it was seen in, frames/s and s.
    """

    def frame_at(time: float) -> int:
        return round((time - first) * rate)

    apex, offset = onset + 0.12, None if provisional else onset + 0.3
    return Event(
        track=track,
        movement=Movement(id, onset, apex, offset, 1.25, kind, reason),
        onset_frame=frame_at(onset),
        apex_frame=frame_at(apex),
        offset_frame=None if offset is None else frame_at(offset),
        prediction=None if reason else Prediction(label, {label or "negative": 0.7, "positive": 0.2, "surprise": 0.1}),
        cues=(Cue("left lip corner", 2.5, -1.25, ("AU12",)), Cue("left cheek", 0.5, -0.5, ())),
        fps=99.5,
        gap=0.0125,
        lost=0,
        objective=None if reason else Prediction("I", {"I": 0.8, "II": 0.2}),
        action_units=None if reason else {"AU4": 0.1, "AU12": 0.81},
        model="flow-default/1",
        provider="CPUExecutionProvider",
        reported=onset + (0.17 if provisional else 0.35),
    )


def frame(index: int, time: float, size: tuple[int, int] = (320, 240)) -> Frame:
    """A gray picture, brighter with each frame."""
    gray = np.full((size[1], size[0]), 40 + index % 160, np.uint8)
    gray[size[1] // 4 : size[1] // 2, size[0] // 4 : size[0] // 2] = 220
    return Frame(index, time, gray)


def recording(frames: int = 300, rate: float = 100.0, first: float = 0.0) -> Iterator[Observation]:
    """A face, from frame 10 on, with a micro-expression at 1 s (provisional, then confirmed) and a blink at 2 s."""
    reports = (
        event(onset=first + 1.0, provisional=True, rate=rate, first=first),
        event(onset=first + 1.0, rate=rate, first=first),
        event(2, first + 2.0, kind=Kind.BLINK, reason='eyes only, "a, b"', rate=rate, first=first),
    )
    for index in range(frames):
        time = first + index / rate
        level = 1.0 + 9.0 * math.exp(-(((time - first - 1.12) / 0.06) ** 2))
        faces = (FaceSignal(face(), activity(level), ""),) if index >= 10 else ()
        events = tuple(e for e in reports if math.ceil((e.reported - first) * rate - 1e-3) == index)
        yield Observation(index, time, faces, events, rate, lost=int(index == 50), notes=("low rate",) * (index < 5))


def play(*sinks: Sink, frames: int = 300, first: float = 0.0, last: tuple[Event, ...] = ()) -> None:
    """``recording`` into the sinks and, with the events ``last``, to its end; then they are closed."""
    time = None
    for observation in recording(frames, first=first):
        time = observation.time
        for sink in sinks:
            sink.write(observation, frame(observation.index, time, (64, 48)))
    for sink in sinks:
        sink.end(End(time, last))
        sink.close()
