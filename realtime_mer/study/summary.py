"""summary.html: a study on one page. Rates by participant and condition, what was left out and why, quality.

Loads nothing from anywhere. The intervals are exact for events that come independently of each other; those of one
person do not quite, so that an interval over few people is too narrow: the page says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

from realtime_mer.sinks.lines import write_whole
from realtime_mer.sinks.report import page, section
from realtime_mer.study.rates import poisson_interval
from realtime_mer.study.results import Entry

NOTES: Final = (
    "A minute counts as watched while a movement of a face would be reported. Rates are per watched minute.",
    "Intervals are exact 95 % intervals of a rate of independent events (Garwood 1936). Events of one person come in "
    "clusters: over few people the truth is less certain than the interval.",
    "The program misses movements and reports some that are none: see the figures in its documentation, and review a "
    "sample by hand before you publish a rate.",
)


def write_summary(title: str, entries: Sequence[Entry], conditions: Sequence[str], out: Path) -> None:
    """Raises OutputError."""
    kept = [entry for entry in entries if not entry.excluded]
    parts = [
        _head(title, entries, kept),
        section("All", _rates([("all recordings", kept)], "")),
        *(section(f"By {name}", _rates(_groups(kept, _condition(name)), name)) for name in conditions),
        section("By participant", _rates(_groups(kept, lambda entry: entry.participant), "participant")),
        section("Left out", _left_out(entries)),
        section("Quality of the recordings", _quality(kept)),
        section("How to read this", "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in NOTES) + "</ul>"),
    ]
    write_whole(out, page(title, parts))


def minute_rate(entries: Iterable[Entry]) -> tuple[int, float, float, float, float]:
    """Micro-expressions, watched minutes, and events per minute with the ends of the 95 % interval."""
    entries = list(entries)
    count = sum(len(entry.confirmed) for entry in entries)
    minutes = sum(entry.watched_s for entry in entries) / 60
    low, high = poisson_interval(count, minutes)
    return count, minutes, count / minutes if minutes else 0.0, low, high


def _condition(name: str) -> Callable[[Entry], str]:
    return lambda entry: entry.conditions[name]


def _groups(entries: Iterable[Entry], key: Callable[[Entry], str]) -> list[tuple[str, list[Entry]]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(key(entry), []).append(entry)
    return sorted(found.items())


def _rates(groups: Sequence[tuple[str, Sequence[Entry]]], what: str) -> str:
    rows = []
    for name, entries in groups:
        count, minutes, rate, low, high = minute_rate(entries)
        people = len({entry.participant for entry in entries})
        labels = Counter(
            event.prediction.label or "abstained" for entry in entries for event in entry.confirmed if event.prediction
        )
        rejected = sum(entry.rejected for entry in entries)
        named = ", ".join(f"{number} {label}" for label, number in labels.most_common())
        per_minute = f"{rate:.2f} ({low:.2f} to {high:.2f})" if minutes else ""
        rows.append((name, people, len(entries), f"{minutes:.2f}", count, per_minute, named, rejected))
    heads = (what, "people", "recordings", "watched minutes", "micro-expressions", "per minute (95 %)", "labels",
             "rejected movements")  # fmt: skip
    return _table(heads, rows)


def _left_out(entries: Iterable[Entry]) -> str:
    rows = [(entry.name, entry.participant, entry.excluded) for entry in entries if entry.excluded]
    return _table(("recording", "participant", "reason"), rows) if rows else "<p>Nothing.</p>"


def _quality(entries: Iterable[Entry]) -> str:
    rows = []
    for entry in entries:
        summary = entry.recording.summary if entry.recording is not None else None
        assert summary is not None
        least = summary.sensitivity.line if summary.sensitivity is not None else ""
        rate = f"{summary.fps:.1f}" if summary.fps else ""
        rows.append((entry.name, rate, summary.lost, entry.verdict, least))
    return _table(("recording", "new frames/s", "lost frames", "time", "movement"), rows)


def _head(title: str, entries: Sequence[Entry], kept: Sequence[Entry]) -> str:
    count, minutes, _, _, _ = minute_rate(kept)
    people = len({entry.participant for entry in kept})
    cards = (
        ("participants", people), ("recordings", len(kept)), ("left out", len(entries) - len(kept)),
        ("watched minutes", f"{minutes:.1f}"), ("micro-expressions", count),
    )  # fmt: skip
    boxes = "".join(f"<div class='card'><b>{value}</b><span>{name}</span></div>" for name, value in cards)
    with_what = sorted({f"realtime-mer {e.recording.header.product}, settings {e.recording.header.settings_hash}, "
                        f"recognizer {e.recording.header.model or 'none'}" for e in kept if e.recording})  # fmt: skip
    mixed = len(with_what) > 1
    warning = "<p class='warn'>The recordings were not all analyzed in the same way.</p>" if mixed else ""
    return (
        f"<header><h1>{escape(title)}</h1>{''.join(f'<p>{escape(line)}</p>' for line in with_what)}</header>"
        f"{warning}<div class='cards'>{boxes}</div>"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table class='study'><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
