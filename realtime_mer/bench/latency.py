"""Measures the three latencies, never mixed: the time of each stage, the delay of an observation, the delay of an
event.

The last two come from ``live`` at a real rate. Start-up is measured, too. ``throughput`` measures the speed on files.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from realtime_mer.bench import live
from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.results import Result, Series, machine, series
from realtime_mer.bench.stages import WHAT, Stopwatch
from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.errors import SourceError
from realtime_mer.observe import Stage
from realtime_mer.records import Frame
from realtime_mer.run import log_header
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines
from realtime_mer.sources import Source, open_source

STARTS: Final = 3  # number of fresh processes timed from start to first observation
_START = (
    "import sys, time; from realtime_mer import build, open_source, watch\n"
    "with build() as pipeline, open_source(sys.argv[1]) as source:\n"
    "    next(watch(source, pipeline)); print(time.time(), flush=True)\n"
)


def run(
    video: Path | None = None,
    fps: float = 200.0,
    seconds: float = 20.0,
    config: Config | None = None,
    starts: int = STARTS,
) -> Result:
    """Runs the benchmark; takes ``seconds`` for the live part, and about as long for the rest.

    video: by default the synthetic demo clip, drawn at ``fps``. Raises what ``live.run`` raises.
    """
    host, config = machine(), config or Config()
    file = video or make(Clip(fps=fps))
    at_rate = live.run(fps, seconds, video, config)
    lines = [
        *(replace(line, name=f"stage: {line.name}") for line in stages(file, config)),
        *(replace(line, name=f"live: {line.name}") for line in at_rate.series),
        series(
            "start to first observation",
            "ms",
            "from the start of a new Python process to the first observation of a file: imports, models, first face",
            [1e3 * start_up(file) for _ in range(starts)],
        ),
    ]
    facts = {f"live: {name}": value for name, value in at_rate.facts.items()}
    settings = {"fps": fps, "seconds": seconds, "video": file.name, "config": asdict(config)}
    return Result("latency", settings, facts, tuple(line for line in lines if line.samples), host)


def stages(video: Path, config: Config | None = None) -> list[Series]:
    """Time per frame of each step over a recorded file, in ms, without the warm-up."""
    config = config or Config()
    others = ("decoding, waited for", "sinks", "frame, all of it")
    spent: dict[str, list[float]] = {name: [] for name in (*(stage.value for stage in WHAT), *others)}
    stopwatch = Stopwatch()
    with ExitStack() as stack:
        pipeline = stack.enter_context(build(config, observers=[stopwatch]))
        source = stack.enter_context(open_source(video))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = JsonLines(folder / "events.jsonl", log_header(source.info, pipeline))
        sinks = [stack.enter_context(log), stack.enter_context(SignalsCsv(folder / "signals.csv"))]
        for frame, waited in _timed(source):
            began = time.perf_counter()
            observation = pipeline.push(frame)
            pushed = time.perf_counter()
            for sink in sinks:
                sink.write(observation, frame)
            done = time.perf_counter()
            steps = stopwatch.take()
            if frame.time < live.WARM_UP:
                continue
            steps |= {"decoding, waited for": waited, "sinks": done - pushed, "frame, all of it": waited + done - began}
            for name, took in steps.items():
                spent[name].append(took)
    if not spent["sinks"]:
        raise SourceError(f"{video} is shorter than the warm-up of {live.WARM_UP:g} s: use a longer recording")
    what = {stage.value: words for stage, words in WHAT.items()} | {
        "decoding, waited for": "wait of the frame path for the decoder, which runs ahead in its own thread",
        "sinks": "writing the event log and signals.csv",
        "frame, all of it": "from requesting a frame to having written its observation, everything included",
    }
    lines = [series(name, "ms", what[name], [1e3 * t for t in samples]) for name, samples in spent.items()]
    for stage, name in ((Stage.DETECT, "face detection"), (Stage.CHECK, "light check")):
        beside = [1e3 * t for t in stopwatch.beside[stage]]
        if beside:
            lines.append(series(name, "ms", "one of them, in its own thread", beside))
    return lines


def start_up(video: Path) -> float:
    """Seconds from the start of a new process to its first observation of ``video``."""
    began = time.time()
    done = subprocess.run([sys.executable, "-c", _START, str(video)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SourceError(f"a new process could not read {video}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout) - began


def _timed(source: Source) -> Iterator[tuple[Frame, float]]:
    """Each frame, and the seconds spent waiting for it."""
    frames = iter(source)
    while True:
        began = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        yield frame, time.perf_counter() - began
