"""Temperature and abstention threshold, always from people on whom the network was not trained.

For the scores they are nested: the tested people are divided into groups, and the answers for a group use the values
from an inner split of all other people. For the model fitted on everyone they come from the pooled answers of the
evaluation, each given by a network that did not know the person.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_mer.progress import bar
from train.calibration import Calibrated, decide, is_answered
from train.recipe import Calibrate
from train.runs import store

# (positions to train on, positions to answer) -> logits (N, K) of the second.
Answer = Callable[[Sequence[int], Sequence[int]], NDArray[np.floating[Any]]]
# The same for the probability (N,) that nothing moves.
Nothing = Callable[[Sequence[int], Sequence[int]], NDArray[np.float64]]


def nested(
    how: Calibrate, y: NDArray[np.int64], groups: Sequence[str], main: NDArray[np.bool_],
    logits: NDArray[np.floating[Any]], answer: Answer, seed: int, folder: Path, quiet: bool = False,
    none: NDArray[np.float64] | None = None, nothing: Nothing | None = None,
) -> Calibrated:  # fmt: skip
    """The tested samples' probabilities with temperatures and thresholds from other people.

    logits: of every sample, by a network that did not know its group. folder: for finished inner trainings. none,
    nothing: for models with the answer "none", its probability (N,) by a gate that did not know the sample's group, and
    a function that learns it from some people for others.
    """
    outer = parts(groups, how.outer, seed)
    numbers = sorted(set(outer.tolist()))
    probabilities = np.zeros(logits.shape)
    answered, decided = np.zeros(len(y), np.bool_), np.zeros((len(y), 2))
    none = np.zeros(len(y)) if none is None else none
    with bar(len(numbers) * how.inner, "calibration", "trainings", quiet=quiet) as shown:
        for k in numbers:
            known, held = np.flatnonzero(outer != k), outer == k
            inner = parts(np.asarray(groups)[known].tolist(), how.inner, seed)
            found, still = np.zeros((len(known), logits.shape[1])), np.zeros(len(known))
            for j in sorted(set(inner.tolist())):
                file, ours = folder / f"{k:03d}-{j:03d}.json", inner == j
                if not file.exists():
                    store(file, {"logits": answer(known[~ours].tolist(), known[ours].tolist()).tolist()})
                found[ours] = json.loads(file.read_text(encoding="utf-8"))["logits"]
                if nothing is not None:
                    still[ours] = nothing(known[~ours].tolist(), known[ours].tolist())
                shown.advance()
            decision = decide(y[known], found, main[known], how.answered, still, how.least)
            probabilities[held] = decision.probabilities(logits[held], main[held])
            answered[held] = is_answered(probabilities[held], none[held], decision.abstain_below)
            decided[held] = decision.temperature, decision.abstain_below
    return Calibrated(probabilities, answered, decided)


def parts(groups: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """The part of each sample, (N,), by subject: subjects in descending size, each to the part with the fewest
    samples."""
    names, which, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    part = np.zeros(len(names), np.int64)
    filled = np.zeros(count)
    for name in order:
        part[name] = filled.argmin()
        filled[part[name]] += counts[name]
    result: NDArray[np.int64] = part[which]
    return result
