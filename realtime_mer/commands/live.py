"""``realtime-mer live``: watches a camera or a stream and prints events as JSON Lines."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from realtime_mer.build import build
from realtime_mer.commands.opening import open_within
from realtime_mer.commands.options import (
    Commands,
    add_camera,
    add_settings,
    add_targets,
    camera,
    positive,
    settings,
    targets,
)
from realtime_mer.commands.screen import describe, introduce
from realtime_mer.config import SpotConfig
from realtime_mer.console import (
    NOTHING_BEGUN,
    Interrupted,
    Stop,
    discard_output,
    exit_on_signal,
    output_closed,
    print_status,
)
from realtime_mer.errors import OutputError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Frame, Observation
from realtime_mer.run import log_header
from realtime_mer.run import run as run_source
from realtime_mer.sinks import LOG, SIGNALS_CSV, Marked, Sink
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines
from realtime_mer.sinks.lines import LineStream
from realtime_mer.sinks.lock import Lock
from realtime_mer.sinks.media import located
from realtime_mer.sinks.place import keep_input, new_folder
from realtime_mer.sinks.video import AnnotatedVideo
from realtime_mer.sources import Source, open_source
from realtime_mer.spotting.quality import LIVE_MEMORY_S, Quality
from realtime_mer.targets import Target
from realtime_mer.targets import describe as doing
from realtime_mer.targets.stimuli import Stimuli, stream_name

STATUS: Final = 5.0  # s between two status lines
WINDOW_RATE: Final = 25.0  # frames/s in the window
TITLE: Final = "realtime-mer"  # of the window
ESCAPE: Final = 27  # OpenCV's code of the key
RECORD_RATE: Final = 30.0  # frames/s in the annotated recording: the camera's frames have priority


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("live", help="Watch a camera or stream; print events as JSON Lines")
    parser.add_argument(
        "source", metavar="SOURCE", help="0, /dev/video0, genicam:, basler:, rtsp://..., http://... (MJPEG)"
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=positive,
        metavar="SECONDS",
        help="stop after this many seconds, even while connecting",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="also write events.jsonl and signals.csv here; in a new subfolder if DIR is not empty",
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="write an annotated recording (.mp4 or .mkv)")
    parser.add_argument("--window", action="store_true", help="show the annotated video; q or Esc stops")
    parser.add_argument("--quiet", action="store_true", help="print only errors to standard error")
    parser.add_argument("--markers", metavar="lsl:NAME", help="log the markers of a stimulus program's LSL stream")
    add_targets(parser)
    add_camera(parser)
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs until the time is over, the source ends, Ctrl-C, or the reader of standard output leaves; returns 0.

    SIGTERM and SIGHUP also end it cleanly, with their own exit codes.
    """
    config = settings(arguments)
    if arguments.window:
        _need_display()
    if output_closed() and arguments.out is None:
        raise OutputError("standard output, which would get the events, is closed: redirect it, or add --out DIR")
    with ExitStack() as stack:
        with exit_on_signal("realtime-mer", NOTHING_BEGUN):
            pipeline = stack.enter_context(build(config))
            began = time.monotonic()
            sending = stack.enter_context(targets(arguments))
            opened = _open(arguments)
        if opened is None:
            if not arguments.quiet:
                print_status(f"{arguments.source}: no frame came within {arguments.seconds:g} s")
            return 0
        source = stack.enter_context(opened)
        stop = Stop(source)
        folder = _begin(arguments, stack)
        printed = _Standard(source, kept=folder is not None)
        sinks = _sinks(source, pipeline, stop, printed, folder, sending, arguments)
        if not arguments.quiet:
            sinks.append(_Status(source, pipeline.config.spot, sending))
            print_status(
                introduce(source.info.uri, source.info, pipeline) + (f"; writing to {folder}" if folder else "")
            )
        if arguments.seconds is not None and not source.info.live:
            sinks.append(_Limit(source, arguments.seconds))
        left = None if arguments.seconds is None else max(arguments.seconds - (time.monotonic() - began), 0.0)
        with stop, _time_limit(source, left):
            if arguments.window:
                _show(source, pipeline, sinks)
            else:
                run_source(source, pipeline, sinks)
        for target in sending:
            target.close()  # it may still have something to deliver
        if not arguments.quiet:
            for line in (f"{source.info.uri}: {describe(source.stats())}", *doing(sending)):
                print_status(line)
    printed.report_end(folder)
    if stop.number not in (None, signal.SIGINT):
        raise Interrupted(stop.number, f"ended by {stop.reason()}; everything written so far is complete")
    return 0


def _open(arguments: argparse.Namespace) -> Source | None:
    """The source; None when the time was over before its first frame. A recording has its own time."""
    recorded = Path(arguments.source).is_file() or Path(arguments.source).is_dir()
    limit = None if recorded else arguments.seconds
    return open_within(limit, lambda: open_source(arguments.source, **camera(arguments)))


class _Standard(LineStream):
    """Standard output. When its reader has left, or it fails, a run that is ``kept`` in a folder ends cleanly."""

    def __init__(self, source: Source, *, kept: bool) -> None:
        super().__init__(sys.stdout)
        self._source, self._kept = source, kept
        self._failed: OSError | OutputError | None = None

    def write(self, text: str) -> None:
        if self._failed is not None:
            return
        try:
            super().write(text)
        except (BrokenPipeError, OutputError) as error:
            if not self._kept:
                raise
            self._failed = error
            self._source.close()

    def report_end(self, folder: Path | None) -> None:
        """After the run: prints why it ended. Raises OutputError when standard output failed."""
        if self._failed is not None:
            discard_output()
            if isinstance(self._failed, OutputError):
                raise self._failed
            print_status(f"realtime-mer: the reader of standard output has left; {folder} is complete to that moment")


