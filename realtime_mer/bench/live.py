"""Runs a source at a real rate: frames measured and lost, delay of observations, delay of events.

``latency`` measures the stages, ``throughput`` the speed on files.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.paced import PacedSource
from realtime_mer.bench.results import Result, Series, machine, peak_resident, resident, series
from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.errors import ConfigError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Event, Kind, Observation, SourceStats, Status
from realtime_mer.run import watch as watch_source
from realtime_mer.synth import Truth, read_truth

WARM_UP: Final = 2.0  # s at the start that are not counted, while the resting face is learned and caches fill
NEAR: Final = 0.25  # s: largest distance between a reported and a drawn apex of one movement
MEMORY_EVERY: Final = 1.0  # s between readings of the memory


@dataclass(slots=True)
class Session:
    """The record of a live run. Times are in s on the monotonic clock.

    frames: (capture time, time of its observation). events: (event, time when it was published).
    """

    frames: list[tuple[float, float]] = field(default_factory=list)
    events: list[tuple[Event, float]] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    measured: int = 0
    cpu: float = 0.0
    wall: float = 0.0


def run(fps: float = 200.0, seconds: float = 60.0, video: Path | None = None, config: Config | None = None) -> Result:
    """Plays a clip at ``fps`` frames/s for ``seconds`` and watches it like a camera.

    video: by default the synthetic demo clip drawn at this rate, whose movements are known. Another file is played at
    ``fps`` whatever its own rate, and distances to known movements are left out. Raises ConfigError for a rate or time
    that is too small, and what opening the video or building raises.
    """
    if seconds <= WARM_UP:
        raise ConfigError(f"a live run must be longer than {WARM_UP:g} s: the first {WARM_UP:g} s are not counted")
    host, config = machine(), config or Config()
    truth: list[Truth] = []
    if video is None:
        video = make(Clip(fps=fps))
        truth = read_truth(video.with_suffix(".truth.json"))
    with build(config) as pipeline, PacedSource(video, fps) as source:
        session = watch(pipeline, source, seconds)
        provider = pipeline.recognizer.provider if pipeline.recognizer else "none"
        size = source.info.size
        stats = source.stats()
        lines = _frame_series(session, source) + event_series(session, truth, source)
    settings = {"fps": fps, "seconds": seconds, "video": video.name, "size": size, "config": asdict(config)}
    facts = _facts(session, stats, provider, bool(truth))
    return Result("live", settings, facts, tuple(lines), host)


def watch(pipeline: Pipeline, source: PacedSource, seconds: float) -> Session:
    """Runs ``source`` through ``pipeline`` for ``seconds`` of capture time."""
    session = Session()
    looked = cpu = wall = 0.0
    for seen in watch_source(source, pipeline):
        now = time.monotonic()
        session.events += [(event, now) for event in seen.events]
        if not isinstance(seen, Observation):
            break
        session.frames.append((seen.time, now))
        session.measured += any(signal.activity is not None for signal in seen.faces)
        if len(session.frames) == 1:
            cpu, wall = time.process_time(), now
        if now - looked > MEMORY_EVERY:
            session.memory.append(resident())
            looked = now
        if seen.time - session.frames[0][0] >= seconds:
            source.close()
    session.cpu, session.wall = time.process_time() - cpu, time.monotonic() - wall
    return session


def _frame_series(session: Session, source: PacedSource) -> list[Series]:
    frames = np.array(session.frames)
    warm = frames[frames[:, 0] >= frames[0, 0] + WARM_UP]
    captured, seen = warm.T
    return [
        series(
            "capture to observation",
            "ms",
            "from the capture stamp of a frame to its observation in the reader's hands, at the real rate; "
            "without the camera's own exposure and transfer",
            1e3 * (seen - captured),
        ),
        series(
            "capture interval",
            "ms",
            "between the capture stamps of consecutive delivered frames: jitter and losses of the source",
            1e3 * np.diff(captured),
        ),
        series(
            "sender's lateness",
            "ms",
            "how late the benchmark's own source stamped a frame; not caused by the pipeline",
            [1e3 * late for late in source.lateness],
        ),
        series("memory", "MB", "resident memory of the process, once per second", session.memory),
    ]


def event_series(session: Session, truth: list[Truth], source: PacedSource) -> list[Series]:
    """Delays of events, all on the capture clock; relative to drawn apexes and offsets if ``truth`` has them."""
    provisional = [(e, t) for e, t in session.events if e.status is Status.PROVISIONAL]
    final = [(e, t) for e, t in session.events if e.status is Status.CONFIRMED]
    lines = [
        series(
            "reported apex to provisional event",
            "ms",
            "from the apex stated in the event to the event in the reader's hands: look-ahead and computing",
            [1e3 * (t - e.movement.apex) for e, t in provisional],
        ),
        series(
            "of which look-ahead",
            "ms",
            "from the stated apex to the capture of the frame that showed it was past",
            [1e3 * (e.reported - e.movement.apex) for e, t in provisional],
        ),
        series(
            "reported offset to final event",
            "ms",
            "from the offset stated in the event to the confirmed event in the reader's hands",
            [1e3 * (t - e.movement.offset) for e, t in final if e.movement.offset is not None],
        ),
    ]
    if truth:
        micro = [t for t in truth if t.kind is Kind.MICRO]
        lines += [
            series(
                "drawn apex to provisional event",
                "ms",
                "from the apex of the synthetic movement at the source",
                _after([c for t in micro for c in source.captured(t.apex)], provisional),
            ),
            series(
                "drawn offset to final event",
                "ms",
                "from the end of the synthetic movement; negative when it was reported before that",
                _after([c for t in micro for c in source.captured(t.offset)], final, by_offset=True),
            ),
        ]
    return lines


def _after(moments: list[float], events: list[tuple[Event, float]], by_offset: bool = False) -> list[float]:
    """Delay in ms of the event nearest to each moment, if there is one."""
    delays = []
    for moment in moments:
        near = [
            (abs(stated - moment), published)
            for event, published in events
            if (stated := event.movement.offset if by_offset else event.movement.apex) is not None
        ]
        if near and min(near)[0] <= NEAR:
            delays.append(1e3 * (min(near)[1] - moment))
    return delays


def _facts(session: Session, stats: SourceStats, provider: str, known: bool) -> dict[str, Any]:
    frames = np.array(session.frames)
    confirmed = sum(event.status is Status.CONFIRMED for event, _ in session.events)
    return {
        "recognizer runs on": provider,
        "video": "synthetic (drawn portrait)" if known else "given",
        "delivered": len(frames),
        "achieved rate, frames/s": float((len(frames) - 1) / (frames[-1, 0] - frames[0, 0])),
        "dropped by a slow reader": stats.dropped,
        "missed by the source": "not judged" if stats.missed is None else stats.missed,
        "frames with a measured face": session.measured,
        "confirmed events": confirmed,
        "warm-up left out, s": WARM_UP,
        "cores used": session.cpu / session.wall,
        "peak memory, MB": peak_resident(),
    }
