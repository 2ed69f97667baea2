"""Writes events and signals of a study as Parquet, a folder for each participant, for DuckDB, pandas or R.

Needs pyarrow: pip install 'realtime-mer[study]'.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from realtime_mer.errors import DataError, OutputError, first_line
from realtime_mer.records import Event
from realtime_mer.sinks import SIGNALS_CSV
from realtime_mer.sinks.jsonl import Header
from realtime_mer.sinks.place import make_folder
from realtime_mer.study.results import Entry

if TYPE_CHECKING:
    import pyarrow

EVENTS: Final = "events"
SIGNALS: Final = "signals"
RECORDINGS: Final = "recordings.parquet"


def event_columns() -> dict[str, Any]:
    """The columns of an event and their types; a study's conditions come after the recording."""
    pa = library()
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    return {
        "participant_id": text, "recording": text, "face": whole, "id": whole, "status": text, "kind": text,
        "reason": text, "onset_s": number, "apex_s": number, "offset_s": number, "duration_s": number,
        "onset_frame": whole, "apex_frame": whole, "offset_frame": whole, "strength_px": number,
        "label": text, "abstained": pa.bool_(), "probability": number, "probabilities": pa.map_(text, number),
        "objective": text, "side": text, "regions": pa.list_(text), "action_units": pa.list_(text), "fps": number,
        "lost": whole, "model": text,
    }  # fmt: skip


def write_events(entries: Sequence[Entry], conditions: Sequence[str], out: Path) -> None:
    """events/participant_id=P/part-0.parquet: the final events. Raises OutputError, DataError."""
    pa = library()
    rows = [_event(event, entry) for entry in entries for event in entry.events]
    own = event_columns()
    first = {name: own.pop(name) for name in ("participant_id", "recording")}
    schema = pa.schema(first | dict.fromkeys(conditions, pa.string()) | own)
    _store(pa.Table.from_pylist(rows, schema), out / EVENTS)


def write_signals(entry: Entry, number: int, out: Path) -> None:
    """Adds signals/participant_id=P/NUMBER.parquet, a row per frame and face, from signals.csv if there is one.

    Raises DataError, OutputError.
    """
    source = entry.folder / SIGNALS_CSV
    if not source.is_file():
        return
    pa = library()
    from pyarrow import csv

    integers = {"frame": pa.int64(), "lost": pa.int64(), "face": pa.int64(), "note": pa.string()}
    try:
        with source.open(encoding="utf-8") as file:
            names = file.readline().strip().split(",")
        types = csv.ConvertOptions(column_types={name: integers.get(name, pa.float64()) for name in names})
        table = csv.read_csv(source, convert_options=types)
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise DataError(f"{source} is not a readable signals.csv: {first_line(error)}") from None
    table = table.add_column(0, "recording", pa.array([entry.name] * len(table), pa.string()))
    folder = out / SIGNALS / f"participant_id={entry.participant.replace('/', '_')}"
    make_folder(folder)
    _written(table, folder / f"{number:05d}.parquet")


def write_recordings(columns: Sequence[str], rows: Sequence[dict[str, Any]], out: Path) -> None:
    """recordings.parquet, a row per recording. Raises OutputError."""
    pa = library()
    numbers = dict.fromkeys(("watched_s", "duration_s", "new_fps", "resolved"), pa.float64())
    numbers |= dict.fromkeys(("frames", "confirmed", "rejected"), pa.int64())
    kinds = {name: numbers.get(name, pa.string()) for name in columns}
    _written(pa.Table.from_pylist(list(rows), pa.schema(kinds)), out / RECORDINGS)


def library() -> Any:
    """pyarrow. Raises DataError without it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError("a data set needs pyarrow: pip install 'realtime-mer[study]'") from None
    return pyarrow


def _store(table: pyarrow.Table, folder: Path) -> None:
    import pyarrow.parquet

    make_folder(folder)
    try:
        pyarrow.parquet.write_to_dataset(
            table, folder, partition_cols=["participant_id"], basename_template="part-{i}.parquet"
        )
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or first_line(error)}") from None


def _written(table: pyarrow.Table, file: Path) -> None:
    import pyarrow.parquet

    try:
        pyarrow.parquet.write_table(table, file)
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror or first_line(error)}") from None


def _event(event: Event, entry: Entry) -> dict[str, Any]:
    assert entry.recording is not None
    head: Header = entry.recording.header
    movement, prediction = event.movement, event.prediction
    probabilities = dict(prediction.probabilities) if prediction else None
    return {
        "participant_id": entry.participant,
        "recording": entry.name,
        **entry.conditions,
        "face": event.track,
        "id": movement.id,
        "status": movement.status.value,
        "kind": movement.kind.value,
        "reason": movement.reason,
        "onset_s": head.media_time(movement.onset),
        "apex_s": head.media_time(movement.apex),
        "offset_s": None if movement.offset is None else head.media_time(movement.offset),
        "duration_s": movement.duration,
        "onset_frame": event.onset_frame,
        "apex_frame": event.apex_frame,
        "offset_frame": event.offset_frame,
        "strength_px": movement.strength,
        "label": prediction.label if prediction else None,
        "abstained": prediction.abstained if prediction else None,
        "probability": max(probabilities.values()) if probabilities else None,
        "probabilities": list(probabilities.items()) if probabilities else None,
        "objective": event.objective.label if event.objective else None,
        "side": event.side,
        "regions": [cue.region for cue in event.cues],
        "action_units": sorted({unit for cue in event.cues for unit in cue.action_units}),
        "fps": event.fps,
        "lost": event.lost,
        "model": event.model,
    }
