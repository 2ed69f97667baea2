"""Measures how well two codings of one recording agree: in the events found, their labels, and their times.

Found:  events are paired one to one where they overlap by half or more (``spotting.scores.match``); F1 of the pairs,
        and Cohen's kappa of "there is an event now" over units of time, which needs no pairs.
Called: Cohen's kappa of the labels of the pairs, over all classes and for each class against the rest.
Times:  for onset, apex, offset and duration of the pairs: differences, the share within a tolerance, and the intraclass
        correlation ICC(A,1) (two-way random effects, absolute agreement, single rating; McGraw & Wong 1996, which is
        ICC(2,1) of Shrout & Fleiss 1979). Onsets of events that are minutes apart always correlate, so look at the
        differences for times, and at the duration for ICCs.

Both statistics are written here: the libraries that offer the ICC (pingouin, krippendorff) are under the GPL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.review.codings import Coding, Mark
from realtime_mer.spotting.scores import IOU, Movement, match

TOLERANCE_S: Final = 1 / 30  # one frame at 30 frames/s
UNIT_S: Final = 0.01  # of time, for the kappa of presence
LONGEST_S: Final = 24 * 3600.0  # of a recording; limits the memory of the kappa of presence


@dataclass(frozen=True, slots=True)
class Times:
    """Differences of one time of the paired events. n: pairs with this time on both sides. mean_s: B minus A.

    median_s: of the absolute differences. within: share of them up to the tolerance. icc: None if undefined (fewer than
    two pairs, or no spread).
    """

    n: int
    mean_s: float
    median_s: float
    within: float
    icc: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The comparison of two codings. a, b: names. in_a, in_b: numbers of events; pairs: number paired.

    presence_kappa: over units of time. kappa: of the labels of the ``labeled`` pairs with labels on both sides;
    by_class: of each class against the rest. None: undefined. times: by "onset", "apex", "offset", "duration".
    tolerance_s: of ``Times.within``. iou: least overlap of paired events.
    """

    a: str
    b: str
    in_a: int
    in_b: int
    pairs: int
    presence_kappa: float | None
    labeled: int
    kappa: float | None
    by_class: dict[str, float | None]
    times: dict[str, Times]
    tolerance_s: float
    iou: float

    @property
    def f1(self) -> float | None:
        """2 pairs / (events of A + events of B); None when there are none."""
        total = self.in_a + self.in_b
        return 2 * self.pairs / total if total else None


def agree(
    a: Coding, b: Coding, *, duration: float = 0.0, tolerance_s: float = TOLERANCE_S, iou: float = IOU
) -> Agreement:
    """Compares two codings. duration: of the recording, s; by default up to the last offset in either."""
    pairs = [(a.marks[i], b.marks[j]) for i, j in match(_movements(a), _movements(b), iou)]
    both = [(x.label, y.label) for x, y in pairs if x.label and y.label]
    classes = sorted({label for pair in both for label in pair})
    columns = {
        "onset": [(x.onset, y.onset) for x, y in pairs],
        "apex": [(x.apex, y.apex) for x, y in pairs if x.apex is not None and y.apex is not None],
        "offset": [(x.offset, y.offset) for x, y in pairs],
        "duration": [(x.offset - x.onset, y.offset - y.onset) for x, y in pairs],
    }
    return Agreement(
        a=a.name,
        b=b.name,
        in_a=len(a.marks),
        in_b=len(b.marks),
        pairs=len(pairs),
        presence_kappa=_presence(a.marks, b.marks, duration),
        labeled=len(both),
        kappa=cohen_kappa([x for x, _ in both], [y for _, y in both]),
        by_class={c: cohen_kappa([x == c for x, _ in both], [y == c for _, y in both]) for c in classes},
        times={name: _times(values, tolerance_s) for name, values in columns.items() if values},
        tolerance_s=tolerance_s,
        iou=iou,
    )


