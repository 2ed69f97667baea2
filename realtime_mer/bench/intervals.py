"""Uncertainty of scores: bootstrap intervals over people, and exact bounds of a rate of false alarms. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

DRAWS: Final = 10_000  # of the bootstrap; the ends of the interval are then accurate to 0.01
LEVEL: Final = 0.95
SEED: Final = 17


@dataclass(frozen=True, slots=True)
class Counts:
    """Hits, false alarms and misses of one person."""

    hits: int
    false_alarms: int
    missed: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hits + other.hits, self.false_alarms + other.false_alarms, self.missed + other.missed)

    @property
    def annotated(self) -> int:
        return self.hits + self.missed

    @property
    def f1(self) -> float:
        """F1; 0 without annotations and reports."""
        total = 2 * self.hits + self.false_alarms + self.missed
        return 2 * self.hits / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """F1 of B minus that of A over the same people, with its interval. people: number in both results."""

    f1: float
    low: float
    high: float
    people: int

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "no difference shown", for B."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no difference shown"


def interval(people: Sequence[Counts], draws: int = DRAWS, seed: int = SEED) -> tuple[float, float] | None:
    """The 95 % interval of the pooled F1 when people are resampled with replacement (percentile bootstrap).

    None for fewer than two people, who say nothing about others.
    """
    if len(people) < 2:
        return None
    return _ends(_f1(_drawn(len(people), draws, seed) @ _table(people)))


def difference(
    a: Mapping[str, Counts], b: Mapping[str, Counts], draws: int = DRAWS, seed: int = SEED
) -> Difference | None:
    """The paired bootstrap: in every draw the same people for both. None when they share fewer than two."""
    names = sorted(a.keys() & b.keys())
    if len(names) < 2:
        return None
    first, second = (_table([counts[name] for name in names]) for counts in (a, b))
    drawn = _drawn(len(names), draws, seed)
    low, high = _ends(_f1(drawn @ second) - _f1(drawn @ first))
    return Difference(float(_f1(second.sum(axis=0)) - _f1(first.sum(axis=0))), low, high, len(names))


def _table(people: Sequence[Counts]) -> NDArray[np.float64]:
    return np.array([(c.hits, c.false_alarms, c.missed) for c in people], np.float64).reshape(-1, 3)


def _drawn(people: int, draws: int, seed: int) -> NDArray[np.float64]:
    """How often each draw contains each person: float64 (draws, people)."""
    random = np.random.default_rng(seed)
    return random.multinomial(people, np.full(people, 1 / people), size=draws).astype(np.float64)


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 from hits, false alarms and misses in the last axis."""
    total = 2 * counts[..., 0] + counts[..., 1] + counts[..., 2]
    return np.where(total > 0, 2 * counts[..., 0] / np.maximum(total, 1), 0.0)


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values, (tail, 100 - tail))
    return float(low), float(high)
