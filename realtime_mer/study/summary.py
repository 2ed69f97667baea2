"""summary.html: a study on one page. Rates by participant and condition, what was left out and why, quality.

The intervals are exact for independent events. Events of one person are not fully independent, so an interval over few
people is too narrow; the page says so. The layout is in sinks/templates/study.html.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from realtime_mer.sinks.lines import write_whole
from realtime_mer.sinks.page import render
from realtime_mer.sinks.text import label_words
from realtime_mer.study.rates import poisson_interval
from realtime_mer.study.results import Entry

NOTES: Final = (
    "Rates are per watched minute. A face is watched while its movements would be reported.",
    "Intervals are exact 95 % intervals of the rate of independent events (Garwood 1936). Events of one person "
    "come in clusters, so the rate over few people is less certain than its interval.",
    "The program misses some movements and reports some that did not happen. Its documentation says how many; "
    "review a sample by hand before you publish a rate.",
)

Row = tuple[object, ...]


def write_summary(title: str, entries: Sequence[Entry], conditions: Sequence[str], out: Path) -> None:
    """Writes the page. Raises OutputError."""
    kept = [entry for entry in entries if not entry.excluded]
    analyses = {
        f"realtime-mer {head.product}, settings {head.settings_hash}, recognizer {head.model or 'none'}"
        for entry in kept
        if entry.recording and (head := entry.recording.header)
    }
    page = render(
        "study.html",
        title=title,
        analyses=sorted(analyses),
        totals=_totals(entries, kept),
        all=_rates([("all recordings", kept)]),
        conditions=[(name, _rates(_groups(kept, _condition(name)))) for name in conditions],
        people=_rates(_groups(kept, lambda entry: entry.participant)),
        left_out=[(entry.name, entry.participant, entry.excluded) for entry in entries if entry.excluded],
        quality=_quality(kept),
        notes=NOTES,
    )
    write_whole(out, page)


def minute_rate(entries: Iterable[Entry]) -> tuple[int, float, float, float, float]:
    """Micro-expressions, watched minutes, and events per minute with the 95 % interval."""
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


def _rates(groups: Sequence[tuple[str, Sequence[Entry]]]) -> list[Row]:
    """The rows of the page's table of rates, one per group."""
    rows: list[Row] = []
    for name, entries in groups:
        count, minutes, rate, low, high = minute_rate(entries)
        people = len({entry.participant for entry in entries})
        labels = Counter(label_words(event) for entry in entries for event in entry.confirmed if event.prediction)
        rejected = sum(entry.rejected for entry in entries)
        named = ", ".join(f"{number} {label}" for label, number in labels.most_common())
        per_minute = f"{rate:.2f} ({low:.2f} to {high:.2f})" if minutes else ""
        rows.append((name, people, len(entries), f"{minutes:.2f}", count, per_minute, named, rejected))
    return rows


def _quality(entries: Iterable[Entry]) -> list[Row]:
    rows: list[Row] = []
    for entry in entries:
        summary = entry.recording.summary if entry.recording is not None else None
        assert summary is not None
        least = summary.sensitivity.line if summary.sensitivity is not None else ""
        rate = f"{summary.fps:.1f}" if summary.fps else ""
        rows.append((entry.name, rate, summary.lost, entry.verdict, least))
    return rows


def _totals(entries: Sequence[Entry], kept: Sequence[Entry]) -> list[tuple[object, str, str]]:
    """For each card: figure, description and note."""
    count, minutes, _, _, _ = minute_rate(kept)
    return [
        (len({entry.participant for entry in kept}), "participants", ""),
        (len(kept), "recordings", ""),
        (len(entries) - len(kept), "left out", ""),
        (f"{minutes:.1f}", "watched minutes", ""),
        (count, "micro-expressions", ""),
    ]
