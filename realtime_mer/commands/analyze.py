"""``realtime-mer analyze``: recorded files to events, signals, an annotated video and a report."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from realtime_mer.build import build
from realtime_mer.commands.options import Commands, add_settings, settings
from realtime_mer.errors import ConfigError, MerError, OutputError, SourceError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import SourceInfo, SourceStats
from realtime_mer.sinks import Sink
from realtime_mer.sinks.clips import EventClips, Stills
from realtime_mer.sinks.convert import NAMES, convert
from realtime_mer.sinks.csv import EventsCsv, SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines, Recording, header, read_jsonl
from realtime_mer.sinks.logged import LoggedEvent
from realtime_mer.sinks.video import AnnotatedVideo
from realtime_mer.sources import Source, open_source

LOG: Final = "events.jsonl"
EVERY: Final = 0.5  # s between two lines of progress
VIDEO_RATE: Final = 50.0  # frames/s of the annotated video: enough to look at, and cheaper than 200


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("analyze", help="recorded files: events, signals, annotated video, report")
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files, or folders of images with --rate")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder per recording is made here")
    parser.add_argument("--rate", type=float, help="frames/s of a folder of images")
    parser.add_argument("--overwrite", action="store_true", help="analyse again what is complete in DIR")
    parser.add_argument("--no-video", action="store_true", help="no annotated video (the slowest output)")
    parser.add_argument("--video-rate", type=float, default=VIDEO_RATE, metavar="FPS", help="at most; 0: every frame")
    parser.add_argument("--clips", action="store_true", help="also a slow-motion clip per event")
    parser.add_argument("--formats", default="", metavar="LIST", help=f"also write: {','.join(NAMES)}")
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Analyses the files one after the other; one that fails does not stop the others."""
    config = settings(arguments)
    formats = [name for name in arguments.formats.split(",") if name]
    if unknown := set(formats) - set(NAMES):
        raise ConfigError(f"unknown format {', '.join(sorted(unknown))}: choose from {', '.join(NAMES)}")
    worst = 0
    with build(config) as pipeline:
        print(f"recogniser: {_recogniser(pipeline)}", file=sys.stderr)
        for video, folder in zip(arguments.videos, _folders(arguments.videos, arguments.out), strict=True):
            try:
                if not arguments.overwrite and (done := _complete(folder / LOG)):
                    print(f"{video}: done before, left as it is (--overwrite to repeat)", file=sys.stderr)
                else:
                    done = _analyze(video, folder, pipeline, arguments)
                for name in formats:
                    convert(folder / LOG, name)
                print(summary(video, folder, done))
            except OutputError:
                raise  # the next one could not be written either
            except MerError as error:
                print(f"realtime-mer: {error}", file=sys.stderr)
                worst = worst or error.exit_code
    return worst


def _analyze(video: str, folder: Path, pipeline: Pipeline, arguments: argparse.Namespace) -> Recording:
    with ExitStack() as stack:
        source = stack.enter_context(open_source(video, rate=arguments.rate))
        stills = Stills()
        for sink in (sinks := [*_sinks(source, folder, pipeline, arguments), stills]):
            stack.enter_context(sink)
        frames = follow(source, pipeline, sinks, Progress(video, source.info))
        for note in source.stats().notes:
            print(f"{video}: warning: {note}", file=sys.stderr)
        if frames == 0:
            raise SourceError(f"{video} holds no frame that can be decoded")
    from realtime_mer.report import write_report

    write_report(folder / LOG, folder / "signals.csv", folder / "report.html", stills.strips)
    return read_jsonl(folder / LOG)


def follow(source: Source, pipeline: Pipeline, sinks: Sequence[Sink], progress: Progress) -> int:
    """Runs ``source`` through the pipeline into the sinks, to its end or until interrupted; returns the frame count.

    The observation that closes the recording reaches the sinks in either case.
    """
    frames = 0
    try:
        for frame, observation in pipeline.watch(source):
            frames += frame is not None
            for sink in sinks:
                sink.write(observation, frame)
            progress.show(frames, observation.time)
    finally:
        progress.end()
    return frames


