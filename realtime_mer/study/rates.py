"""Uncertainty of rates: exact bounds of a count over a length of time. No I/O here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

LEVEL: Final = 0.95


def poisson_interval(count: int, length: float, level: float = LEVEL) -> tuple[float, float]:
    """The two-sided exact interval of a rate (Garwood 1936): ``poisson_bounds`` with half of the remainder on each
    side."""
    return poisson_bounds(count, length, (1 + level) / 2)


def poisson_bounds(count: int, length: float, level: float = LEVEL) -> tuple[float, float]:
    """The lowest and the highest rate compatible with ``count`` events in ``length``; each bound holds at ``level``
    (one-sided; Garwood 1936, exact). 3 minutes without an event: 0 and 1.0 per minute. Without length: 0, inf.
    """
    if length <= 0:
        return 0.0, math.inf
    rest = 1 - level
    high = _solve(lambda mean: _at_most(count, mean) - rest, count)
    low = _solve(lambda mean: _at_most(count - 1, mean) - level, count) if count else 0.0
    return low / length, high / length


def _at_most(count: int, mean: float) -> float:
    """The probability of at most ``count`` events when ``mean`` are expected."""
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


def _solve(falling: Callable[[float], float], count: int) -> float:
    """The zero of a decreasing function of the mean, by bisection."""
    low, high = 1e-9, count + 10 * math.sqrt(count + 1) + 10
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
