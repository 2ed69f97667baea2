"""Recognition scores, computed once on the predictions pooled over all folds, with a fixed class list.

Everything comes from one confusion matrix, so a recall (and UAR, their mean) cannot exceed 1. ``render`` always adds
the class counts and the trivial predictors. Intervals resample people, not clips, because clips of one face are not
independent. Probabilities are scored in ``train.calibration``, spotting in ``realtime_mer.spotting.scores``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realtime_mer.errors import DataError
from realtime_mer.tables import plain
from train.calibration import Bin, Calibration, calibration, coverage_risk, fit_temperature, reliability

__all__ = [
    "Bin",
    "Calibration",
    "Interval",
    "Scores",
    "bootstrap",
    "calibration",
    "compare",
    "coverage_risk",
    "fit_temperature",
    "megc2018_average",
    "reliability",
    "render",
    "score",
    "trivial",
]

REPEATS: Final = 2000  # bootstrap samples; the ends of a 95 % interval then vary by about 0.002 between seeds
LEVEL: Final = 0.95
_CHUNK: Final = 500  # bootstrap samples at a time, to limit memory
NAMES: Final = ("WAR", "UF1", "UAR", "weighted F1")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of one confusion matrix: (K, K), rows are the truth, columns the prediction, in the order of ``labels``.

    Means over classes run over the classes that occur in the truth.
    """

    labels: tuple[str, ...]
    confusion: NDArray[np.float64]

    def __post_init__(self) -> None:
        c = np.asarray(self.confusion, float)
        if c.shape != (len(self.labels),) * 2 or not np.isfinite(c).all() or (c < 0).any() or not c.sum():
            raise DataError(
                f"a confusion matrix of {len(self.labels)} classes must be square, of integer counts, and not empty"
            )
        object.__setattr__(self, "confusion", c)

    @property
    def counts(self) -> NDArray[np.float64]:
        """Samples of each class, (K,)."""
        return np.asarray(self.confusion.sum(1))

    @property
    def accuracy(self) -> float:
        """Share of correct answers, also called WAR."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def recall(self) -> NDArray[np.float64]:
        """TP / (TP + FN) of each class, (K,); nan for a class that does not occur."""
        return _ratio(np.diagonal(self.confusion), self.counts)

    @property
    def precision(self) -> NDArray[np.float64]:
        """TP / (TP + FP) of each class, (K,); nan for a class that was never predicted."""
        return _ratio(np.diagonal(self.confusion), self.confusion.sum(0))

    @property
    def f1(self) -> NDArray[np.float64]:
        """2 TP / (2 TP + FP + FN) of each class, (K,); nan for a class that neither occurs nor was predicted."""
        return _ratio(2 * np.diagonal(self.confusion), self.confusion.sum(0) + self.counts)

    @property
    def uar(self) -> float:
        """Unweighted average recall (MEGC2019)."""
        return self["UAR"]

    @property
    def uf1(self) -> float:
        """Unweighted F1, macro-F1 (MEGC2019)."""
        return self["UF1"]

    @property
    def weighted_f1(self) -> float:
        """F1 weighted by class counts (MEGC2018)."""
        return self["weighted F1"]

    def __getitem__(self, name: str) -> float:
        """A score by its name in ``NAMES``."""
        return float(_statistics(self.confusion[None])[0, NAMES.index(name)])


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval. p: for a difference, the two-sided bootstrap p-value of no difference."""

    value: float
    low: float
    high: float
    p: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]" + ("" if self.p is None else f" p={self.p:.3f}")


def score(truth: ArrayLike, predicted: ArrayLike, labels: Sequence[str]) -> Scores:
    """Scores of pooled predictions. truth: positions in ``labels``, (N,). predicted: the same, or (N, K) probabilities.

    DataError when a position is outside the labels, lengths differ or a value is not finite.
    """
    t, p = _positions(truth, len(labels)), _positions(predicted, len(labels))
    if t.shape != p.shape:
        raise DataError(f"{len(t)} true labels but {len(p)} predictions")
    return Scores(tuple(labels), _confusions(t, p, np.zeros(len(t), int), 1, len(labels))[0])


def trivial(truth: ArrayLike, labels: Sequence[str]) -> dict[str, Scores]:
    """Trivial predictors: "majority" always answers the most common class; "chance" answers uniformly at random (scores
    of the expected confusion matrix)."""
    k = len(labels)
    counts = np.bincount(_positions(truth, k), minlength=k).astype(float)
    always = np.zeros((k, k))
    always[:, counts.argmax()] = counts
    return {
        "majority": Scores(tuple(labels), always),
        "chance": Scores(tuple(labels), np.repeat(counts[:, None] / k, k, axis=1)),
    }


def megc2018_average(folds: Sequence[Scores]) -> dict[str, float]:
    """Hold-out score of MEGC2018: WAR and UAR as plain means over the two folds."""
    return {name: float(np.mean([fold[name] for fold in folds])) for name in ("WAR", "UAR")}


