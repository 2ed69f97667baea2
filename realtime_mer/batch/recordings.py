"""Analyzes one recording into its folder of results, for ``analyze``, in this process or in a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from realtime_mer.batch.earlier import clear, complete, done_before, with_content
from realtime_mer.batch.listing import Item
from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.console import Interrupted, Stop
from realtime_mer.errors import SourceError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import SourceInfo
from realtime_mer.run import log_header
from realtime_mer.run import run as run_source
from realtime_mer.sinks import CLIPS, EVENTS_CSV, LOG, REPORT, SIGNALS_CSV, STILLS, VIDEO, Sink
from realtime_mer.sinks.clips import EventClips, Stills
from realtime_mer.sinks.csv import EventsCsv, SignalsCsv
from realtime_mer.sinks.jsonl import Header, JsonLines, Recording, read_jsonl
from realtime_mer.sinks.lock import Lock
from realtime_mer.sinks.media import located
from realtime_mer.sinks.place import keep_input, make_folder
from realtime_mer.sinks.video import AnnotatedVideo
from realtime_mer.sources import Source, open_source
from realtime_mer.sources.identity import identity

SLOW_MOTION: Final = 4.0  # times slower, so that the eye can follow a micro-expression of 0.1 s


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to write. formats: further exchange formats. video_rate: largest frame rate of the annotated video.

    overwrite: replace existing results. whole: identify recordings by the whole file.
    """

    formats: tuple[str, ...] = ()
    video: bool = True
    video_rate: float = 25.0
    clips: bool = False
    overwrite: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """recording: the log. fresh: analyzed in this run. notes: for the user, one per line."""

    recording: Recording
    fresh: bool
    notes: tuple[str, ...] = ()


Beside = Callable[[Item, SourceInfo, Pipeline], Sequence[Sink]]  # further sinks of a run


def nothing_beside(_item: Item, _info: SourceInfo, _pipeline: Pipeline) -> Sequence[Sink]:
    """No further sinks."""
    return ()


@contextmanager
def analyzing(config: Config, wanted: Wanted) -> Iterator[Callable[[Item], Outcome]]:
    """The engine's context: one pipeline for all recordings of a worker."""
    with build(config) as pipeline:
        yield partial(analyze, pipeline=pipeline, wanted=wanted)


def analyze(item: Item, pipeline: Pipeline, wanted: Wanted, beside: Beside = nothing_beside) -> Outcome:
    """Analyzes a recording into its folder; if that was done before, makes only what is missing.

    A signal ends the analysis, keeps what was analyzed, and raises Interrupted. Raises MerError.
    """
    folder, notes = item.folder, list[str]()
    with open_source(item.path, rate=item.rate) as source:
        if source.info.live:
            raise SourceError(f"{item} is a live source: use `realtime-mer live {item} --out DIR`")
        keep_input([folder, *(folder / name for name in (LOG, EVENTS_CSV, SIGNALS_CSV, VIDEO, REPORT))], item.path)
        content = identity(Path(item.path), whole=wanted.whole)
        head = log_header(with_content(located(source.info, folder), content), pipeline)
        make_folder(folder)
        with Lock(folder):
            done = None if wanted.overwrite else done_before(item.path, folder / LOG, head, notes.append)
            fresh = done is None
            if done is None:
                clear(folder, wanted.formats, notes.append)
                done = _watch(item, source, head, pipeline, wanted, beside(item, source.info, pipeline))
                notes += [f"{item}: warning: {note}" for note in source.stats().notes]
            complete(folder, done, wanted.formats, notes.append, video=wanted.video, clips=wanted.clips)
    return Outcome(done, fresh, tuple(notes))


def _watch(
    item: Item, source: Source, head: Header, pipeline: Pipeline, wanted: Wanted, beside: Sequence[Sink]
) -> Recording:
    with Stop(source) as stop:
        run_source(source, pipeline, [*_sinks(head, source, stop, item.folder, wanted), *beside])
    done = read_jsonl(item.folder / LOG)
    if stop.number is not None and (done.summary is None or done.summary.stopped):
        kept = f"{item.folder} holds what was analyzed so far"
        raise Interrupted(stop.number, f"interrupted; {kept}, and the same command analyzes {item} again")
    return done


def _sinks(head: Header, source: Source, stop: Stop, folder: Path, wanted: Wanted) -> list[Sink]:
    sinks: list[Sink] = [
        JsonLines(folder / LOG, head, stats=source.stats, stopped=stop.reason),  # first, because it is closed last
        EventsCsv(folder / EVENTS_CSV),
        SignalsCsv(folder / SIGNALS_CSV),
        Stills(folder=folder / STILLS),
    ]
    rate = source.info.rate
    if wanted.video:
        sinks.append(AnnotatedVideo(folder / VIDEO, rate, max_rate=wanted.video_rate))
    if wanted.clips:
        sinks.append(EventClips(folder / CLIPS, rate, slow=SLOW_MOTION))
    return sinks