class _Status(Sink):
    """A line on standard error every STATUS seconds."""

    def __init__(self, source: Source, spot: SpotConfig, sending: Sequence[Target]) -> None:
        self._source, self._told, self._sending = source, time.monotonic(), sending
        self._quality = Quality(spot, LIVE_MEMORY_S)

    def write(self, observation: Observation, frame: Frame) -> None:
        self._quality.push(observation, frame.gray)
        if time.monotonic() - self._told < STATUS:
            return
        self._told = time.monotonic()
        faces = ", ".join(f"face {s.face.track}: {s.note or 'watching'}" for s in observation.faces) or "no face"
        line = f"{observation.fps:.1f} frames/s; {describe(self._source.stats())}; {faces}"
        can = self._quality.result()
        unwell = doing([target for target in self._sending if target.state.trouble or target.state.missed])
        print_status("; ".join((line, *((can.line,) if can else ()), *observation.notes, *unwell)))

    def close(self) -> None:
        """Nothing is open."""


class _Limit(Sink):
    """Closes a recorded source after a number of seconds of its own time."""

    def __init__(self, source: Source, seconds: float) -> None:
        self._source, self._seconds = source, seconds
        self._first: float | None = None

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002
        self._first = observation.time if self._first is None else self._first
        if observation.time - self._first >= self._seconds:
            self._source.close()

    def close(self) -> None:
        """Nothing is open."""


class _Latest(Sink):
    """Holds the newest frame for the window."""

    def __init__(self) -> None:
        self.seen: tuple[Observation, Frame] | None = None

    def write(self, observation: Observation, frame: Frame) -> None:
        self.seen = observation, frame

    def close(self) -> None:
        """Nothing is open."""


def _begin(arguments: argparse.Namespace, stack: ExitStack) -> Path | None:
    """The folder of this run, locked until the end; None without --out. Raises OutputError."""
    if arguments.record is not None:
        keep_input([arguments.record], arguments.source)
        if arguments.record.is_file() and arguments.record.stat().st_size:
            raise OutputError(f"{arguments.record} already exists: choose another name with --record")
    if arguments.out is None:
        return None
    folder = new_folder(arguments.out)
    stack.enter_context(Lock(folder))
    return folder


def _sinks(
    source: Source,
    pipeline: Pipeline,
    stop: Stop,
    printed: _Standard,
    folder: Path | None,
    sending: Sequence[Target],
    arguments: argparse.Namespace,
) -> list[Sink]:
    head = log_header(source.info if folder is None else located(source.info, folder), pipeline)
    sinks: list[Sink] = []
    if folder is not None:
        log = JsonLines(folder / LOG, head, stats=source.stats, stopped=stop.reason)  # first, because it is closed last
        sinks += [log, SignalsCsv(folder / SIGNALS_CSV)]
    if not output_closed():
        sinks.append(JsonLines(printed, head, provisional=True, stats=source.stats, stopped=stop.reason))
    if arguments.record is not None:
        sinks.append(AnnotatedVideo(arguments.record, source.info.rate or RECORD_RATE, max_rate=RECORD_RATE))
    sinks += [target.follow(head, source.stats) for target in sending]
    if arguments.markers is not None:
        marks = [sink.mark for sink in sinks if isinstance(sink, Marked)]
        sinks.append(Stimuli(stream_name(arguments.markers), source.info, marks))
    return sinks


@contextmanager
def _time_limit(source: Source, seconds: float | None) -> Iterator[None]:
    """Closes a live source after ``seconds``, even if it has stalled; a recorded one has its own time."""
    if seconds is None or not source.info.live:
        yield
        return
    timer = threading.Timer(seconds, source.close)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _need_display() -> None:
    """Tries in a separate process, because OpenCV's window library ends a process without a usable display.

    Raises OutputError.
    """
    # OpenCV ships no fonts, and reports that each time
    os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
    trial = subprocess.run([sys.executable, "-c", "import cv2; cv2.namedWindow('trial')"], capture_output=True)
    if trial.returncode != 0:
        raise OutputError("no window can be opened here: omit --window, or use --record FILE")


def _show(source: Source, pipeline: Pipeline, sinks: list[Sink]) -> None:
    """Watches in another thread and shows the latest frame in this one, as window systems require."""
    import cv2

    from realtime_mer.sinks.draw import Overlay

    overlay, latest, shown = Overlay(), _Latest(), -1
    with ThreadPoolExecutor(1, thread_name_prefix="watch") as pool:
        watching = pool.submit(run_source, source, pipeline, [*sinks, latest])
        try:
            while not watching.done():
                if latest.seen is not None and latest.seen[0].index != shown:
                    observation, frame = latest.seen
                    shown = observation.index
                    overlay.see(observation)
                    cv2.imshow(TITLE, overlay.draw(frame.image, observation))
                if cv2.waitKey(int(1000 / WINDOW_RATE)) & 0xFF in (ord("q"), ESCAPE):
                    break
                if shown >= 0 and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:  # closed with the mouse
                    break
        finally:
            source.close()
            cv2.destroyAllWindows()
        watching.result()
