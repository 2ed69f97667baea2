"""Learns from still pairs when to answer "none", and measures how often they are answered with a class.

The gate (``models.none``) is fitted separately, after the network, and does not change how the classes are learned.
Movement and stillness have equal weight, and so has every recording of each kind. Public maps have no length in px, so
they are not used and never answered with "none".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from realtime_mer.errors import DataError
from train.calibration import is_answered
from train.inputs import Prepared
from train.metrics import score
from train.models.none import Gate, measures
from train.recipe import Still
from train.runs import Run, softmax
from train.still import Pairs


def gate(data: Prepared, clips: Sequence[int], how: Still) -> Gate:
    """The gate fitted on the recordings at these positions. Raises DataError when they give no pairs."""
    pairs = taught(data)
    chosen = pairs.of(clips)
    still, who = pairs.still[chosen], pairs.clips[chosen]
    if len(np.unique(still)) < 2:
        raise DataError("the answer 'none' is learned from recordings with onset and apex: the recipe's data have none")
    x = measures(torch.from_numpy(pairs.cells[chosen])).double().numpy()
    weight = np.zeros(len(chosen))
    for kind in (False, True):
        _, which, counts = np.unique(who[still == kind], return_inverse=True, return_counts=True)
        weight[still == kind] = 1 / counts[which] / len(counts)
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    # the total weight is the number of recordings, so that a ridge means the same for any number of them
    weight *= len(np.unique(who)) / 2
    with threadpool_limits(1):  # too small for more threads
        found = LogisticRegression(C=1 / how.ridge, max_iter=1000).fit((x - middle) / spread, still, weight)
    made = Gate()
    made.weight = torch.tensor(found.coef_[0] / spread, dtype=torch.float32)
    made.bias = torch.tensor(found.intercept_[0] - (found.coef_[0] / spread) @ middle, dtype=torch.float32)
    return made


def probability(gate: Gate, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability that nothing moves, (N,), for samples (N, ...)."""
    with torch.inference_mode():
        found: NDArray[np.float64] = torch.sigmoid(gate(torch.from_numpy(np.ascontiguousarray(x))).double()).numpy()
    return found


def of_samples(gate: Gate, data: Prepared, positions: Sequence[int]) -> NDArray[np.float64]:
    """As ``probability``, for the samples at these positions; 0 for those that are not recordings."""
    where = np.asarray(positions, np.int64)
    return np.where(data.own[where], probability(gate, data.samples.x[where]), 0.0)


def taught(data: Prepared) -> Pairs:
    if data.pairs is None:
        raise DataError("no still pairs were made: the recipe has no [none]")
    return data.pairs


@dataclass(frozen=True, slots=True)
class Row:
    """How the pairs of one kind are answered. still: whether nothing moves in them. answered, none: shares answered
    with a class, and with "none" the most probable. uf1: of the movements answered."""

    kind: str
    still: bool
    count: int
    answered: float
    none: float
    uf1: float | None


def rows(run: Run) -> list[Row]:
    """The pairs of the tested clips by kind, answered with temperature and threshold from other people; empty without
    pairs or calibration."""
    if run.pairs is None or run.calibrated is None:
        return []
    pairs, where = run.pairs, {key: i for i, key in enumerate(run.keys)}
    clip = np.array([where[key] for key in pairs.keys])
    temperature, below = run.calibrated.decided[clip].T
    probabilities = softmax(pairs.logits / temperature[:, None])
    answered = is_answered(probabilities, pairs.none, below)
    none = pairs.none > (1 - pairs.none) * probabilities.max(axis=1)
    kinds = np.array(pairs.kinds)
    found = []
    for kind in dict.fromkeys(pairs.kinds):
        here = kinds == kind
        still, kept = bool(pairs.still[here].all()), here & answered
        uf1 = None
        if not still and kept.any():
            uf1 = score(run.truth[clip[kept]], probabilities[kept], run.labels).uf1
        found.append(Row(kind, still, int(here.sum()), float(answered[here].mean()), float(none[here].mean()), uf1))
    return sorted(found, key=lambda row: (not row.still, row.kind))
