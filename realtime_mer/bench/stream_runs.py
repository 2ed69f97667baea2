"""Many recordings through the pipeline: in several processes, with each result kept, and the time that is left.

Streams are the unit: a run that was interrupted goes on with the streams whose results are not in the folder yet.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final

import realtime_mer
from realtime_mer.bench.alarm_sheets import draw_alarms
from realtime_mer.bench.spotting import Case, Row, StreamResult, watch_case
from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.errors import MerError, OutputError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Frame
from realtime_mer.typed import convert, from_json

Trials = Iterable[tuple[Row, Sequence[Case]]]
# Rooms whose code does not change what is found in a stream. All the rest of the package goes into a result's key.
OUTSIDE: Final = frozenset(("app", "commands", "sinks"))
KEY: Final = 24  # hex digits


@dataclass(frozen=True, slots=True)
class Options:
    """jobs: processes. keep: folder of results, one file a stream. sheets: folder of pictures of false alarms."""

    jobs: int = 1
    keep: Path | None = None
    sheets: Path | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """One stream of one row: what a process needs to run it."""

    case: Case
    name: str
    kept: Path | None
    sheets: Path | None


def measure(
    trials: Trials, config: Config, options: Options | None = None, say: Callable[[str], None] | None = None
) -> Iterator[Row]:
    """Every row with its streams' results, in order, each as soon as it is complete.

    say: told a line after each stream, with the time left. Raises OutputError when a folder cannot be written, and
    MerError when a process was killed.
    """
    options = options or Options()
    known = _fingerprint(config) if options.keep else ""
    rows = [(row, [_task(row, case, n, known, options) for n, case in enumerate(cases)]) for row, cases in trials]
    progress = _Progress(sum(len(tasks) for _, tasks in rows), say)
    with ExitStack() as stack:
        start = _in_turn(config, stack) if options.jobs <= 1 else _at_once(config, options.jobs, stack)
        futures = [[start(task) for task in tasks] for _, tasks in rows]
        try:
            for (row, _), waiting in zip(rows, futures, strict=True):
                for future in as_completed(waiting) if options.jobs > 1 else waiting:
                    result, fresh = future.result()
                    failed = f" FAILED: {result.failed}" if result.failed else ""
                    progress.step(f"{row.name}: {result.name}{failed}", fresh)
                row.streams += [future.result()[0] for future in waiting]
                yield row
        except BrokenProcessPool:
            raise MerError("a process of the benchmark was killed (out of memory?): use fewer --jobs") from None
        finally:
            for future in (future for waiting in futures for future in waiting):
                future.cancel()


class _Lazy(Future[tuple[StreamResult, bool]]):
    """A task that runs in this process when its result is asked for."""

    def __init__(self, task: _Task, pipeline: Pipeline) -> None:
        super().__init__()
        self._work = task, pipeline

    def result(self, timeout: float | None = None) -> tuple[StreamResult, bool]:
        if not self.done():
            task, pipeline = self._work
            self.set_result(_run(task.case, task, pipeline))
        return super().result(timeout)


def _in_turn(config: Config, stack: ExitStack) -> Callable[[_Task], Future[tuple[StreamResult, bool]]]:
    pipeline = stack.enter_context(build(config))
    return lambda task: _Lazy(task, pipeline)


def _at_once(config: Config, jobs: int, stack: ExitStack) -> Callable[[_Task], Future[tuple[StreamResult, bool]]]:
    build(config).close()  # what is missing is then said here, in one line
    context = get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(jobs, context, _begin, (config, stop))
    stack.callback(pool.shutdown, cancel_futures=True)
    stack.callback(stop.set)  # before that, so that nobody waits for the streams under way
    return lambda task: pool.submit(_work, task)


_process: list[tuple[Pipeline, Event]] = []  # of a worker: built once, used for all of its streams


def _begin(config: Config, stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    pipeline = build(config)
    Finalize(None, pipeline.close, exitpriority=1)  # atexit is not run in a worker
    _process.append((pipeline, stop))


def _work(task: _Task) -> tuple[StreamResult, bool]:
    pipeline, stop = _process[0]
    frames = task.case.frames

    def until_stopped() -> Iterator[Frame]:
        for frame in frames():
            if stop.is_set():
                raise MerError("the benchmark was stopped")
            yield frame

    return _run(replace(task.case, frames=until_stopped), task, pipeline)


def _run(case: Case, task: _Task, pipeline: Pipeline) -> tuple[StreamResult, bool]:
    """The result, and whether it was computed now."""
    result = _read(task.kept) if task.kept is not None else None
    fresh = result is None
    if result is None:
        result = watch_case(case, pipeline, task.name)
        if task.kept is not None:
            _write(task.kept, result)
    if task.sheets is not None:
        draw_alarms(case, result, task.sheets)
    return result, fresh


def _task(row: Row, case: Case, number: int, known: str, options: Options) -> _Task:
    name = f"{case.name}#{number}"
    kept = None
    if options.keep is not None:
        digest = hashlib.sha256(repr((known, row.key, name, case.unit, case.truth, case.masked)).encode())
        digest.update(pickle.dumps(case.frames))  # the files and the numbers that it is made of
        kept = options.keep / f"{digest.hexdigest()[:KEY]}.json"
    sheets = options.sheets / _folder_name(row) if options.sheets is not None else None
    return _Task(case, name, kept, sheets)


def _folder_name(row: Row) -> str:
    return "-".join("".join(c if c.isalnum() else "_" for c in part) for part in row.key if part)


def _fingerprint(config: Config) -> str:
    """Of the settings, the code and the model: what a kept result depends on besides its recording."""
    from realtime_mer.recognise import find

    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True, default=str).encode())
    root = Path(realtime_mer.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] not in OUTSIDE:
            digest.update(path.read_bytes())
    if config.classify.model != "none":
        digest.update(find(config.classify.model).read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> StreamResult | None:
    """A kept result; None when there is none that is whole."""
    try:
        return convert(from_json(path.read_text(encoding="utf-8")), StreamResult)
    except (OSError, ValueError, MerError):
        return None


def _write(path: Path, result: StreamResult) -> None:
    """Whole or not at all: an interrupted run may leave no half result."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(result)), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None


class _Progress:
    """Says after each stream how many are done and how long the rest will take, by those that were computed now."""

    def __init__(self, streams: int, say: Callable[[str], None] | None) -> None:
        self._streams, self._say = streams, say
        self._done = self._computed = 0
        self._begun = time.monotonic()

    def step(self, what: str, fresh: bool) -> None:
        self._done += 1
        self._computed += fresh
        if self._say is None:
            return
        spent = time.monotonic() - self._begun
        left = (self._streams - self._done) * spent / self._computed if self._computed else 0.0
        rest = f", about {clock(left)} left" if self._computed and left else ""
        self._say(f"{self._done} of {self._streams} streams{rest}: {what}")


def clock(seconds: float) -> str:
    """ "1:02:03", "2:03"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
