"""Reads codings of one recording, from any tool, as marks in s from the start of the media: a log of this package, a
coder's review of one, ELAN's .eaf, and tables (.csv, .tsv).

Tables are BORIS's tabular and aggregated events, our own exports, and any table with columns "onset" and "offset" in
seconds.
"""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from realtime_mer.errors import SourceError, first_line
from realtime_mer.records import Status
from realtime_mer.review.apply import coded
from realtime_mer.review.decisions import is_review, log_of, read_review
from realtime_mer.sinks.jsonl import Recording, read_jsonl

MACHINE: Final = "machine"
LARGEST: Final = 64 << 20  # bytes of a file of another tool
MOST: Final = 100_000  # marks
NO_LABEL: Final = ("abstained", "unsure")  # the words in our exports, now and in version 0.1
LABELS: Final = ("label", "emotion", "code", "behavior", "behaviour", "category", "trial_type")
_APEX: Final = re.compile(r"\bapex(es)?\b", re.IGNORECASE)
_OWN: Final = re.compile(r"face \d+ (\w+)( \(\d+\))?")  # a tier of our own ELAN export
_SHARE: Final = re.compile(r" [01]\.\d\d( \(.*\))?$| \(.*\)$")  # what our export adds after a label


@dataclass(frozen=True, slots=True)
class Mark:
    """One coded micro-expression: s from the start of the media; apex None and label "" if not coded."""

    onset: float
    offset: float
    apex: float | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Coding:
    """All marks of one coder, by onset. name: of the coder, or "machine"."""

    name: str
    marks: tuple[Mark, ...]


def read_coding(path: Path, tier: str | None = None) -> Coding:
    """Reads a coding. tier: of an ELAN file; by default all tiers except apexes.

    Raises SourceError when it cannot be read, or has no intervals.
    """
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        if not is_review(path):
            return Coding(MACHINE, marks_of(read_jsonl(path)))
        review, log = read_review(path), log_of(path)
        return Coding(review.coder, marks_of(coded(read_jsonl(log), review)))
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MB")
        found = _elan(path, tier) if suffix == ".eaf" else _table(path)
        marks = sorted(found, key=lambda mark: mark.onset)
        if len(marks) > MOST:
            raise ValueError(f"it has more than {MOST} events")
        if wrong := next((mark for mark in marks if not 0 <= mark.onset <= mark.offset < 1e9), None):
            raise ValueError(f"onset {wrong.onset:g} s and offset {wrong.offset:g} s are not an interval")
    except (OSError, ValueError, csv.Error, ElementTree.ParseError) as error:
        raise SourceError(f"{path} is not a coding that can be read: {first_line(error)}") from None
    return Coding(path.stem, tuple(marks))


def marks_of(recording: Recording) -> tuple[Mark, ...]:
    """The micro-expressions of a log."""
    head = recording.header
    found = [
        Mark(
            head.media_time(event.movement.onset),
            head.media_time(event.movement.end),
            head.media_time(event.movement.apex),
            (event.prediction.label or "") if event.prediction else "",
        )
        for event in recording.events
        if event.status is Status.CONFIRMED
    ]
    return tuple(sorted(found, key=lambda mark: mark.onset))


def _elan(path: Path, tier: str | None) -> list[Mark]:
    root = ElementTree.parse(path).getroot()
    if root.tag != "ANNOTATION_DOCUMENT":
        raise ValueError("it is not an ELAN document")
    slots = {
        slot.get("TIME_SLOT_ID"): float(value) / 1000
        for slot in root.iter("TIME_SLOT")
        if (value := slot.get("TIME_VALUE")) is not None
    }
    tiers = {name: list(_annotations(each, slots)) for each in root.iter("TIER") if (name := each.get("TIER_ID"))}
    if tier is not None and tier not in tiers:
        raise ValueError(f"it has no tier {tier!r}; its tiers are {', '.join(tiers) or 'none'}")
    apexes = [start for name, notes in tiers.items() if _APEX.search(name) for start, _, _ in notes]
    chosen = [tier] if tier is not None else _tiers_of_events(tiers)
    marks = []
    for name in chosen:
        for start, end, text in tiers[name]:
            label = _SHARE.sub("", text.strip()) if _OWN.fullmatch(name) else text.strip()
            apex = next((time for time in apexes if start <= time <= end), None)
            marks.append(Mark(start, end, apex, "" if label in (*NO_LABEL, "micro") else label))
    return marks


