"""Measures speed on recorded files: frames/s, cores, memory; and the floor below it, in the same run.

The floor is what cannot be left out: decode, cut out the aligned face, measure. Both are run in turns, so that other
load on the machine affects both. Every case has its own new process, and so its own peak memory.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.results import Result, Series, machine, peak_resident, series
from realtime_mer.build import build
from realtime_mer.config import Config, merge
from realtime_mer.errors import MerError, SourceError
from realtime_mer.face import FaceDetector
from realtime_mer.motion.follow import Follower
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Face, Observation
from realtime_mer.run import watch
from realtime_mer.sources import open_source

ROUNDS: Final = 5  # how often pipeline and floor run in turns
SHORT: Final = 4.0  # s of video for the curves over sizes, faces and streams
FACES: Final = (1, 2, 4, 8, 16)
SIZES: Final = ((640, 480), (1280, 720), (1920, 1080))
RATES: Final = (30.0, 60.0, 100.0, 200.0, 240.0)
STREAMS: Final = (2, 4)
_CHILD: Final = "from realtime_mer.bench.throughput import child; child()"
CROWD: Final = (1080, 1080)  # px, of the clips with 1 to 16 faces


@dataclass(frozen=True, slots=True)
class Case:
    """One case to time: a file, the number of pipelines that read it at once, and the number of faces to follow."""

    name: str
    video: Path
    faces: int = 1
    streams: int = 1


class Timed(NamedTuple):
    """One pass: frames, seconds of wall clock, processor seconds of all threads, faces measured per frame."""

    frames: int
    wall: float
    cpu: float
    measured: float


def run(
    video: Path | None = None,
    config: Config | None = None,
    rounds: int = ROUNDS,
    groups: Sequence[str] = ("faces", "size", "rate", "streams"),
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Times ``video`` alone, or the demo clip and the curves of ``groups``.

    progress: called with each case's name when it begins. Raises what making the clips, opening and building raise.
    """
    host, config = machine(), config or Config()
    cases: Iterable[Case] = [Case(video.name, video, config.faces.max_faces)] if video else _cases(groups)
    lines: list[Series] = []
    facts: dict[str, Any] = {}
    for case in cases:
        if progress is not None:
            progress(case.name)
        ours, floor, peak = _isolated(case, config, rounds)
        lines += [
            series(f"{case.name}: pipeline", "frames/s", "all stages on, as fast as possible", map(_rate, ours)),
            series(f"{case.name}: floor", "frames/s", "only decode, cut out the face, measure", map(_rate, floor)),
            series(f"{case.name}: pipeline, processor", "ms/frame", "processor time of all threads", map(_cpu, ours)),
            series(f"{case.name}: floor, processor", "ms/frame", "processor time of all threads", map(_cpu, floor)),
        ]
        facts[case.name] = {
            "ratio to the floor": round(ratio(ours, floor), 3),
            "frames per core-second": round(median(t.frames / t.cpu for t in ours)),
            "frames": ours[0].frames,
            "faces measured": round(ours[-1].measured, 2),
            "cores used": round(sum(t.cpu for t in ours) / sum(t.wall for t in ours), 2),
            "peak memory, MB": round(peak),
        }
    settings = {"rounds": rounds, "video": str(video or "synthetic demo portrait"), "config": asdict(config)}
    return Result("throughput", settings, facts, tuple(lines), host)


def _cases(groups: Sequence[str]) -> Iterator[Case]:
    """The cases; each clip is made when it is needed."""
    yield Case("640x480, 1 face, 100 frames/s", make(Clip()))
    if "size" in groups:
        for width, height in SIZES[1:]:
            yield Case(f"{width}x{height}, 1 face", make(Clip(width, height, seconds=SHORT)))
    if "faces" in groups:
        for faces in FACES:
            yield Case(f"{CROWD[0]}x{CROWD[1]}, faces: {faces}", make(Clip(*CROWD, faces, seconds=SHORT)), faces)
    if "rate" in groups:
        for rate in RATES:
            # 20 s, because the first detection, which the floor does not have, comes once in a recording
            yield Case(f"640x480, recorded at {rate:g} frames/s", make(Clip(fps=rate)))
    if "streams" in groups:
        for streams in STREAMS:
            yield Case(f"640x480, streams in one process: {streams}", make(Clip(seconds=SHORT)), streams=streams)


