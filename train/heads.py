"""Further answers of a model: the objective class and the action units of a movement, each from a linear head.

A head reads the output of the network's fixed first step and shares nothing else with the network: it learns from its
own clips, including those whose emotion has no class. It is a logistic regression (multinomial for the objective class,
one per action unit) on the mean of the face and its mirror image. Its scores leave one person out at a time, like the
network's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from realtime_mer.errors import DataError
from realtime_mer.recognize.spec import ACTION_UNITS, OBJECTIVE
from realtime_mer.recognize.spec import Head as HeadSpec
from train import gather, metrics
from train.calibration import SUREST
from train.evaluate import merged
from train.inputs import build
from train.models.coding import CodingHead, inputs
from train.models.flow_default import cell_means
from train.protocols import Fold, check, loso
from train.recipe import Head, Input
from train.records import MEGC2018, Clip
from train.runs import store

FILE: Final = "heads.json"
CERTAIN: Final = 10.0  # logit of a class that nobody, or everyone, shows
Truth = NDArray[np.int64]  # positions in the labels, (N,); for action units 0 or 1, (N, K)


@dataclass(frozen=True, slots=True, eq=False)
class HeadData:
    """Training data of a head. x: float32 (N, 2, CELLS, CELLS), as ``flow_default.cell_means``. y: see Truth."""

    plan: Head
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    x: NDArray[np.float32]
    y: Truth

    @property
    def groups(self) -> list[str]:
        return [clip.group for clip in self.clips]

    @property
    def each(self) -> bool:
        return self.plan.name == ACTION_UNITS

    def take(self, chosen: Sequence[int]) -> HeadData:
        """The clips at these positions, in order."""
        where = np.asarray(chosen, np.int64)
        return HeadData(self.plan, self.labels, tuple(self.clips[i] for i in chosen), self.x[where], self.y[where])


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """Answers of heads that did not know the person. probabilities: (N, K), rows as ``truth``."""

    name: str
    labels: tuple[str, ...]
    truth: Truth
    probabilities: NDArray[np.float64]
    groups: tuple[str, ...]

    @property
    def each(self) -> bool:
        return self.name == ACTION_UNITS

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name, "labels": list(self.labels), "truth": self.truth.tolist(),
            "probabilities": self.probabilities.tolist(), "groups": list(self.groups),
        }  # fmt: skip

    @staticmethod
    def from_plain(stored: dict[str, Any]) -> Tested:
        return Tested(
            stored["name"], tuple(stored["labels"]), np.array(stored["truth"], np.int64),
            np.array(stored["probabilities"], np.float64), tuple(stored["groups"]),
        )  # fmt: skip


def prepare(plan: Head, how: Input, data: Path, cache: Path | None, quiet: bool) -> HeadData:
    """Inputs and truth of every coded clip. how: of the recipe; only feature and size matter.

    Raises DataError when the data are missing, or too few clips are coded.
    """
    plain = Input(how.feature, how.size)
    clips = [clip for clip in gather.one(plan.data, data) if _coded(clip, plan.name)]
    clips = [clip for clip in clips if None not in (clip.onset, clip.apex)]
    if not clips:
        raise DataError(f"{plan.data} has no clips with onset, apex and {plan.name.replace('_', ' ')}")
    x, kept, _ = build(clips, plain, cache, quiet, cell_means)
    clips = [clips[i] for i in kept]
    if plan.name == OBJECTIVE:
        labels = tuple(label for label in MEGC2018 if any(clip.objective == label for clip in clips))
        y = np.array([labels.index(clip.objective) for clip in clips], np.int64)
        return HeadData(plan, labels, tuple(clips), x, y)
    counts = Counter(unit for clip in clips for unit in clip.units)
    units = sorted(unit for unit, count in counts.items() if plan.least <= count < len(clips))
    if not units:
        raise DataError(
            f"no action unit is coded in {plan.least} clips of {plan.data}, and absent from at least one: lower `least`"
        )
    y = np.array([[unit in clip.units for unit in units] for clip in clips], np.int64)
    return HeadData(plan, tuple(f"AU{unit}" for unit in units), tuple(clips), x, y)


def _coded(clip: Clip, name: str) -> bool:
    return clip.objective in MEGC2018 if name == OBJECTIVE else bool(clip.units)


def fit(taught: HeadData, chosen: Sequence[int]) -> CodingHead:
    """The head fitted on the clips at these positions. A class that none of them shows is never the answer; one that
    all show always is."""
    where = np.asarray(chosen, np.int64)
    x = inputs(torch.from_numpy(taught.x[where])).double().numpy()
    made = CodingHead(len(taught.labels), taught.each)
    if taught.each:
        for k, there in enumerate(taught.y[where].T):
            if len(np.unique(there)) < 2:
                made.bias[k] = CERTAIN if there.all() else -CERTAIN
            else:
                _put(made, [k], _regression(x, there, taught.plan))
    else:
        made.bias[:] = -CERTAIN
        present = np.unique(taught.y[where])
        if len(present) < 2:
            made.bias[int(present[0])] = CERTAIN
        else:
            _put(made, present.tolist(), _regression(x, taught.y[where], taught.plan))
    return made.eval()


def _regression(x: NDArray[np.float64], y: NDArray[np.int64], plan: Head) -> LogisticRegression:
    with threadpool_limits(1):  # too small for more threads
        return LogisticRegression(C=1 / plan.ridge, max_iter=1000).fit(x, y)


def _put(head: CodingHead, rows: list[int], found: LogisticRegression) -> None:
    """Sets the weights. A regression of two classes has a single row, for the second class against the first."""
    coefficients, biases = found.coef_, found.intercept_
    if len(rows) == 2:
        coefficients, biases = np.concatenate([0 * coefficients, coefficients]), np.concatenate([0 * biases, biases])
    head.weight[rows] = torch.tensor(coefficients, dtype=torch.float32)
    head.bias[rows] = torch.tensor(biases, dtype=torch.float32)


def test(taught: HeadData, folds: Sequence[Fold]) -> Tested:
    """Trains and tests fold by fold. Raises DataError as ``protocols.check`` and ``fit``."""
    check(folds, taught.clips)
    probabilities = np.zeros((len(taught.clips), len(taught.labels)))
    for fold in folds:
        with torch.inference_mode():
            answer = fit(taught, fold.train)(torch.from_numpy(taught.x[list(fold.test)]))
        probabilities[list(fold.test)] = answer.double().numpy()
    if not taught.each:
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return Tested(taught.plan.name, taught.labels, taught.y, probabilities, tuple(taught.groups))


def measure(plans: Sequence[HeadData], folder: Path, groups: int, fingerprint: str) -> list[Tested]:
    """Tests every head by leave-one-person-out (or in ``groups``); results are stored in ``folder``."""
    file = folder / FILE
    identity = [fingerprint, groups, *(sorted(clip.key for clip in taught.clips) for taught in plans)]
    if file.exists():
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["identity"] == identity:
            return [Tested.from_plain(one) for one in stored["heads"]]
    found = [test(taught, merged(loso(taught.clips), groups or len(taught.clips))) for taught in plans]
    store(file, {"identity": identity, "heads": [one.plain() for one in found]})
    return found


def measured(folder: Path) -> list[Tested]:
    """The results of ``measure`` for the run in ``folder``, if any."""
    file = folder / FILE
    if not file.exists():
        return []
    return [Tested.from_plain(one) for one in json.loads(file.read_text(encoding="utf-8"))["heads"]]


def spec(taught: HeadData, tested: Tested | None) -> HeadSpec:
    """The metadata of a head in the model's file."""
    who = f"{len(taught.clips)} clips of {len(set(taught.groups))} subjects of {taught.plan.data}"
    return HeadSpec(
        taught.plan.name, taught.labels, taught.each, 0.0 if taught.each else SUREST, who,
        {} if tested is None else scores(tested),
    )  # fmt: skip


