"""``realtime-mer analyze``: recorded files to events, signals, an annotated video and a report."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from realtime_mer.build import build
from realtime_mer.commands.convert import formats
from realtime_mer.commands.earlier import clear, complete, done_before, with_content
from realtime_mer.commands.options import Commands, add_rate, add_settings, settings
from realtime_mer.commands.screen import Progress, introduce, summary
from realtime_mer.commands.stop import Stop
from realtime_mer.console import NOTHING_BEGUN, Interrupted, at_once, complain, say, tell
from realtime_mer.errors import ConfigError, MerError, OutputError, SourceError
from realtime_mer.pipeline import Pipeline
from realtime_mer.run import log_header
from realtime_mer.run import run as run_source
from realtime_mer.sinks import CLIPS, EVENTS_CSV, LOG, REPORT, SIGNALS_CSV, STILLS, VIDEO, Sink
from realtime_mer.sinks.clips import EventClips, Stills
from realtime_mer.sinks.convert import NAMES
from realtime_mer.sinks.csv import EventsCsv, SignalsCsv
from realtime_mer.sinks.jsonl import Header, JsonLines, Recording, read_jsonl
from realtime_mer.sinks.lock import Lock
from realtime_mer.sinks.media import located
from realtime_mer.sinks.place import keep_input, make_folder
from realtime_mer.sinks.video import AnnotatedVideo
from realtime_mer.sources import Source, open_source
from realtime_mer.sources.identity import identity

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
    parser.add_argument("--overwrite", action="store_true", help="run again what DIR holds already")
    parser.add_argument(
        "--verify", action="store_true", help="tell recordings apart by the whole file, not its start, middle and end"
    )
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
    """Analyzes the recordings one after the other; one that fails does not stop the others.

    A signal ends the one under way in order and leaves the others; the same command goes on from there.
    """
    config, also = settings(arguments), formats(arguments.formats)
    if not arguments.video_rate >= 0:
        raise ConfigError(f"--video-rate must be 0 or more frames/s, not {arguments.video_rate:g}")
    folders = _folders(arguments.videos, arguments.out)
    worst = 0
    with at_once("realtime-mer", NOTHING_BEGUN):
        pipeline = build(config)
    with pipeline:
        for video, folder in zip(arguments.videos, folders, strict=True):
            try:
                done = _analyze(video, folder, pipeline, also, arguments)
                if not tell(summary(video, folder, done)):
                    worst = worst or OutputError.exit_code
            except MerError as error:
                complain("realtime-mer", str(error))
                worst = worst or error.exit_code
            except OSError as error:  # the file may vanish, or its disk, at any moment
                complain("realtime-mer", f"{video}: {error.strerror or error}")
                worst = worst or SourceError.exit_code
    return worst


def _analyze(
    video: str, folder: Path, pipeline: Pipeline, also: Sequence[str], arguments: argparse.Namespace
) -> Recording:
    with open_source(video, rate=arguments.rate) as source:
        if source.info.live:
            raise SourceError(f"{video} is live and has no end: use `realtime-mer live {video} --out DIR`")
        keep_input([folder, *(folder / name for name in (LOG, EVENTS_CSV, SIGNALS_CSV, VIDEO, REPORT))], video)
        content = identity(Path(video), whole=arguments.verify)
        head = log_header(with_content(located(source.info, folder), content), pipeline)
        make_folder(folder)
        with Lock(folder):
            done = None if arguments.overwrite else done_before(video, folder / LOG, head)
            if done is None:
                clear(folder, also)
                done = _watch(video, source, folder, head, pipeline, arguments)
            complete(folder, done, also, video=not arguments.no_video, clips=arguments.clips)
    return done


def _watch(
    video: str, source: Source, folder: Path, head: Header, pipeline: Pipeline, arguments: argparse.Namespace
) -> Recording:
    say(introduce(video, source.info, pipeline))
    with Stop(source) as stop:
        run_source(source, pipeline, [*_sinks(head, source, stop, folder, arguments), Progress(video, source.info)])
    for note in source.stats().notes:
        say(f"{video}: warning: {note}")
    done = read_jsonl(folder / LOG)
    if stop.number is not None and (done.summary is None or done.summary.stopped):
        kept = f"{folder} holds what was analyzed so far"
        raise Interrupted(stop.number, f"interrupted; {kept}, and the same command analyzes {video} again")
    return done


def _sinks(head: Header, source: Source, stop: Stop, folder: Path, arguments: argparse.Namespace) -> list[Sink]:
    sinks: list[Sink] = [
        JsonLines(folder / LOG, head, stats=source.stats, stopped=stop.reason),  # first: it is closed last
        EventsCsv(folder / EVENTS_CSV),
        SignalsCsv(folder / SIGNALS_CSV),
        Stills(folder=folder / STILLS),
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
