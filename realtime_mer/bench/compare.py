"""Compares two stored results: is a difference larger than the noise of each? Measures nothing itself.

Samples of one run are not independent (a busy second slows a hundred frames), so whole blocks of neighboring samples
are resampled: the moving-block bootstrap (Kuensch 1989).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.bench.results import Result, Series
from realtime_mer.tables import table

DRAWS: Final = 400  # of the bootstrap; the interval's ends are then accurate to a tenth of its width
CONFIDENCE: Final = 95.0  # percent
MOST: Final = 20_000  # samples used of a series; for longer ones, evenly spaced blocks are enough
HIGHER_IS_BETTER: Final = ("frames/s",)
FEWEST: Final = 5  # samples needed for a statement about noise


@dataclass(frozen=True, slots=True)
class Difference:
    """One series that is in both results. change: of the median from A to B, in percent; low, high: its 95 % interval.

    noise: median absolute deviation of each, in percent of its median.
    """

    name: str
    unit: str
    medians: tuple[float, float]
    noise: tuple[float, float]
    change: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "no difference shown", for B."""
        if not (self.low > 0 or self.high < 0):
            return "no difference shown"
        return "better" if (self.change > 0) == (self.unit in HIGHER_IS_BETTER) else "worse"


def compare(a: Result, b: Result, seed: int = 0) -> list[Difference]:
    """The series in both results, in A's order."""
    others = {series.name: series for series in b.series}
    random = np.random.default_rng(seed)
    return [
        _difference(series, others[series.name], random)
        for series in a.series
        if series.name in others and series.samples and others[series.name].samples
    ]


def text(a: Result, b: Result, differences: list[Difference]) -> str:
    """The comparison as a printed table, with a warning if the two were not measured alike."""
    lines = [
        f"{name}: {r.kind}, {r.created}, {r.machine['cpu']}, {r.machine['cores']} cores, load {r.machine['load']:.1f}"
        for name, r in (("A", a), ("B", b))
    ]
    for what, first, second in (
        ("machine", a.machine["cpu"], b.machine["cpu"]),
        ("settings", a.settings, b.settings),
        ("versions", a.versions, b.versions),
    ):
        if first != second:
            lines.append(f"warning: the {what} differ")
    rows = [
        (
            d.name, f"{d.medians[0]:.3f} ±{d.noise[0]:.0f} %", f"{d.medians[1]:.3f} ±{d.noise[1]:.0f} %", d.unit,
            f"{d.change:+.1f} %", f"[{d.low:+.1f}, {d.high:+.1f}]", d.verdict,
        )
        for d in differences
    ]  # fmt: skip
    columns = ("series", "A, median", "B, median", "unit", "change", "95 %", "B is")
    found = table(columns, rows, left=(0, 3, 6)) if rows else "the two results have no series in common"
    return "\n".join([*lines, found])


def _difference(a: Series, b: Series, random: np.random.Generator) -> Difference:
    first, second = np.asarray(a.samples), np.asarray(b.samples)
    before, after = float(np.median(first)), float(np.median(second))
    scale = 100 / abs(before) if before else float("nan")
    low, high = float("-inf"), float("inf")
    if min(len(first), len(second)) >= FEWEST:
        drawn = _medians(second, random) - _medians(first, random)
        tail = (100 - CONFIDENCE) / 2
        low, high = (float(v) for v in np.percentile(drawn * scale, (tail, 100 - tail)))
    noise = _noise(first), _noise(second)
    return Difference(a.name, a.unit, (before, after), noise, (after - before) * scale, low, high)


def _noise(samples: NDArray[np.float64]) -> float:
    median = float(np.median(samples))
    return 100 * float(np.median(np.abs(samples - median))) / abs(median) if median else float("nan")


def _medians(samples: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Medians of DRAWS resamples, with blocks as long as the square root of the series' length."""
    samples = samples[:: max(1, len(samples) // MOST)]
    block = max(1, int(np.sqrt(len(samples)))) if len(samples) > 30 else 1
    starts = random.integers(0, len(samples) - block + 1, (DRAWS, -(-len(samples) // block)))
    return np.array([np.median(samples[(row[:, None] + np.arange(block)).ravel()]) for row in starts])
