"""Calibration error, temperature, and the gain from abstaining.

Works on pooled test probabilities; the temperature must be fitted on other people (``train.nested``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from realtime_mer.errors import DataError

BINS: Final = 15  # as Guo et al., "On Calibration of Modern Neural Networks", ICML 2017
_SMALLEST: Final = 1e-12  # a probability of 0 for the truth costs a finite log loss
_SUM_ERROR: Final = 1e-3  # float16 softmax outputs sum to 1 within this
_TEMPERATURES: Final = (0.05, 20.0)  # search range
_BELIEVED: Final = (0.2, 5.0)  # a temperature outside it comes from too few samples
SUREST: Final = 0.5  # an answer that is as likely wrong as right is never given out


@dataclass(frozen=True, slots=True)
class Calibration:
    """nll: nats. brier: sum over classes of squared error, 0 to 2. ece: 15 equal-width bins. ece_adaptive: 15 bins
    of equal count. Lower is better for all."""

    nll: float
    brier: float
    ece: float
    ece_adaptive: float


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a reliability diagram: mean confidence, accuracy and number of its samples."""

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Turns logits into answers. temperature: for the samples that the model is made for; map_temperature: for public
    maps."""

    temperature: float
    map_temperature: float
    abstain_below: float

    def probabilities(self, logits: NDArray[np.floating[Any]], main: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Calibrated probabilities, (N, K). main: which samples are of the kind that the model is made for."""
        scale = np.where(main, self.temperature, self.map_temperature)
        result: NDArray[np.float64] = softmax(logits / scale[:, None], axis=1)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """In the order of the samples: probabilities (N, K) of the classes, given that something moves; whether each was
    answered; and the temperature and threshold used, (N, 2). Nobody of a sample's own group had a part in either."""

    probabilities: NDArray[np.float64]
    answered: NDArray[np.bool_]
    decided: NDArray[np.float64]


def calibration(truth: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> Calibration:
    """truth: class positions (N,). probabilities: (N, K), rows sum to 1. DataError otherwise."""
    t, p = checked(truth, probabilities)
    chosen = np.maximum(p[np.arange(len(t)), t], _SMALLEST)
    one_hot = np.eye(p.shape[1])[t]
    return Calibration(
        nll=float(-np.log(chosen).mean()),
        brier=float(((p - one_hot) ** 2).sum(1).mean()),
        ece=_error(reliability(t, p, bins)),
        ece_adaptive=_error(reliability(t, p, bins, adaptive=True)),
    )


def perfect_ece(
    probabilities: NDArray[np.float64], bins: int = BINS, repeats: int = 200, seed: int = 0
) -> NDArray[np.float64]:
    """ECE of perfectly calibrated models with these probabilities, (repeats,). Their truths are drawn from the
    probabilities."""
    random = np.random.default_rng(seed)
    steps = probabilities.cumsum(axis=1)[:, :-1]
    draws = [(random.random((len(probabilities), 1)) > steps).sum(axis=1) for _ in range(repeats)]
    return np.array([calibration(truth, probabilities, bins).ece for truth in draws])


def reliability(truth: ArrayLike, probabilities: ArrayLike, bins: int = BINS, adaptive: bool = False) -> list[Bin]:
    """The reliability diagram of the top class; empty bins are left out. adaptive: bins of equal count."""
    t, p = checked(truth, probabilities)
    confidence, correct = p.max(1), p.argmax(1) == t
    if adaptive:
        members = np.array_split(np.argsort(confidence, kind="stable"), min(bins, len(t)))
        return [
            _bin(float(confidence[m].min()), float(confidence[m].max()), confidence[m], correct[m]) for m in members
        ]
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [
        _bin(k / bins, (k + 1) / bins, confidence[which == k], correct[which == k])
        for k in range(bins)
        if (which == k).any()
    ]


def fit_temperature(truth: ArrayLike, logits: ArrayLike) -> float:
    """The temperature T > 0 that minimizes the log loss of softmax(logits / T) (Guo et al. 2017)."""
    z = np.asarray(logits, float)
    t, _ = checked(truth, np.exp(log_softmax(z, axis=-1)))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(z / np.exp(log_temperature), axis=1)[np.arange(len(t)), t].mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4}).x))


def decide(
    y: NDArray[np.int64], logits: NDArray[np.floating[Any]], main: NDArray[np.bool_], answered: float,
    none: NDArray[np.float64] | None = None, least: float = SUREST,
) -> Decision:  # fmt: skip
    """Chooses temperature and threshold from answers of networks that were not trained on these samples. answered:
    share of samples to be answered. none: probability (N,) that nothing moves, for models with that answer. least:
    lower bound of the threshold."""
    first, second = (
        float(np.clip(fit_temperature(y[kind], logits[kind]), *_BELIEVED)) if kind.any() else 1.0
        for kind in (main, ~main)
    )
    some = np.ones(int(main.sum())) if none is None else 1 - none[main]
    confidence = some * Decision(first, second, SUREST).probabilities(logits, main)[main].max(axis=1)
    return Decision(first, second, max(least, float(np.quantile(confidence, 1 - answered))))


def is_answered(
    probabilities: NDArray[np.float64], none: NDArray[np.float64] | float, below: NDArray[np.float64] | float
) -> NDArray[np.bool_]:
    """Whether each sample is answered, (N,), as ``realtime_mer.recognize.predict`` decides: the largest probability is
    that of a class and at least ``below``. probabilities: (N, K), of the classes where something moves."""
    best = (1 - none) * probabilities.max(axis=1)
    answered: NDArray[np.bool_] = (best >= below) & (best >= none)
    return answered


def coverage_risk(truth: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Coverage against risk, float64 (M, 3): coverage, risk (share of errors among those answered), threshold.

    Rows go from the most confident sample to all samples answered; samples of equal confidence share a row, because a
    threshold cannot separate them. An answer is given when the top probability is at least the threshold.
    """
    t, p = checked(truth, probabilities)
    order = np.argsort(-p.max(1), kind="stable")
    confidence = p.max(1)[order]
    wrong = np.cumsum((p.argmax(1) != t)[order])
    answered = np.arange(1, len(t) + 1)
    last = np.append(confidence[1:] != confidence[:-1], True)  # last of each run of equal confidence
    return np.stack([answered / len(t), wrong / answered, confidence], axis=1)[last]


def checked(truth: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Both as arrays. Raises DataError when shapes, classes or sums are wrong, or a value is not finite."""
    p = np.asarray(probabilities, float)
    t = np.asarray(truth)
    if p.ndim != 2 or t.shape != p.shape[:1] or not len(t):
        raise DataError(f"probabilities must be (samples, classes) with one truth each: got {p.shape} and {t.shape}")
    if not np.isfinite(p).all() or (p < 0).any() or (abs(p.sum(1) - 1) > _SUM_ERROR).any():
        raise DataError("probabilities must be finite, not negative and sum to 1 in every row")
    if not np.issubdtype(t.dtype, np.integer) or t.min() < 0 or t.max() >= p.shape[1]:
        raise DataError(f"truth must be class positions from 0 to {p.shape[1] - 1}")
    return t.astype(np.int64), p


def _bin(low: float, high: float, confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> Bin:
    return Bin(low, high, float(confidence.mean()), float(correct.mean()), len(confidence))


def _error(bins: list[Bin]) -> float:
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.accuracy - b.confidence) for b in bins) / total
