"""Can the probabilities be trusted: calibration errors, temperature, and what abstaining buys.

Works on pooled test probabilities; the temperature must be fitted on other data (``inner_validation``), never on those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from realtime_mer.errors import DataError

BINS: Final = 15  # as Guo et al., "On Calibration of Modern Neural Networks", ICML 2017
_SMALLEST: Final = 1e-12  # a probability of 0 for the truth costs a finite log loss
_SUM_ERROR: Final = 1e-3  # float16 softmax outputs sum to 1 within this
_TEMPERATURES: Final = (0.05, 20.0)  # range searched


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
    """One bar of a reliability diagram: mean confidence, accuracy and number of the samples with such a confidence."""

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


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
    """The temperature T > 0 that minimises the log loss of softmax(logits / T) (Guo et al. 2017)."""
    z = np.asarray(logits, float)
    t, _ = checked(truth, np.exp(log_softmax(z, axis=-1)))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(z / np.exp(log_temperature), axis=1)[np.arange(len(t)), t].mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4}).x))


def coverage_risk(truth: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """What abstaining buys, float64 (M, 3): coverage, risk (share of errors among those answered), threshold.

    Rows from the most confident sample down to all samples answered; samples of equal confidence come together, for a
    threshold cannot separate them. Answer when the top probability is at least the threshold.
    """
    t, p = checked(truth, probabilities)
    order = np.argsort(-p.max(1), kind="stable")
    confidence = p.max(1)[order]
    wrong = np.cumsum((p.argmax(1) != t)[order])
    answered = np.arange(1, len(t) + 1)
    last = np.append(confidence[1:] != confidence[:-1], True)  # last of each run of equal confidence
    return np.stack([answered / len(t), wrong / answered, confidence], axis=1)[last]


def checked(truth: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The two as arrays, or DataError when shapes, classes or sums are wrong, or something is not finite."""
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
