"""Puts many recordings through the pipeline: in several processes, storing each result and showing the time left.

Streams are the unit: an interrupted run continues with the streams whose results are not in the folder yet.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import realtime_mer
from realtime_mer.batch.engine import in_processes, in_turn
from realtime_mer.bench.alarm_sheets import draw_alarms
from realtime_mer.bench.spotting import Case, Row, StreamResult, watch_case
from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.errors import MerError, OutputError
from realtime_mer.pipeline import Pipeline
from realtime_mer.progress import Countdown
from realtime_mer.typed import convert, from_json

Trials = Iterable[tuple[Row, Sequence[Case]]]
# Rooms whose code does not affect the results of a stream. The rest of the package is part of a result's key.
OUTSIDE: Final = frozenset(("app", "commands", "sinks"))
KEY: Final = 24  # hex digits


@dataclass(frozen=True, slots=True)
class Options:
    """jobs: number of processes. keep: folder of results, one file per stream. sheets: folder of images of false
    alarms."""

    jobs: int = 1
    keep: Path | None = None
    sheets: Path | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """One stream of one row, as sent to a process. row, number: its position."""

    row: int
    number: int
    case: Case
    name: str
    kept: Path | None
    sheets: Path | None


def measure(
    trials: Trials, config: Config, options: Options | None = None, say: Callable[[str], None] | None = None
) -> Iterator[Row]:
    """Every row with its streams' results, in order, each as soon as it is complete.

    say: called with a line after each stream, with the time left. Raises OutputError when a folder cannot be written,
    and MerError when the process of a stream was killed repeatedly.
    """
    options = options or Options()
    known = _fingerprint(config) if options.keep else ""
    rows: list[Row] = []
    tasks: list[_Task] = []
    for row, cases in trials:
        tasks += [_task(row, len(rows), case, n, known, options) for n, case in enumerate(cases)]
        rows.append(row)
    missing = Counter(task.row for task in tasks)
    results: dict[tuple[int, int], StreamResult] = {}
    progress, ready = Countdown(len(tasks)), 0
    tools = partial(_watching, config)
    with closing(in_turn(tools, tasks) if options.jobs <= 1 else in_processes(tools, tasks, options.jobs)) as found:
        for done in found:
            if done.value is None:
                error = MerError(done.error)
                error.exit_code = done.code
                raise error
            task, (result, fresh) = done.task, done.value
            results[task.row, task.number] = result
            missing[task.row] -= 1
            line = progress.step(worked=fresh)
            if say is not None:
                failed = f" FAILED: {result.failed}" if result.failed else ""
                say(f"{line}: {rows[task.row].name}: {task.name}{failed}")
            while ready < len(rows) and not missing[ready]:
                rows[ready].streams += [results[key] for key in sorted(results) if key[0] == ready]
                yield rows[ready]
                ready += 1
    yield from rows[ready:]  # there was nothing to do


@contextmanager
def _watching(config: Config) -> Iterator[Callable[[_Task], tuple[StreamResult, bool]]]:
    """The engine's context: one pipeline for all streams of a worker."""
    with build(config) as pipeline:
        yield partial(_run, pipeline=pipeline)


def _run(task: _Task, pipeline: Pipeline) -> tuple[StreamResult, bool]:
    """The result, and whether it was computed in this run."""
    result = _read(task.kept) if task.kept is not None else None
    fresh = result is None
    if result is None:
        result = watch_case(task.case, pipeline, task.name)
        if task.kept is not None:
            _write(task.kept, result)
    if task.sheets is not None:
        draw_alarms(task.case, result, task.sheets)
    return result, fresh


def _task(row: Row, place: int, case: Case, number: int, known: str, options: Options) -> _Task:
    name = f"{case.name}#{number}"
    kept = None
    if options.keep is not None:
        digest = hashlib.sha256(repr((known, row.key, name, case.unit, case.truth, case.masked)).encode())
        digest.update(pickle.dumps(case.frames))  # its files and parameters
        kept = options.keep / f"{digest.hexdigest()[:KEY]}.json"
    sheets = options.sheets / _folder_name(row) if options.sheets is not None else None
    return _Task(place, number, case, name, kept, sheets)


def _folder_name(row: Row) -> str:
    return "-".join("".join(c if c.isalnum() else "_" for c in part) for part in row.key if part)


def _fingerprint(config: Config) -> str:
    """Hash of settings, code and model: what a stored result depends on besides its recording."""
    from realtime_mer.recognize import find

    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True, default=str).encode())
    root = Path(realtime_mer.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] not in OUTSIDE:
            digest.update(path.read_bytes())
    if config.classify.model != "none":
        digest.update(find(config.classify.model).read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> StreamResult | None:
    """A stored result; None when there is no complete one."""
    try:
        return convert(from_json(path.read_text(encoding="utf-8")), StreamResult)
    except (OSError, ValueError, MerError):
        return None


def _write(path: Path, result: StreamResult) -> None:
    """Writes a result atomically, so that an interrupted run leaves no partial one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(result)), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