def _sinks(source: Source, folder: Path, pipeline: Pipeline, arguments: argparse.Namespace) -> list[Sink]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another --out") from None
    model, provider = (r.spec.id, r.provider) if (r := pipeline.recogniser) else ("", "")
    head = header(source.info, asdict(pipeline.config), model, provider)
    sinks: list[Sink] = [
        JsonLines(folder / LOG, head, stats=source.stats),
        EventsCsv(folder / "events.csv"),
        SignalsCsv(folder / "signals.csv"),
    ]
    rate = source.info.rate
    if not arguments.no_video:
        sinks.append(AnnotatedVideo(folder / "annotated.mp4", rate, max_rate=arguments.video_rate))
    if arguments.clips:
        sinks.append(EventClips(folder / "clips", rate, slow=4.0))
    return sinks


def _folders(videos: Sequence[str], out: Path) -> list[Path]:
    """A folder per recording, named after it; after its parent too where two have one name."""
    stems = Counter(Path(video).stem for video in videos)
    names = [
        Path(video).stem if stems[Path(video).stem] == 1 else f"{Path(video).resolve().parent.name}-{Path(video).name}"
        for video in videos
    ]
    if len(set(names)) < len(names):
        raise ConfigError("two recordings would be written to one folder: analyse them in two calls with two --out")
    return [out / name for name in names]


def _complete(log: Path) -> Recording | None:
    """What an earlier run left, if it came to its end."""
    if not log.is_file():
        return None
    try:
        recording = read_jsonl(log)
    except MerError:
        return None
    return recording if recording.summary is not None else None


def _recogniser(pipeline: Pipeline) -> str:
    return "none" if (r := pipeline.recogniser) is None else f"{r.spec.id} on {r.provider} ({r.why})"


def summary(video: str, folder: Path, recording: Recording) -> str:
    """A few lines for people: what was found, and where it is."""
    total = recording.summary
    assert total is not None
    micro = [e for e in recording.events if e.final and e.event.span.kind == "micro"]
    rejected = Counter({kind: n for kind, n in total.events.items() if kind != "confirmed"})
    lines = [f"{video}: {total.frames} frames, {total.duration:.1f} s, {_count(len(micro), 'micro-expression')}"]
    if rejected:
        lines[0] += ", rejected: " + ", ".join(f"{n} {kind}" for kind, n in rejected.most_common())
    if total.face_frames == 0:
        lines.append("  no face was found")
    lines += [f"  {note} ({n} frames)" for note, n in total.notes.items()]
    if micro:
        lines.append("     onset      apex    offset   label                what moved")
        lines += [_line(event) for event in micro]
    return "\n".join([*lines, f"  {folder}/: {', '.join(sorted(p.name for p in folder.iterdir()))}"])


def _line(logged: LoggedEvent) -> str:
    span, prediction = logged.event.span, logged.event.prediction
    label = ""
    if prediction is not None:
        best = max(prediction.probabilities, key=lambda name: prediction.probabilities[name])
        label = f"{prediction.label or 'unsure'} ({best} {prediction.probabilities[best]:.2f})"
    moved = ", ".join(f"{cue.region} {'/'.join(cue.action_units)}".strip() for cue in logged.event.cues[:3])
    return f"  {span.onset:8.3f}  {span.apex:8.3f}  {span.offset:8.3f}   {label:20} {moved}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Progress:
    """One line on a terminal's standard error, renewed twice a second; nothing where it is not a terminal."""

    def __init__(self, name: str, info: SourceInfo) -> None:
        self._name, self._info = name, info
        self._began = self._shown = time.monotonic()
        self._first: float | None = None
        self._on = sys.stderr.isatty()

    def show(self, frames: int, at: float) -> None:
        """After ``frames`` frames, the last at source time ``at``."""
        now = time.monotonic()
        if not self._on or now - self._shown < EVERY:
            return
        self._shown = now
        done = f"{100 * at / self._info.duration:3.0f} %" if self._info.duration else f"{at:.0f} s"
        rate = frames / (now - self._began)
        print(f"\r\033[K{self._name}: {done}, {rate:.0f} frames/s", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clears the line."""
        if self._on:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def describe(stats: SourceStats) -> str:
    """The counts of a live source in words."""
    words = f"{stats.captured} captured, {stats.delivered} measured, {stats.dropped} dropped, {stats.missed} missed"
    return words + (f", {stats.reconnects} reconnects" if stats.reconnects else "")
