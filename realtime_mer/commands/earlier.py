"""What an earlier analysis left in a recording's folder: whether it may stand, and how it is cleared away."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from realtime_mer.errors import ConfigError, MerError, OutputError
from realtime_mer.sinks import EVENTS_CSV, LOG, REPORT, VIDEO
from realtime_mer.sinks.clips import clip_name
from realtime_mer.sinks.convert import NAMES, beside, convert
from realtime_mer.sinks.jsonl import Header, Recording, read_jsonl

CLIPS: Final = "clips"  # the folder of the events' clips


def done_before(video: str, log: Path, head: Header) -> Recording | None:
    """What an earlier run left of this recording, if it came to its end.

    Raises ConfigError for another recording's, and for a file in its place that cannot be read: damaged, of another
    version, or not ours.
    """
    if not log.is_file():
        return None
    try:
        recording = read_jsonl(log)
    except MerError as error:
        raise ConfigError(f"{error}; choose another --out for {video}, or add --overwrite to replace it") from None
    if recording.summary is None:
        return None
    before = recording.header
    if replace(before.source, uri="") != replace(head.source, uri=""):  # the file itself may have been moved
        raise ConfigError(
            f"{log.parent} holds the results of another recording, {before.source.uri}: "
            f"choose another --out for {video}, or add --overwrite"
        )
    same = (before.settings, before.model) == (head.settings, head.model)
    others = "" if same else " with other settings or another recogniser"
    print(f"{video}: done before{others}, left as it is (--overwrite to repeat)", file=sys.stderr)
    return recording


def clear(folder: Path, again: Collection[str]) -> None:
    """Removes what an earlier run wrote into ``folder``, so that nothing of it lies beside the log that is to come.

    Nothing is touched where there is no readable log. A file in an exchange format that is not what the earlier log
    gives has been worked on since: it stays, and is named, unless its format is to be written ``again``. Raises
    OutputError for a file that cannot be removed.
    """
    recording = _read(folder / LOG)
    if recording is None:
        return
    clips = folder / CLIPS
    old = [folder / VIDEO, folder / REPORT, *(clips / clip_name(event) for event in recording.events)]
    for name in NAMES:
        path = beside(folder / LOG, name)
        if name in again or not path.is_file() or path.name == EVENTS_CSV:
            continue
        for file, derived in _converted(folder / LOG, name):
            if derived:
                old.append(file)
            else:
                print(f"{file}: not as the earlier run wrote it, so it is kept", file=sys.stderr)
    try:
        for path in old:
            path.unlink(missing_ok=True)
        if clips.is_dir() and not any(clips.iterdir()):
            clips.rmdir()
    except OSError as error:
        raise OutputError(f"cannot remove {error.filename}, which an earlier run left: {error.strerror}") from None


def _converted(log: Path, format: str) -> list[tuple[Path, bool]]:
    """The files of an exchange format beside the log, and whether they are, to the byte, what the log gives."""
    with tempfile.TemporaryDirectory() as place:
        try:
            convert(log, format, Path(place) / beside(log, format).name)
        except MerError:  # what it was made from is not there any more
            return [(beside(log, format), False)]
        pairs = [(log.with_name(again.name), again) for again in Path(place).iterdir()]
        return [(path, path.read_bytes() == again.read_bytes()) for path, again in pairs if path.is_file()]


def _read(log: Path) -> Recording | None:
    if not log.is_file():
        return None
    try:
        return read_jsonl(log)
    except MerError:
        return None