def _isolated(case: Case, config: Config, rounds: int) -> tuple[list[Timed], list[Timed], float]:
    """``alternate`` in a subprocess; not with multiprocessing, which would import the caller's program again."""
    asked = pickle.dumps((case, config, rounds))
    done = subprocess.run([sys.executable, "-c", _CHILD], input=asked, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise MerError(f"{case.name}: the timed process ended with code {done.returncode}")
    answer = pickle.loads(done.stdout)
    if isinstance(answer, MerError):
        raise answer
    measured: tuple[list[Timed], list[Timed], float] = answer
    return measured


def child() -> None:
    """Reads a case from standard input and writes the result to standard output, both pickled."""
    case, config, rounds = pickle.load(sys.stdin.buffer)
    try:
        answer: object = alternate(case, config, rounds)
    except MerError as error:
        answer = error
    sys.stdout.buffer.write(pickle.dumps(answer))


def alternate(case: Case, config: Config, rounds: int) -> tuple[list[Timed], list[Timed], float]:
    """Pipeline and floor in turns, after an uncounted first pass of each; and the peak memory, MB."""
    config = merge(config, {"faces": {"max_faces": case.faces}})
    faces = _found(case.video, case.faces)
    ours, floor = [], []
    with ExitStack() as stack:
        pipelines = [stack.enter_context(build(config)) for _ in range(case.streams)]
        for _ in range(rounds + 1):
            ours.append(timed([partial(analyze, pipeline, case.video) for pipeline in pipelines]))
            floor.append(timed([partial(_floor, faces, case.video)] * case.streams))
    return ours[1:], floor[1:], peak_resident()


def timed(jobs: Sequence[Callable[[], tuple[int, int]]]) -> Timed:
    """Runs the jobs at the same time, each in a thread; a job returns the numbers of frames and of faces measured in
    them."""
    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(len(jobs)) as pool:
        done = list(pool.map(lambda job: job(), jobs))
    frames = sum(n for n, _ in done)
    return Timed(
        frames, time.perf_counter() - wall, time.process_time() - cpu, sum(n for _, n in done) / max(frames, 1)
    )


def analyze(pipeline: Pipeline, video: Path) -> tuple[int, int]:
    """One pass of ``pipeline`` over ``video``: the numbers of frames and of faces measured in them."""
    frames = measured = 0
    with open_source(video) as source:
        for seen in watch(source, pipeline):
            if isinstance(seen, Observation):
                frames += 1
                measured += sum(signal.activity is not None for signal in seen.faces)
    return frames, measured


def _floor(faces: Sequence[Face], video: Path) -> tuple[int, int]:
    frames = 0
    followers: list[Follower] = []
    with open_source(video) as source:
        for frame in source:
            followers = followers or [Follower(face, frame) for face in faces]
            for follower in followers:
                follower.step(frame)
            frames += 1
    return frames, frames * len(faces)


def _found(video: Path, most: int) -> list[Face]:
    """The faces in the first frame."""
    with open_source(video) as source, FaceDetector(max_faces=most) as detector:
        frame = next(iter(source), None)
        if frame is None:
            raise SourceError(f"{video} has no frame that can be decoded")
        return list(detector.detect(frame))


def ratio(ours: Sequence[Timed], floor: Sequence[Timed]) -> float:
    """Speed of the pipeline relative to the floor: the median over the turns."""
    return median(_rate(a) / _rate(b) for a, b in zip(ours, floor, strict=True))


def _rate(timed: Timed) -> float:
    return timed.frames / timed.wall


def _cpu(timed: Timed) -> float:
    return 1e3 * timed.cpu / timed.frames
