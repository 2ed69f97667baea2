"""Results of ``bench spotting`` as text: the printed table, the Markdown of the docs, two results side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Final

from realtime_mer.bench.intervals import difference, interval
from realtime_mer.bench.score_file import ScoreFile
from realtime_mer.bench.spotting import HELD, Row, worst_tails
from realtime_mer.study.rates import poisson_bounds

WIDTH: Final = 60
HEADER: Final = (
    f"{'condition':{WIDTH}} {'n':>4} {'F1':>5} {'95 %':>11} {'prec':>5} {'rec':>5} {'STRS':>5} {'onset':>6} "
    f"{'apex':>5} {'offset':>6} ms {'minutes':>8} {'false/min':>9}"
)
MARKDOWN: Final = (
    "| Recordings | Condition | n | F1 (95 %) | by subject | Precision | Recall | STRS | Onset / apex / offset error "
    "| False/min | F1 by tail |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)
MARKDOWN_NEGATIVES: Final = (
    "| Recordings | Condition | False alarms | Minutes watched | Per minute | At least | At most |",
    "|---|---|---|---|---|---|---|",
)
# percent: results in which the spotter watches less than this share of the other's time are not comparable
FEWER_MINUTES: Final = -5.0


def line(row: Row) -> str:
    """One row of the printed table, under HEADER."""
    s = row.scores
    f1, precision, recall, with_label = (
        _two(v if row.truth else None) for v in (s.f1, s.precision, s.recall, row.strs)
    )
    at_least, at_most = poisson_bounds(s.false_alarms, row.minutes)
    rate = f"{s.false_alarms_per_minute or 0:9.2f}"
    if row.negatives:
        rate += f"  {s.false_alarms} false alarms, {at_least:.2f} to {at_most:.2f} a minute"
    if row.truth and row.rejected[HELD]:
        rate += f"  (F1 {row.f1_with_held:.2f} with {row.rejected[HELD]} held)"
    return (
        f"{row.name:{WIDTH}} {len(row.truth):4} {f1:>5} {_ends(row):>11} {precision:>5} {recall:>5} {with_label:>5} "
        f"{_ms(s.onset_error):>6} {_ms(s.apex_error):>5} {_ms(s.offset_error):>6}    {row.minutes:8.1f} {rate}"
    )


def results(rows: Iterable[Row]) -> list[str]:
    """A line for each condition with several tails: its result, from the worst tail."""
    return [
        f"result: {row.data}, {row.condition}: F1 {row.scores.f1:.2f} ({_ends(row)}), the worst tail is: {row.tail}"
        for row in worst_tails(rows)
    ]


def markdown(rows: Sequence[Row]) -> str:
    """The tables of docs/benchmark-spotting.md: conditions with annotated movements, then those without."""
    lines: list[str] = []
    worst = {id(row) for row in worst_tails(rows)}
    scored = [row for row in rows if not row.negatives and (not row.tail or id(row) in worst)]
    if scored:
        lines += [*MARKDOWN, *(_markdown_line(row, rows) for row in scored)]
    silent = [row for row in rows if row.negatives]
    if silent:
        lines += [*([""] if lines else []), *MARKDOWN_NEGATIVES, *map(_markdown_negative, silent)]
    return "\n".join(lines)


def side_by_side(a: ScoreFile, b: ScoreFile) -> str:
    """B against A by condition: the paired bootstrap over the people in both, and minutes watched.

    A condition with several tails is better only if it is better with every tail.
    """
    others = {row.key: row for row in b.rows}
    lines = []
    verdicts: dict[tuple[str, str], list[str]] = {}
    for row in a.rows:
        other = others.get(row.key)
        if other is None:
            continue
        text, verdict = _pair(row, other)
        lines.append(text)
        if row.tail:
            verdicts.setdefault((row.data, row.condition), []).append(verdict)
    for (data, condition), words in verdicts.items():
        same = words[0] if len(set(words)) == 1 else "no difference shown with every tail"
        lines.append(f"{data}, {condition}: {same}")
    return "\n".join(lines) or "the two results have no condition in common"


def _pair(a: Row, b: Row) -> tuple[str, str]:
    minutes = 100 * (b.minutes / a.minutes - 1) if a.minutes else 0.0
    fewer = "; too few minutes watched" if minutes < FEWER_MINUTES else ""
    if a.negatives or not a.truth:
        words = " -> ".join(
            f"{row.scores.false_alarms} in {row.minutes:.1f} min (at most {_bounds(row)[1]:.2f} a minute)"
            for row in (a, b)
        )
        return f"{a.name}: false alarms {words}{fewer}", ""
    found = difference(a.counts(), b.counts())
    first, second = a.scores, b.scores
    if found is None:
        return f"{a.name}: F1 {first.f1:.2f} -> {second.f1:.2f}, too few people in common for an interval", "unknown"
    return (
        f"{a.name}: F1 {first.f1:.3f} -> {second.f1:.3f}, {found.f1:+.3f} [{found.low:+.3f}, {found.high:+.3f}] over "
        f"{found.people} people: {found.verdict}; precision {first.precision:.2f} -> {second.precision:.2f}, recall "
        f"{first.recall:.2f} -> {second.recall:.2f}, minutes {minutes:+.1f} %{fewer}",
        found.verdict,
    )


def _markdown_line(row: Row, rows: Sequence[Row]) -> str:
    s = row.scores
    by_subject = [count.f1 for count in row.counts().values() if count.annotated]
    tails = "; ".join(f"{r.tail} {r.scores.f1:.2f}" for r in rows if r.tail and r.key[:2] == row.key[:2])
    errors = " / ".join(_ms(value) for value in (s.onset_error, s.apex_error, s.offset_error))
    spread = f"{mean(by_subject):.2f} ({min(by_subject):.2f}-{max(by_subject):.2f})" if by_subject else "-"
    cells = (
        *(row.data, row.condition, str(len(row.truth)), f"{s.f1:.2f} ({_ends(row)})", spread),
        *(f"{s.precision:.2f}", f"{s.recall:.2f}", _two(row.strs), f"{errors} ms"),
        *(f"{s.false_alarms_per_minute or 0:.2f}", tails or "-"),
    )
    return f"| {' | '.join(cells)} |"


def _markdown_negative(row: Row) -> str:
    s = row.scores
    at_least, at_most = _bounds(row)
    rate = "-" if s.false_alarms_per_minute is None else f"{s.false_alarms_per_minute:.2f}"
    cells = (row.data, row.condition, str(s.false_alarms), f"{row.minutes:.1f}", rate, f"{at_least:.2f}")
    return f"| {' | '.join(cells)} | {at_most:.2f} |"


def _bounds(row: Row) -> tuple[float, float]:
    return poisson_bounds(row.scores.false_alarms, row.minutes)


def _ends(row: Row) -> str:
    ends = interval(list(row.counts().values())) if row.truth else None
    return "-" if ends is None else f"{ends[0]:.2f}-{ends[1]:.2f}"


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{1000 * value:.0f}"


def counted(row: Row) -> str:
    """A line for movements in frame numbers, without errors in ms and minutes."""
    s = row.scores
    return (
        f"{row.data}: {len(row.truth)} annotated, {s.hits} found, {s.false_alarms} false alarms; F1 {s.f1:.3f} "
        f"({_ends(row)}), precision {s.precision:.3f}, recall {s.recall:.3f}"
    )
