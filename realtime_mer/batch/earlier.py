"""Handles the results of an earlier analysis in a recording's folder: whether they are valid, what is missing, and how
they are removed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from realtime_mer.errors import ConfigError, MerError, OutputError
from realtime_mer.records import SourceInfo, Status
from realtime_mer.sinks import CLIPS, EVENTS_CSV, LOG, REPORT, SIGNALS_CSV, STILLS, VIDEO
from realtime_mer.sinks.clips import clip_name
from realtime_mer.sinks.convert import NAMES, beside, convert
from realtime_mer.sinks.jsonl import SUMMARY, Header, Recording, read_jsonl
from realtime_mer.sinks.media import FROM_LOG, PATH
from realtime_mer.sinks.place import replace_file
from realtime_mer.sources.identity import same

Say = Callable[[str], None]  # called with a line for the user
HEADER: Final = b'{"type": "header"'  # start of every log
CONTENT: str = "content"  # in the source's details: the recording's identity
_ADDED = (CONTENT, PATH, FROM_LOG)  # keys of the details since the first version


def with_content(info: SourceInfo, content: Mapping[str, Any]) -> SourceInfo:
    """``info`` with the recording's identity among its details."""
    return replace(info, details={**info.details, CONTENT: dict(content)})


def done_before(video: str, log: Path, head: Header, say: Say) -> Recording | None:
    """The results of an earlier complete run on this recording, if any.

    Raises ConfigError when the folder holds something else: results of another recording, complete or not, or a log
    that cannot be read.
    """
    if not log.is_file() or _cut_at_once(log):
        return None
    try:
        recording = read_jsonl(log)
    except MerError as error:
        raise ConfigError(f"{error}; choose another --out for {video}, or add --overwrite to replace it") from None
    before = recording.header
    if difference := _difference(before.source, head.source):
        raise ConfigError(
            f"{log.parent} has the results of {difference}: choose another --out for {video}, or add --overwrite"
        )
    if recording.summary is None or recording.summary.stopped:
        return None
    if _wanting_whole(before.source, head.source):
        say(
            f"{video}: its results have no hash of the whole file; start, middle, end and size of the file are the same"
        )
    same_settings = (before.settings, before.model) == (head.settings, head.model)
    others = "" if same_settings else " with other settings or another recognizer"
    say(f"{video}: already analyzed{others}; use --overwrite to run it again")
    return recording


def complete(folder: Path, recording: Recording, also: Collection[str], say: Say, *, video: bool, clips: bool) -> None:
    """Makes missing files in ``folder`` that derive from the log: the report, events.csv and the formats ``also``.

    Files that need the recording are only named, because they need another analysis. Raises OutputError.
    """
    from realtime_mer.sinks.report import write_report

    log, signals = folder / LOG, folder / SIGNALS_CSV
    confirmed = [event for event in recording.events if event.status is Status.CONFIRMED]
    wanted = [signals, *([folder / VIDEO] if video else ())]
    wanted += [folder / CLIPS / clip_name(event) for event in confirmed] if clips else ()
    if missing := [path for path in wanted if not path.exists()]:
        more = f" and {len(missing) - 1} more files are" if len(missing) > 1 else " is"
        say(f"{missing[0]}{more} missing: use --overwrite to make what is missing")
    for name in dict.fromkeys(("csv", *also)):
        if not beside(log, name).exists():
            convert(log, name)
    if not (folder / REPORT).exists():
        write_report(log, signals if signals.is_file() else None, folder / REPORT)


def clear(folder: Path, again: Collection[str], say: Say) -> None:
    """Removes what an earlier run wrote into ``folder``, so that none of it stays beside the new log.

    Without a readable log, nothing is touched. A file in an exchange format that differs from what the earlier log
    gives has been edited since: it is kept and named, unless its format is to be written ``again``. Raises OutputError
    for a file that cannot be removed.
    """
    recording = _read(folder / LOG)
    if recording is None:
        return
    old = [folder / VIDEO, folder / REPORT]
    for event in recording.events:
        old += [folder / CLIPS / clip_name(event), folder / STILLS / clip_name(event, ".jpg")]
    for name in NAMES:
        path = beside(folder / LOG, name)
        if name in again and path.name != EVENTS_CSV:
            old.append(path)
        if name in again or not path.is_file() or path.name == EVENTS_CSV:
            continue
        for file, derived in _converted(folder / LOG, name):
            if derived:
                old.append(file)
            else:
                say(f"{file}: changed since the earlier run, so it is kept")
    # First mark the log as incomplete, so that an interruption here leaves nothing that looks complete.
    lines = (folder / LOG).read_bytes().splitlines(keepends=True)
    replace_file(folder / LOG, b"".join(line for line in lines if not line.startswith(SUMMARY)))
    try:
        for path in old:
            path.unlink(missing_ok=True)
        for inner in (folder / CLIPS, folder / STILLS):
            if inner.is_dir() and not any(inner.iterdir()):
                inner.rmdir()
    except OSError as error:
        raise OutputError(f"cannot delete {error.filename}, left by an earlier run: {error.strerror}") from None


def _converted(log: Path, format: str) -> list[tuple[Path, bool]]:
    """The files of an exchange format beside the log, and whether they are byte for byte what the log gives."""
    with tempfile.TemporaryDirectory() as place:
        try:
            convert(log, format, Path(place) / beside(log, format).name, folder=log.parent)
        except MerError:  # its source no longer exists
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


def _cut_at_once(log: Path) -> bool:
    """Whether this is the log of a run that was killed before its header was complete."""
    try:
        with log.open("rb") as file:
            start = file.read(1 << 20)
    except OSError:
        return False  # reading it will say why not
    return b"\n" not in start and start[: len(HEADER)] == HEADER[: len(start)]


def _difference(before: SourceInfo, now: SourceInfo) -> str:
    """Describes whose results these are; empty when they belong to ``now``. The file may have been moved."""
    earlier, content = before.details.get(CONTENT), now.details.get(CONTENT)
    if isinstance(earlier, dict) and isinstance(content, dict):
        if not same(earlier, content):
            return f"another recording, {before.uri}, whose content differs"
        return "" if before.rate == now.rate else f"this recording at {before.rate:g} frames/s, not {now.rate:g}"
    return "" if _described(before) == _described(now) else f"another recording, {before.uri}"


def _described(info: SourceInfo) -> SourceInfo:
    """The description of a recording in logs of the first version."""
    return replace(info, uri="", details={k: v for k, v in info.details.items() if k not in _ADDED})


def _wanting_whole(before: SourceInfo, now: SourceInfo) -> bool:
    return "sha256" in now.details.get(CONTENT, {}) and "sha256" not in before.details.get(CONTENT, {})