def _tiers_of_events(tiers: Iterable[str]) -> list[str]:
    """For our own export, the tiers of micro-expressions; for any other document, all except apexes and markers."""
    names = list(tiers)
    own = {name: found[1] for name in names if (found := _OWN.fullmatch(name))}
    if own:
        return [name for name, kind in own.items() if kind == "micro"]
    return [name for name in names if not _APEX.search(name) and name != "markers"]


def _annotations(tier: ElementTree.Element, slots: dict[str | None, float]) -> Iterable[tuple[float, float, str]]:
    for note in tier.iter("ALIGNABLE_ANNOTATION"):
        start, end = slots.get(note.get("TIME_SLOT_REF1")), slots.get(note.get("TIME_SLOT_REF2"))
        if start is not None and end is not None:
            yield start, end, note.findtext("ANNOTATION_VALUE") or ""


def _table(path: Path) -> list[Mark]:
    text = path.read_text(encoding="utf-8-sig")
    first = text.partition("\n")[0]
    delimiter = max("\t,;", key=first.count)
    rows = list(csv.DictReader(text.splitlines(), delimiter=delimiter))
    names = {(name or "").strip().lower() for name in (rows[0] if rows else {})} or {
        name.strip().lower() for name in first.split(delimiter)
    }
    plain = [{(k or "").strip().lower(): v.strip() for k, v in row.items() if isinstance(v, str)} for row in rows]
    if {"behavior", "time", "behavior type"} <= names:
        return _boris_tabular(plain)
    if {"behavior", "start (s)", "stop (s)"} <= names:
        return [Mark(_number(r["start (s)"]), _number(r["stop (s)"]), None, r["behavior"]) for r in plain]
    if {"onset", "duration"} <= names and "offset" not in names:  # BIDS
        kept = [r for r in plain if r.get("trial_type", "micro") == "micro" and r["duration"] != "n/a"]
        return [
            Mark(_number(r["onset"]), _number(r["onset"]) + _number(r["duration"]), _time(r.get("apex")), _label(r))
            for r in kept
        ]
    if not {"onset", "offset"} <= names:
        raise ValueError("a table needs the columns onset and offset, in seconds")
    kept = [r for r in plain if r.get("status", "confirmed") == "confirmed"]
    return [Mark(_number(r["onset"]), _number(r["offset"]), _time(r.get("apex")), _label(r)) for r in kept]


def _boris_tabular(rows: list[dict[str, str]]) -> list[Mark]:
    """Pairs START and STOP of a subject's behavior in order; POINTs called apex belong to the interval around them."""
    begun: dict[tuple[str, str], list[tuple[float, str]]] = {}
    intervals: list[tuple[float, float, str]] = []
    apexes: list[float] = []
    own = any(row.get("behavioral category") == "micro-expression" for row in rows)
    for row in rows:
        if own and row.get("behavioral category") != "micro-expression":
            continue
        name, time, kind = row["behavior"], _number(row["time"]), row["behavior type"].upper()
        label = row.get("modifier #1", "") if own else name
        key = row.get("subject", ""), name
        if kind == "START":
            begun.setdefault(key, []).append((time, "" if label in NO_LABEL else label))
        elif kind == "STOP" and begun.get(key):
            onset, said = begun[key].pop(0)
            intervals.append((onset, time, said))
        elif _APEX.search(name):
            apexes.append(time)
    return [
        Mark(start, end, next((t for t in apexes if start <= t <= end), None), label) for start, end, label in intervals
    ]


def _label(row: dict[str, str]) -> str:
    said = next((row[name] for name in LABELS if row.get(name)), "")
    return "" if said in ("n/a", "micro") else said


def _time(cell: str | None) -> float | None:
    return None if not cell or cell == "n/a" else _number(cell)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not a number of seconds") from None