def cohen_kappa(a: Sequence[object], b: Sequence[object]) -> float | None:
    """Agreement beyond chance of two lists of categories, item by item (Cohen 1960).

    None without items, or when both use only one and the same category.
    """
    if not a:
        return None
    n = len(a)
    same = sum(x == y for x, y in zip(a, b, strict=True)) / n
    expected = sum((sum(x == c for x in a) / n) * (sum(y == c for y in b) / n) for c in set(a) | set(b))
    return None if expected >= 1 else (same - expected) / (1 - expected)


def icc(ratings: NDArray[np.float64]) -> float | None:
    """ICC(A,1) of ``ratings``, float64 (items, raters); None with fewer than two items, and without any spread."""
    n, k = ratings.shape
    if n < 2 or k < 2:
        return None
    centered = ratings - ratings.mean()  # otherwise times of a long recording would lose precision
    rows, columns = centered.mean(1), centered.mean(0)
    between = k * float((rows**2).sum()) / (n - 1)
    raters = n * float((columns**2).sum()) / (k - 1)
    rest = float(((centered - rows[:, None] - columns) ** 2).sum()) / ((n - 1) * (k - 1))
    spread = between + (k - 1) * rest + k * (raters - rest) / n
    return (between - rest) / spread if spread > 1e-15 else None


def text(found: Agreement) -> str:
    """The comparison as lines for a terminal."""
    lines = [
        f"A = {found.a}: {found.in_a} events    B = {found.b}: {found.in_b} events",
        f"found by both (overlap of {found.iou:g} or more): {found.pairs}    F1 {number(found.f1)}",
        f"kappa of presence, in units of {1000 * UNIT_S:g} ms: {number(found.presence_kappa)}",
        f"kappa of the label, {found.labeled} events that both labeled: {number(found.kappa)}",
        *(f"  {name}: {number(value)}" for name, value in found.by_class.items()),
    ]
    if found.times:
        within = f"within {1000 * found.tolerance_s:.0f} ms"
        lines.append(f"times, B minus A       n   mean ms   median |ms|  {within:>12}      ICC")
    lines += [
        f"  {name:<16} {t.n:>5} {1000 * t.mean_s:>+9.1f} {1000 * t.median_s:>13.1f} {100 * t.within:>11.0f} % "
        f"{number(t.icc):>8}"
        for name, t in found.times.items()
    ]
    return "\n".join(lines)


def number(value: float | None) -> str:
    """A figure from -1 to 1, or a dash if undefined."""
    return "-" if value is None else f"{value:.2f}"


def _movements(coding: Coding) -> list[Movement]:
    return [Movement("", mark.onset, mark.offset) for mark in coding.marks]


def _times(pairs: list[tuple[float, float]], tolerance_s: float) -> Times:
    values = np.asarray(pairs, np.float64)
    apart = values[:, 1] - values[:, 0]
    near = np.abs(apart) <= tolerance_s + 1e-9
    return Times(len(pairs), float(apart.mean()), float(np.median(np.abs(apart))), float(near.mean()), icc(values))


def _presence(a: Sequence[Mark], b: Sequence[Mark], duration: float) -> float | None:
    """Cohen's kappa of whether there is an event, over units of UNIT_S."""
    end = min(max([duration, *(mark.offset for mark in (*a, *b))], default=0.0), LONGEST_S)
    units = math.ceil(end / UNIT_S)
    if not units:
        return None
    there = np.zeros((2, units), bool)
    for row, marks in enumerate((a, b)):
        for mark in marks:
            there[
                row, round(mark.onset / UNIT_S) : max(round(mark.offset / UNIT_S), round(mark.onset / UNIT_S) + 1)
            ] = True
    in_a, in_b = there.mean(1)
    same = float((there[0] == there[1]).mean())
    expected = float(in_a * in_b + (1 - in_a) * (1 - in_b))
    return None if expected >= 1 else (same - expected) / (1 - expected)
