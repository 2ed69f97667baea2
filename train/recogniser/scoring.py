"""How good the shipped recogniser is, measured so that it cannot flatter itself.

Leave one subject out over own flow and maps together. Temperature and abstention threshold come from an inner split of
other subjects than the tested ones; the last step of training is taken. Controls: permuted labels, a left-out data
set, key frames that are not where the annotator put them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from realtime_mer.records import Floats
from train.calibration import fit_temperature
from train.evaluate import merged
from train.protocols import check, leave_one_dataset_out, loso
from train.recogniser.data import Motions
from train.recogniser.network import Fitting, FlowNet, fit
from train.records import THREE

# Parts into which the training subjects are split to fit the temperature: with few, the networks know so much less that
# they are less sure than the one that is tested, and the temperature comes out wrong.
INNER: Final = 10
OUTER: Final = 8  # groups of subjects that share a temperature and a threshold, which none of them had a part in
CONTROL: Final = 17  # groups in which the subjects of a control are left out: a quarter of the trainings
ANSWERED: Final = 0.85  # share of clips like those of the training that shall be answered
SUREST: Final = 0.5  # an answer that is as likely wrong as right is never given
_TEMPERATURES: Final = (0.2, 5.0)  # a fit outside is an accident of few samples


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What turns logits into answers: temperatures for own flow and for maps, and the abstention threshold."""

    temperature: float
    map_temperature: float
    abstain_below: float

    def probabilities(self, logits: NDArray[np.float64], own: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Calibrated, (N, classes)."""
        scale = np.where(own, self.temperature, self.map_temperature)
        result: NDArray[np.float64] = softmax(logits / scale[:, None], axis=1)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """Pooled over all folds, in the order of the samples: probabilities (N, classes), whether each was answered,
    and the logits before the temperature. others: logits of the other samples of the same clips that were asked for."""

    probabilities: NDArray[np.float64]
    answered: NDArray[np.bool_]
    logits: NDArray[np.float64]
    others: tuple[NDArray[np.float64], ...] = ()


def train(data: Motions, how: Fitting) -> FlowNet:
    """A network from these samples alone."""
    weights: Floats = np.where(data.own, 1.0, how.map_weight).astype(np.float32)
    return fit(data.views, data.y, weights, how)


def answer(net: FlowNet, data: Motions) -> NDArray[np.float64]:
    """Logits of the samples as annotated (their first view), (N, classes)."""
    return net.logits(np.ascontiguousarray(data.views[:, 0]))


def decide(data: Motions, how: Fitting) -> Decision:
    """Temperatures and threshold for a network that is trained on ``data``, from an inner split of its subjects."""
    groups = data.groups
    part = _parts(groups, INNER, how.seed)
    logits = np.zeros((len(data), len(THREE)))
    for k in range(INNER):
        held = part == k
        logits[held] = answer(train(data.take(~held), how), data.take(held))
    return calibrated(data, logits)


def calibrated(data: Motions, logits: NDArray[np.float64]) -> Decision:
    """Temperatures and threshold from logits of samples that their networks were not trained on."""
    temperatures = [
        float(np.clip(fit_temperature(data.y[kind], logits[kind]), *_TEMPERATURES)) if kind.any() else 1.0
        for kind in (data.own, ~data.own)
    ]
    whole = Decision(temperatures[0], temperatures[1], SUREST)
    kind = data.own if data.own.any() else ~data.own
    confidence = whole.probabilities(logits, data.own)[kind].max(axis=1)
    return Decision(*temperatures, max(SUREST, float(np.quantile(confidence, 1 - ANSWERED))))


def leave_one_subject_out(data: Motions, how: Fitting, others: Sequence[Motions] = ()) -> Tested:
    """Tests every sample once, by a network, temperature and threshold that never saw its subject.

    others: other samples of the same clips (e.g. other key frames), in the same order, answered by the same networks.
    """
    folds = loso(data.clips)
    check(folds, data.clips)
    asked = (data, *others)
    logits = [np.zeros((len(data), len(THREE))) for _ in asked]
    for fold in folds:
        net = train(data.take(list(fold.train)), how)
        where = list(fold.test)
        for found, samples in zip(logits, asked, strict=True):
            found[where] = answer(net, samples.take(where))
    probabilities = np.zeros((len(data), len(THREE)))
    answered = np.zeros(len(data), np.bool_)
    part = _parts(data.groups, OUTER, how.seed)
    for k in set(part):
        held = part == k
        decision = decide(data.take(~held), how)
        probabilities[held] = decision.probabilities(logits[0][held], data.own[held])
        answered[held] = probabilities[held].max(axis=1) >= decision.abstain_below
    return Tested(probabilities, answered, logits[0], tuple(logits[1:]))


def plain_loso(data: Motions, how: Fitting, groups: int = CONTROL) -> NDArray[np.float64]:
    """Logits of leave-subjects-out in ``groups`` groups, without temperature, for controls."""
    folds = merged(loso(data.clips), groups)
    check(folds, data.clips)
    logits = np.zeros((len(data), len(THREE)))
    for fold in folds:
        net = train(data.take(list(fold.train)), how)
        logits[list(fold.test)] = answer(net, data.take(list(fold.test)))
    return logits


def dataset_out(data: Motions, how: Fitting) -> NDArray[np.float64]:
    """Logits of every sample by a network that was trained on the other data sets only."""
    logits = np.zeros((len(data), len(THREE)))
    for fold in leave_one_dataset_out(data.clips):
        logits[list(fold.test)] = answer(train(data.take(list(fold.train)), how), data.take(list(fold.test)))
    return logits


def permuted(data: Motions, seed: int) -> Motions:
    """The labels shuffled within each data set: nothing is left to learn but the class counts."""
    random = np.random.default_rng(seed)
    members: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(data.clips):
        members[clip.dataset].append(i)
    y = data.y.copy()
    for positions in members.values():
        y[positions] = y[random.permutation(positions)]
    return Motions(data.views, y, data.clips, data.own)


def _parts(groups: NDArray[np.str_], count: int, seed: int) -> NDArray[np.int64]:
    """The part of each sample, by subject: the largest subjects first, each to the part with fewest samples."""
    names, which, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    part = np.zeros(len(names), np.int64)
    filled = np.zeros(count)
    for name in order:
        part[name] = filled.argmin()
        filled[part[name]] += counts[name]
    result: NDArray[np.int64] = part[which]
    return result
