"""The analysis of one job: the same run, and the same files, as ``realtime-mer analyze``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from realtime_mer.app.folders import unpack
from realtime_mer.app.job import Job
from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.errors import OutputError, SourceError
from realtime_mer.records import Observation, Status
from realtime_mer.run import log_header, watch
from realtime_mer.sinks import EVENTS_CSV, LOG, REPORT, SIGNALS_CSV, STILLS, VIDEO, Sink
from realtime_mer.sinks.clips import Stills
from realtime_mer.sinks.convert import convert
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines, Recording, read_jsonl
from realtime_mer.sinks.report import write_report
from realtime_mer.sinks.video import AnnotatedVideo
from realtime_mer.sources import open_source

SHOWN_RATE: Final = 30.0  # frames/s of the annotated video, which is for viewing only


def analyze(job: Job, configure: Callable[[Job], Config]) -> None:
    """Fills the job's folder from its upload and updates the job's progress. Raises MerError."""
    suffix = job.upload.suffix
    if suffix in (".jsonl", ".zip"):
        _open_results(job, suffix)
        return
    with build(configure(job)) as pipeline, open_source(job.upload) as source:
        info = replace(source.info, uri=job.name)
        folder, options = job.folder, job.options
        made: list[Sink] = [
            JsonLines(folder / LOG, log_header(info, pipeline), stats=source.stats),
            SignalsCsv(folder / SIGNALS_CSV),
        ]
        if not options.private:
            made.append(Stills(folder=folder / STILLS, rejected=True))
            if options.video:
                made.append(AnnotatedVideo(folder / VIDEO, info.rate, max_rate=SHOWN_RATE))
        for seen in watch(source, pipeline, made):
            if job.stop.is_set():
                raise SourceError(f"{job.name}: stopped")
            job.found += sum(event.status is Status.CONFIRMED for event in seen.events)
            if isinstance(seen, Observation):
                job.frames = seen.index + 1
                job.share = min(seen.time / info.duration, 1.0) if info.duration else None
    finish(job)
    if options.private:
        job.upload.unlink(missing_ok=True)  # the annotated video shows the face


def finish(job: Job) -> None:
    """Writes what is derived from a complete log: the table of events and the report. Raises MerError."""
    convert(job.log, "csv", job.folder / EVENTS_CSV)
    report(job, job.folder / REPORT)


def report(
    job: Job,
    out: Path,
    *,
    change: Callable[[Recording], Recording] | None = None,
    more: Mapping[str, str] | None = None,
) -> None:
    """Writes the report of a job, without pictures in privacy mode. change, more: see ``write_report``. Raises
    MerError."""
    signals = job.folder / SIGNALS_CSV
    write_report(
        job.log,
        signals if signals.is_file() else None,
        out,
        {} if job.options.private else None,
        change=change,
        more=more,
    )


def _open_results(job: Job, suffix: str) -> None:
    """Puts results that were made elsewhere where an analysis would have put them."""
    if suffix == ".zip":
        unpack(job.upload, job.folder)
        job.upload.unlink()
    else:
        shutil.move(job.upload, job.log)
    recording = read_jsonl(job.log)
    job.frames = recording.summary.frames if recording.summary else 0
    job.found = sum(event.status is Status.CONFIRMED for event in recording.events)
    try:
        finish(job)
    except OSError as error:
        raise OutputError(f"{job.name}: {error.strerror}") from None
