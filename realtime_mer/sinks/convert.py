"""Converts the log to every other format, by name. Each format has its own module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from realtime_mer.errors import ConfigError
from realtime_mer.sinks import SIGNALS_CSV
from realtime_mer.sinks.bids import write_bids
from realtime_mer.sinks.boris import write_boris, write_boris_project
from realtime_mer.sinks.csv import write_events_csv
from realtime_mer.sinks.elan import write_elan
from realtime_mer.sinks.jsonl import Recording, read_jsonl
from realtime_mer.sinks.media import linked
from realtime_mer.sinks.megc import write_megc
from realtime_mer.sinks.openface import write_openface
from realtime_mer.sinks.place import keep_input
from realtime_mer.sinks.webvtt import write_webvtt

# name -> (suffix added to the log's stem, writer)
FORMATS: Final[dict[str, tuple[str, Callable[[Recording, Path], None]]]] = {
    "csv": (".csv", write_events_csv),
    "elan": (".eaf", write_elan),
    "webvtt": (".vtt", write_webvtt),
    "bids": ("_events.tsv", write_bids),
    "boris": (".boris.tsv", write_boris),
    "boris-project": (".boris", write_boris_project),
    "megc": (".megc.csv", write_megc),
}
OPENFACE: Final = "openface"  # made from signals.csv, because it is about frames, not events
NAMES: Final = (*FORMATS, OPENFACE)


def beside(events_jsonl: Path, format: str) -> Path:
    """The default file of a format (one of NAMES): beside the log, named after it."""
    if format == OPENFACE:
        return events_jsonl.with_name("openface.csv")
    return events_jsonl.with_name(events_jsonl.stem + FORMATS[format][0])


def convert(
    events_jsonl: Path,
    format: str,
    out: Path | None = None,
    *,
    folder: Path | None = None,
    change: Callable[[Recording], Recording] | None = None,
) -> Path:
    """Writes ``events_jsonl`` in another format and returns the file; by default ``beside`` it.

    folder: where the file will be used, for links to the media; by default where it is written. change: applied to the
    recording before it is written, such as the corrections of a coder. "openface" reads the signals.csv beside the log.
    Raises ConfigError for a name that is not in NAMES, SourceError when the input cannot be read, OutputError when the
    output cannot be written.
    """
    if format not in NAMES:
        raise ConfigError(f"unknown format {format!r}: choose from {', '.join(NAMES)}")
    out = out or beside(events_jsonl, format)
    keep_input([out], events_jsonl)
    if format == OPENFACE:
        write_openface(events_jsonl.with_name(SIGNALS_CSV), out)
    else:
        _, write = FORMATS[format]
        read = read_jsonl(events_jsonl)
        recording = linked(read if change is None else change(read), events_jsonl, folder or out.parent)
        keep_input([out], recording.header.source.uri)
        write(recording, out)
    return out