def bootstrap(
    truth: ArrayLike,
    predicted: ArrayLike,
    groups: Sequence[str],
    labels: Sequence[str],
    repeats: int = REPEATS,
    seed: int = 0,
) -> dict[str, Interval]:
    """95 % percentile intervals of every score of ``NAMES``, by resampling people with replacement.

    groups: the person in each sample (``Clip.group``). A class missing from a resample is left out of its means.
    """
    parts = _by_group(truth, predicted, groups, labels)
    draws = np.concatenate([_statistics(_mix(w, parts)) for w in _weights(len(parts), repeats, seed)])
    return _intervals(_statistics(parts.sum(0)[None])[0], draws, False)


def compare(
    truth: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: Sequence[str],
    labels: Sequence[str],
    repeats: int = REPEATS,
    seed: int = 0,
) -> dict[str, Interval]:
    """Second minus first for every score, on the same samples, with intervals by paired resampling of people."""
    a, b = _by_group(truth, first, groups, labels), _by_group(truth, second, groups, labels)
    draws = np.concatenate([_statistics(_mix(w, b)) - _statistics(_mix(w, a)) for w in _weights(len(a), repeats, seed)])
    value = _statistics(b.sum(0)[None])[0] - _statistics(a.sum(0)[None])[0]
    return _intervals(value, draws, True)


def render(scores: Scores, intervals: dict[str, Interval] | None = None, draw: Callable[..., str] = plain) -> str:
    """The scores as text, with the class counts and the trivial predictors. draw: a function of ``tables``."""
    truth = np.repeat(np.arange(len(scores.labels)), scores.counts.round().astype(int))
    base = trivial(truth, scores.labels)
    columns = ["", "score", "majority", "chance", *(["95 % interval"] if intervals else [])]
    rows = []
    for name in NAMES:
        row = [name, *(f"{value:.3f}" for value in (scores[name], base["majority"][name], base["chance"][name]))]
        rows.append([*row, f"{intervals[name].low:.3f} to {intervals[name].high:.3f}"] if intervals else row)
    first = draw(columns, rows)
    columns = ["class", "count", "precision", "recall", "F1", *(f"as {label}" for label in scores.labels)]
    rows = []
    for i, label in enumerate(scores.labels):
        values = ("-" if np.isnan(x[i]) else f"{x[i]:.3f}" for x in (scores.precision, scores.recall, scores.f1))
        rows.append([label, f"{scores.counts[i]:.0f}", *values, *(f"{n:.0f}" for n in scores.confusion[i])])
    rows.append(["all", f"{scores.confusion.sum():.0f}", *[""] * (3 + len(scores.labels))])
    return f"{first}\n\n{draw(columns, rows)}"


def _positions(values: ArrayLike, classes: int) -> NDArray[np.int64]:
    v = np.asarray(values)
    if v.ndim == 2:
        if v.shape[1] != classes or not np.isfinite(v).all():
            raise DataError(f"probabilities must be finite and have {classes} columns, got shape {v.shape}")
        v = v.argmax(1)
    if v.ndim != 1 or not len(v) or not np.issubdtype(v.dtype, np.integer) or v.min() < 0 or v.max() >= classes:
        raise DataError(f"there must be labels, as positions from 0 to {classes - 1}")
    return v.astype(np.int64)


def _confusions(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], group: NDArray[np.int64], groups: int, k: int
) -> NDArray[np.float64]:
    """One confusion matrix per group, (G, K, K)."""
    flat = (group * k + truth) * k + predicted
    return np.bincount(flat, minlength=groups * k * k).reshape(groups, k, k).astype(float)


def _by_group(
    truth: ArrayLike, predicted: ArrayLike, groups: Sequence[str], labels: Sequence[str]
) -> NDArray[np.float64]:
    t, p = _positions(truth, len(labels)), _positions(predicted, len(labels))
    if not len(t) == len(p) == len(groups):
        raise DataError(f"{len(t)} true labels, {len(p)} predictions and {len(groups)} groups do not match")
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    return _confusions(t, p, which.astype(np.int64), len(names), len(labels))


def _weights(groups: int, repeats: int, seed: int) -> list[NDArray[np.int64]]:
    """How often each resample draws each group, (repeats, groups), in chunks."""
    random = np.random.default_rng(seed)
    return [
        random.multinomial(groups, np.full(groups, 1 / groups), size=min(_CHUNK, repeats - start))
        for start in range(0, repeats, _CHUNK)
    ]


def _mix(weights: NDArray[np.int64], parts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.tensordot(weights.astype(float), parts, axes=1)


def _statistics(confusions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every score of ``NAMES``, (B, 4), of the matrices (B, K, K)."""
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    counts, answers = confusions.sum(2), confusions.sum(1)
    occurs = counts > 0
    recall = np.where(occurs, _ratio(hits, counts), 0)
    f1 = np.where(occurs, _ratio(2 * hits, counts + answers), 0)
    classes, total = occurs.sum(1), counts.sum(1)
    return np.stack(
        [hits.sum(1) / total, f1.sum(1) / classes, recall.sum(1) / classes, (f1 * counts).sum(1) / total], axis=1
    )


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0))


def _intervals(value: NDArray[np.float64], draws: NDArray[np.float64], difference: bool) -> dict[str, Interval]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    # Ties count on both sides, so that two equal runs get p = 1.
    p = np.minimum(1, 2 * np.minimum((draws <= 0).mean(0), (draws >= 0).mean(0)))
    return {
        name: Interval(float(value[i]), float(low[i]), float(high[i]), float(p[i]) if difference else None)
        for i, name in enumerate(NAMES)
    }