def scores(tested: Tested) -> dict[str, dict[str, float]]:
    """Objective class: UF1 and UAR with intervals over people, and the share answered. Action units: the average
    precision of each and their mean, and that of chance (the share of clips that show the unit)."""
    if tested.each:
        rows = units(tested)
        found = {"AP": {"value": float(np.mean([row.precision for row in rows]))},
                 "AP of chance": {"value": float(np.mean([row.share for row in rows]))}}  # fmt: skip
        found |= {f"AP {row.unit}": {"value": row.precision} for row in rows}
    else:
        between = metrics.bootstrap(tested.truth, tested.probabilities, tested.groups, tested.labels)
        kept = ("value", "low", "high")
        found = {name: {key: getattr(between[name], key) for key in kept} for name in ("UF1", "UAR")}
        found["coverage"] = {"value": float((tested.probabilities.max(axis=1) >= SUREST).mean())}
    return {name: {key: round(value, 4) for key, value in values.items()} for name, values in found.items()}


@dataclass(frozen=True, slots=True)
class Unit:
    """The result for one action unit. clips: number that show it. share: their fraction, the average precision of
    chance. precision: average precision. low, high: 95 % over people. f1, always: F1 of calling it present at a
    probability of one half, and of always calling it present. brier, base: mean squared error of the probability, and
    of ``share`` for every clip."""

    unit: str
    clips: int
    share: float
    precision: float
    low: float
    high: float
    f1: float
    always: float
    brier: float
    base: float


def units(tested: Tested, repeats: int = 500, seed: int = 0) -> list[Unit]:
    """One row per unit, in the order of the labels."""
    names, which = np.unique(np.asarray(tested.groups), return_inverse=True)
    random = np.random.default_rng(seed)
    drawn = [random.integers(len(names), size=len(names)) for _ in range(repeats)]
    members = [np.flatnonzero(which == k) for k in range(len(names))]
    rows = []
    for k, unit in enumerate(tested.labels):
        y, p = tested.truth[:, k], tested.probabilities[:, k]
        draws = [np.concatenate([members[person] for person in people]) for people in drawn]
        between = [average_precision_score(y[d], p[d]) for d in draws if y[d].any()]
        sure, share = p >= SUREST, float(y.mean())
        hits = int((sure & (y == 1)).sum())
        low, high = np.quantile(between, (0.025, 0.975)).tolist()
        rows.append(Unit(
            unit, int(y.sum()), share, float(average_precision_score(y, p)), low, high,
            2 * hits / max(int(sure.sum() + y.sum()), 1), 2 * share / (1 + share), float(((p - y) ** 2).mean()),
            share * (1 - share),
        ))  # fmt: skip
    return rows
