"""``realtime-mer analyze``: analyzes one or many recordings: events, signals, an annotated video and a report."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from realtime_mer.batch.engine import Done, in_processes, perform
from realtime_mer.batch.listing import Item, find, share
from realtime_mer.batch.recordings import Outcome, Wanted, analyze, analyzing
from realtime_mer.batch.table import Table
from realtime_mer.build import build
from realtime_mer.commands.convert import formats
from realtime_mer.commands.options import Commands, add_rate, add_settings, settings
from realtime_mer.commands.screen import RunProgress, introduce, summary
from realtime_mer.config import Config
from realtime_mer.console import NOTHING_BEGUN, exit_on_signal, print_output, print_status, report_error
from realtime_mer.errors import ConfigError, OutputError
from realtime_mer.pipeline import Pipeline
from realtime_mer.progress import Countdown
from realtime_mer.records import SourceInfo
from realtime_mer.sinks import Sink
from realtime_mer.sinks.convert import NAMES

VIDEO_RATE: Final = 25.0  # frames/s of the annotated video: enough for viewing; drawing takes longer than measuring


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("analyze", help="Analyze recorded videos")
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="video files, folders, glob patterns, or lists (.csv with a column 'path'); folders of images need --rate",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="write one folder per recording here (default: results)",
    )
    add_rate(parser)
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="analyze N recordings at a time, each in its own process"
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster: auto, HOST:PORT or local; --jobs then limits the number of workers",
    )
    parser.add_argument(
        "--shard", type=_shard, metavar="I/N", help="analyze every N-th recording, starting with the I-th"
    )
    parser.add_argument("--overwrite", action="store_true", help="analyze again the recordings that DIR already has")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="identify recordings by the whole file, not only its start, middle and end",
    )
    parser.add_argument("--no-video", action="store_true", help="do not write the annotated video (the slowest output)")
    parser.add_argument(
        "--video-rate",
        type=float,
        default=VIDEO_RATE,
        metavar="FPS",
        help=f"maximum frame rate of the annotated video (default: {VIDEO_RATE:g}; 0: every frame)",
    )
    parser.add_argument("--clips", action="store_true", help="also write a slow-motion clip of each event")
    parser.add_argument("--formats", default="", metavar="LIST", help=f"also write these formats: {','.join(NAMES)}")
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Analyzes the recordings; one that fails does not stop the others.

    A signal ends the current ones cleanly and skips the others; the same command continues from there.
    """
    config, also = settings(arguments), formats(arguments.formats)
    if not arguments.video_rate >= 0:
        raise ConfigError(f"--video-rate must be 0 or more frames/s, not {arguments.video_rate:g}")
    if arguments.jobs < 1:
        raise ConfigError("--jobs must be at least 1")
    items = find(arguments.videos, arguments.out, arguments.rate)
    items = share(items, *arguments.shard) if arguments.shard else items
    wanted = Wanted(
        formats=tuple(also),
        video=not arguments.no_video,
        video_rate=arguments.video_rate,
        clips=arguments.clips,
        overwrite=arguments.overwrite,
        whole=arguments.verify,
    )
    many = len(items) > 1
    tools = partial(analyzing, config, wanted)
    if arguments.ray is not None:
        from realtime_mer.batch.cluster import on_ray

        workers = arguments.jobs if arguments.jobs > 1 else 0
        results = on_ray(tools, items, arguments.ray, workers)
    elif arguments.jobs > 1 and many:
        results = in_processes(tools, items, arguments.jobs)
    else:
        results = _here(config, wanted, items)
    worst, progress = 0, Countdown(len(items))
    with Table(arguments.out, arguments.shard if many else None, keep=many) as table:
        for done in results:
            code = _tell(done)
            worst = worst or code
            table.add(done)
            if many:
                print_status(progress.step(worked=done.value is None or done.value.fresh))
    if many:
        print_status(table.summary())
    return worst


def _here(config: Config, wanted: Wanted, items: Sequence[Item]) -> Iterator[Done[Item, Outcome]]:
    """One after the other, in this process."""
    with exit_on_signal("realtime-mer", NOTHING_BEGUN):
        pipeline = build(config)
    with pipeline:
        for item in items:
            yield perform(partial(analyze, pipeline=pipeline, wanted=wanted, beside=_look_on), item)


def _look_on(item: Item, info: SourceInfo, pipeline: Pipeline) -> Sequence[Sink]:
    """Prints what is about to be watched, and shows progress."""
    print_status(introduce(item.path, info, pipeline))
    return [RunProgress(item.path, info)]


def _tell(done: Done[Item, Outcome]) -> int:
    """Prints the result of a recording; returns its exit code."""
    if done.value is None:
        report_error("realtime-mer", done.error)
        return done.code
    for note in done.value.notes:
        print_status(note)
    written = print_output(summary(done.task.path, done.task.folder, done.value.recording))
    return 0 if written else OutputError.exit_code


def _shard(text: str) -> tuple[int, int]:
    """I/N, for ``type=`` of an option."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"must be I/N with I from 1 to N, not '{text}'")
    return int(match[1]), int(match[2])
