"""``realtime-mer analyze``: recorded files to events, signals, an annotated video and a report."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from realtime_mer.build import build
from realtime_mer.commands.convert import formats
from realtime_mer.commands.earlier import CLIPS, clear, done_before
from realtime_mer.commands.options import Commands, add_rate, add_settings, settings
from realtime_mer.commands.screen import Progress, introduce, summary
from realtime_mer.errors import ConfigError, MerError, OutputError, SourceError
from realtime_mer.pipeline import Pipeline
from realtime_mer.run import log_header
from realtime_mer.run import run as run_source
from realtime_mer.sinks import EVENTS_CSV, LOG, REPORT, SIGNALS_CSV, VIDEO, Sink
from realtime_mer.sinks.clips import EventClips, Stills
from realtime_mer.sinks.convert import NAMES, convert
from realtime_mer.sinks.csv import EventsCsv, SignalsCsv
from realtime_mer.sinks.jsonl import Header, JsonLines, Recording, read_jsonl
from realtime_mer.sinks.video import AnnotatedVideo
from realtime_mer.sources import Source, open_source

VIDEO_RATE: Final = 25.0  # frames/s of the annotated video: enough to look at; drawing costs more than measuring
SLOW_MOTION: Final = 4.0  # times slower: a micro-expression of 0.1 s can then be followed by eye


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("analyze", help="recorded files: events, signals, annotated video, report")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files, or folders of images with --rate")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="a folder per recording is made here (default: results)",
    )
    add_rate(parser)
    parser.add_argument("--overwrite", action="store_true", help="analyse again what is complete in DIR")
    parser.add_argument("--no-video", action="store_true", help="no annotated video (the slowest output)")
    parser.add_argument(
        "--video-rate",
        type=float,
        default=VIDEO_RATE,
        metavar="FPS",
        help=f"frames/s of the annotated video at most (default: {VIDEO_RATE:g}; 0: every frame)",
    )
    parser.add_argument("--clips", action="store_true", help="also a slow-motion clip per event")
    parser.add_argument("--formats", default="", metavar="LIST", help=f"also write: {','.join(NAMES)}")
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Analyses the files one after the other; one that fails does not stop the others."""
    config, also = settings(arguments), formats(arguments.formats)
    if not arguments.video_rate >= 0:
        raise ConfigError(f"--video-rate must be 0 or more frames/s, not {arguments.video_rate:g}")
    folders = _folders(arguments.videos, arguments.out)
    worst = 0
    with build(config) as pipeline:
        for video, folder in zip(arguments.videos, folders, strict=True):
            try:
                done = _analyze(video, folder, pipeline, arguments)
                for name in also:
                    convert(folder / LOG, name)
                print(summary(video, folder, done), flush=True)
            except OutputError:
                raise  # the next one could not be written either
            except MerError as error:
                print(f"realtime-mer: {error}", file=sys.stderr)
                worst = worst or error.exit_code
    return worst


def _analyze(video: str, folder: Path, pipeline: Pipeline, arguments: argparse.Namespace) -> Recording:
    with open_source(video, rate=arguments.rate) as source:
        if source.info.live:
            raise SourceError(f"{video} is live and has no end: use `realtime-mer live {video} --out DIR`")
        head = log_header(source.info, pipeline)
        if not arguments.overwrite and (done := done_before(video, folder / LOG, head)):
            return done
        clear(folder, formats(arguments.formats))
        stills = Stills()
        sinks = [*_sinks(head, source, folder, arguments), stills]
        print(introduce(video, source.info, pipeline), file=sys.stderr)
        run_source(source, pipeline, [*sinks, Progress(video, source.info)])
        for note in source.stats().notes:
            print(f"{video}: warning: {note}", file=sys.stderr)
    from realtime_mer.sinks.report import write_report

    write_report(folder / LOG, folder / SIGNALS_CSV, folder / REPORT, stills.strips)
    return read_jsonl(folder / LOG)


def _sinks(head: Header, source: Source, folder: Path, arguments: argparse.Namespace) -> list[Sink]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another --out") from None
    sinks: list[Sink] = [
        JsonLines(folder / LOG, head, stats=source.stats),
        EventsCsv(folder / EVENTS_CSV),
        SignalsCsv(folder / SIGNALS_CSV),
    ]
    rate = source.info.rate
    if not arguments.no_video:
        sinks.append(AnnotatedVideo(folder / VIDEO, rate, max_rate=arguments.video_rate))
    if arguments.clips:
        sinks.append(EventClips(folder / CLIPS, rate, slow=SLOW_MOTION))
    return sinks


def _folders(videos: Sequence[str], out: Path) -> list[Path]:
    """A folder per recording, named after it; after its parent too where two have one name."""
    stems = Counter(Path(video).stem for video in videos)
    names = [
        Path(video).stem if stems[Path(video).stem] == 1 else f"{Path(video).resolve().parent.name}-{Path(video).name}"
        for video in videos
    ]
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise ConfigError(f"two recordings would be written to {out / twice[0]}: analyse them in two calls")
    return [out / name for name in names]
