"""Collects the results of many recordings in one folder for statistics: BIDS, Parquet, tables, a page."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from realtime_mer.errors import DataError, OutputError
from realtime_mer.sinks import LOG
from realtime_mer.sinks.convert import convert
from realtime_mer.sinks.lines import one_line, write_whole
from realtime_mer.sinks.place import make_folder
from realtime_mer.study import parquet
from realtime_mer.study.results import NOBODY, PARTICIPANT, Entry, Participants
from realtime_mer.study.summary import write_summary
from realtime_mer.version import product_version

PRODUCT: Final = "realtime-mer"
RECORDINGS: Final = "recordings.tsv"
PEOPLE: Final = "participants.tsv"
SUMMARY: Final = "summary.html"
DESCRIPTION: Final = "dataset_description.json"
COLUMNS: Final = (
    "recording", PARTICIPANT, "excluded", "watched_s", "duration_s", "frames", "new_fps", "resolved", "verdict",
    "confirmed", "rejected", "source", "created", "product", "settings", "model",
)  # fmt: skip
_BIDS: Final = re.compile(r"(?<![A-Za-z0-9])(ses|task|acq|run)-([A-Za-z0-9]+)")


def collect(
    entries: Sequence[Entry], who: Participants, title: str, out: Path, say: Callable[[str], None], *, signals: bool
) -> None:
    """Writes the data set to ``out``, replacing that of an earlier run. signals: include the signals, which are large.

    Raises DataError when no recording is left, OutputError when something cannot be written.
    """
    kept = [entry for entry in entries if not entry.excluded]
    if not kept:
        first = next(iter(entries))
        raise DataError(f"no recordings are left: {first.name}: {first.excluded} (and {len(entries) - 1} more)")
    if taken_names := sorted(set(who.conditions) & {*COLUMNS, *parquet.event_columns()}):
        raise DataError(
            f"the participants' column '{taken_names[0]}' has the name of one of the data set's columns: rename it"
        )
    _clear(out)
    make_folder(out)
    write_whole(out / DESCRIPTION, json.dumps(_description(title), indent=2) + "\n")
    rows = [_row(entry) for entry in entries]
    columns = (*COLUMNS[:2], *who.conditions, *COLUMNS[2:])
    write_whole(out / RECORDINGS, _tsv(columns, rows))
    parquet.write_recordings(columns, rows, out)
    parquet.write_events(kept, who.conditions, out)
    counts = Counter(entry.participant for entry in kept)
    write_whole(out / PEOPLE, _tsv((PARTICIPANT, *who.conditions, "recordings"), [
        {PARTICIPANT: f"sub-{name}", **_steady(kept, name, who.conditions), "recordings": counts[name]}
        for name in sorted(counts)
    ]))  # fmt: skip
    taken: Counter[str] = Counter()
    for number, entry in enumerate(kept):
        convert(entry.folder / LOG, "bids", _bids_file(entry, out, taken))
        if signals:
            parquet.write_signals(entry, number, out)
        say(f"{number + 1} of {len(kept)}: {entry.name}")
    write_summary(title, entries, who.conditions, out / SUMMARY)


def _clear(out: Path) -> None:
    """Removes the data set of an earlier run, whose files of removed participants would otherwise be read as well.

    Raises OutputError when something else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        made_by = json.loads((out / DESCRIPTION).read_text(encoding="utf-8"))["GeneratedBy"][0]["Name"]
    except (OSError, ValueError, LookupError, TypeError):
        made_by = None
    if made_by != PRODUCT:
        raise OutputError(f"{out} has files other than a data set made by `collect`: choose another --out")
    for folder in (out / parquet.EVENTS, out / parquet.SIGNALS, *out.glob("sub-*")):
        shutil.rmtree(folder, ignore_errors=True)


def _row(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {"recording": entry.name, PARTICIPANT: entry.participant, **entry.conditions}
    row |= {"excluded": entry.excluded, "watched_s": round(entry.watched_s, 3), "verdict": entry.verdict}
    if entry.recording is not None:
        head, summary = entry.recording.header, entry.recording.summary
        row |= {
            "source": head.source.uri, "created": head.created, "product": head.product,
            "settings": head.settings_hash, "model": head.model, "confirmed": len(entry.confirmed),
            "rejected": entry.rejected,
        }  # fmt: skip
        if summary is not None:
            row |= {"duration_s": summary.duration, "frames": summary.frames, "new_fps": summary.fps}
            row |= {"resolved": summary.delivery.resolved if summary.delivery is not None else None}
    return row


def _tsv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    def cell(value: Any) -> str:
        return NOBODY if value is None or value == "" else one_line(str(value))

    lines = ["\t".join(columns), *("\t".join(cell(row.get(name)) for name in columns) for row in rows)]
    return "\n".join(lines) + "\n"


def _steady(entries: Sequence[Entry], participant: str, conditions: Sequence[str]) -> dict[str, str]:
    """The conditions that are equal in all of a participant's recordings."""
    own = [entry.conditions for entry in entries if entry.participant == participant]
    return {name: own[0][name] if len({c[name] for c in own}) == 1 else NOBODY for name in conditions}


def _bids_file(entry: Entry, out: Path, taken: Counter[str]) -> Path:
    """sub-P/[ses-S/]beh/sub-P_..._events.tsv, with the entities in the recording's name."""
    found = dict(_BIDS.findall(entry.name))
    found.setdefault("task", re.sub(r"[^A-Za-z0-9]", "", re.sub(r"sub-[A-Za-z0-9]+", "", entry.name)) or "recording")
    person = re.sub(r"[^A-Za-z0-9]", "", entry.participant) or "unknown"
    folder = out / f"sub-{person}"
    folder = (folder / f"ses-{found['ses']}" if "ses" in found else folder) / "beh"
    stem = "_".join(
        [f"sub-{person}", *(f"{key}-{found[key]}" for key in ("ses", "task", "acq", "run") if key in found)]
    )
    taken[stem] += 1
    if taken[stem] > 1:  # another recording with this name; BIDS distinguishes them by the entity "desc"
        stem += f"_desc-{taken[stem]}"
    make_folder(folder)
    return folder / f"{stem}_events.tsv"


def _description(title: str) -> dict[str, Any]:
    return {
        "Name": title,
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": PRODUCT, "Version": product_version()}],
    }
