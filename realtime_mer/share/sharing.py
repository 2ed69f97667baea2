"""Makes a folder to share from a folder of results: watches the recording again, and stores no picture of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from realtime_mer.batch.earlier import CONTENT
from realtime_mer.build import NO_MODEL, build
from realtime_mer.config import Config, merge
from realtime_mer.errors import ConfigError, ModelError, OutputError, SourceError
from realtime_mer.recognize import load
from realtime_mer.records import Event, SourceInfo
from realtime_mer.run import run
from realtime_mer.share.again import classify_again, spot_again
from realtime_mer.share.files import FLOW, MOTION, read_flow, read_motion, write_flow, write_motion
from realtime_mer.share.tape import Tapes
from realtime_mer.sinks import LOG, SIGNALS_CSV, Sink
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import Header, Recording, as_log, iso, read_jsonl
from realtime_mer.sinks.lines import write_whole
from realtime_mer.sinks.lock import Lock
from realtime_mer.sinks.media import linked
from realtime_mer.sinks.place import make_folder
from realtime_mer.sources import Source, open_source
from realtime_mer.sources.identity import identity, same
from realtime_mer.spotting.detector import MovementDetector

README: Final = "README.txt"
NAME: Final = "recording"  # in place of the file's name, which may identify the person
# Kept details of the source: its codec, and the hash by which its owner can prove which recording it is.
DETAILS: Final = ("container", "codec", "pixel_format", CONTENT)
_README: Final = """\
The motion of a face, without pictures of it.

events.jsonl  the events, as published; the file's name, its place and the wall clock are left out
motion.npz    of every frame: displacement and noise of 15 regions, px of the aligned face (its eyes are 44 px apart)
flow.npz      of every micro-expression: motion of the skin from onset to apex, px of the aligned face
signals.csv   of every frame: the signals that the events follow from, where the face is, and how it is turned

Analyze it again, with other settings if you like:

    realtime-mer share --again FOLDER [--set spot.onset_noise=8]

No picture can be made of it. Whoever has other recordings of the same people may still recognize how they move, how
they blink and how they hold their head: it is personal data of theirs all the same.
"""


@dataclass(frozen=True, slots=True)
class Shared:
    """A shared recording. published: its original events. found: the events of an analysis from the shared files."""

    published: Sequence[Event]
    found: Sequence[Event]


def share(log: Path, out: Path, beside: Callable[[Path, SourceInfo], Sequence[Sink]] = lambda *_: ()) -> Shared:
    """Writes what may be shared of the recording of ``log`` to ``out``, then analyzes it from there.

    The recording itself must exist, because it is watched once more. beside: further sinks of that run, such as one
    that shows progress. Raises SourceError when the recording is missing or different, OutputError when ``out`` holds
    something else.
    """
    recording = _complete(log)
    head = recording.header
    config = _config(head)
    with _open(recording, log) as source, build(config, spotter=(tapes := Tapes(MovementDetector)).make) as pipeline:
        _check_out(out)
        make_folder(out)
        with Lock(out):
            for name in (LOG, MOTION, FLOW):
                (out / name).unlink(missing_ok=True)  # an interrupted run leaves nothing that looks complete
            write_whole(out / README, _README)  # first, because the next run recognizes the folder by it
            sinks = [tapes, *beside(Path(source.info.uri), source.info), SignalsCsv(out / SIGNALS_CSV)]
            run(source, pipeline, sinks)
            write_motion(out / MOTION, tapes)
            feature = "" if pipeline.recognizer is None else pipeline.recognizer.spec.feature
            write_flow(out / FLOW, tapes.events, feature)
            write_whole(out / LOG, as_log(recording._replace(header=without_names(head), markers=())))
    return again(out)


def again(folder: Path, change: Callable[[Config], Config] = lambda config: config) -> Shared:
    """Analyzes a shared recording from its files alone. change: of the settings that it was published with.

    Raises SourceError for files that cannot be read, ModelError when its recognizer is missing.
    """
    recording = read_jsonl(folder / LOG)
    config = change(_config(recording.header))
    frames, tapes = read_motion(folder / MOTION)
    found = spot_again(frames, tapes, MovementDetector, config)
    if config.classify.model != NO_MODEL:
        feature, flows = read_flow(folder / FLOW)
        recognizer = load(config.classify.model, config.classify.device)
        side = recognizer.spec.input_shape[1]
        if recognizer.spec.feature != feature or any(flow.motion.shape[1:] != (side, side) for flow in flows):
            raise ModelError(f"{recognizer.spec.id} cannot use the motion in {folder / FLOW}: choose another --model")
        found = classify_again(found, flows, recognizer)
    return Shared([event for event in recording.events if event.final], found)


def without_names(head: Header) -> Header:
    """The header without what may identify person, place and time: file names, paths, the wall clock."""
    details = {key: value for key, value in head.source.details.items() if key in DETAILS}
    settings = {name: dict(section) for name, section in head.settings.items()}
    if isinstance(model := settings.get("classify", {}).get("model"), str):
        settings["classify"]["model"] = Path(model).name  # a user's own model may be anywhere
    source = replace(head.source, uri=NAME, details=details)
    return replace(head, source=source, created=iso(datetime.now(UTC)), settings=settings, anchor=None)


def _complete(log: Path) -> Recording:
    recording = read_jsonl(log)
    if recording.summary is None or recording.summary.stopped:
        raise SourceError(f"{log} is not complete: analyze the recording again")
    if recording.header.source.live:
        raise SourceError(f"{log} is from a live run: analyze its recorded video, then share that")
    return recording


def _config(head: Header) -> Config:
    try:
        return merge(Config(), head.settings)
    except ConfigError as error:
        raise ConfigError(f"the recording was analyzed by another version ({head.product}): {error}") from None


def _open(recording: Recording, log: Path) -> Source:
    """The recording that the log is about. Raises SourceError."""
    info = recording.header.source
    path = Path(linked(recording, log, log.parent).header.source.uri)
    if not path.exists():
        raise SourceError(f"the recording {path} no longer exists, but its motion must be measured again")
    before = info.details.get(CONTENT)
    if isinstance(before, dict) and not same(before, identity(path)):
        raise SourceError(f"{path} is not the recording of {log}: its content differs")
    return open_source(str(path), rate=info.rate if info.clock == "given" else None)


def _check_out(out: Path) -> None:
    """Raises OutputError when ``out`` holds anything but a shared recording."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if any(out.iterdir()) and not (out / README).is_file():
            raise OutputError(f"{out} has files other than a shared recording: choose another --out")
