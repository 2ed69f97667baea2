"""What a change of the file does on real clips: networks trained by subject, each tested on people it never saw.

A quick training of CASME II motion, three classes, LOSO subjects merged into a few folds: enough to give weights that
react to real input as trained weights do, and a UF1 before and after. It is not the recognizer that is shipped, and
its UF1 is not a result about recognition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from realtime_mer.recognize.spec import ModelSpec
from train import checkpoint, models
from train.evaluate import merged
from train.fit import fit
from train.gather import gather
from train.inputs import Prepared, prepare
from train.metrics import Interval, compare, score
from train.models import weights
from train.protocols import loso
from train.recipe import Data, Input, Stage
from train.records import THREE

FOLDS = 5
EPOCHS = 10
STAGES = (Stage(epochs=EPOCHS, rate=1e-3, weight_decay=1e-4, every=4, factor=0.3, augment=("flip-motion",)),)
Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Trained:
    """One fold: the network, its training samples (for calibration) and the samples of people it never saw."""

    module: nn.Module
    spec: ModelSpec
    train: NDArray[np.float32]
    test: NDArray[np.float32]
    truth: NDArray[np.int64]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Pooled over the folds. uf1: by back end. change: UF1 against torch with its interval by subject bootstrap."""

    uf1: dict[str, float]
    change: dict[str, Interval]
    agreement: dict[str, float]
    difference: dict[str, float]


def casme2(root: Path, size: int, cache: Path) -> Prepared:
    """The clips of CASME II below ``root`` as the runtime's motion feature, resized to ``size`` px."""
    clips = gather(Data("casme2"), root)
    return prepare(clips, THREE, "3", Input("flow-uvs/1", size), cache, quiet=True)


def trained(name: str, root: Path, size: int, cache: Path) -> list[Trained]:
    """The network ``name`` trained on each fold, from ImageNet weights where they are on this machine.

    What was trained before with the same settings is taken from ``cache``.
    """
    data = casme2(root, size, cache)
    start = weights.available(name)
    spec = ModelSpec(name, "benchmark", THREE, "flow-uvs/1", (3, size, size))
    found = []
    for number, fold in enumerate(merged(loso(data.clips), FOLDS)):
        file = cache / f"{name}-{size}-{EPOCHS}-{'imagenet' if start else 'random'}-{number}.pt"
        seen, held = data.samples.take(fold.train), data.samples.take(fold.test)
        if file.exists():
            module, _ = checkpoint.load(file)
        else:
            torch.manual_seed(0)
            options: dict[str, Any] = {"feature": "flow-uvs/1", "size": size}
            module = models.create(name, len(THREE), weights="imagenet" if start else "none", **options)
            fit(module, seen, STAGES, classes=len(THREE), seed=0)
            checkpoint.save(file, name, options, module.state_dict(), spec)
        found.append(Trained(module.eval(), spec, seen.x, held.x, held.y, held.groups))
    return found


def change(folds: list[Trained], answers: list[dict[str, Answer]], reference: str) -> Change:
    """Scores of every back end against ``reference``; ``answers`` has one dict for each fold, with the same keys."""
    truth = np.concatenate([fold.truth for fold in folds])
    groups = [group for fold in folds for group in fold.groups]
    pooled = {
        name: np.concatenate([by_name[name](fold.test) for fold, by_name in zip(folds, answers, strict=True)])
        for name in answers[0]
    }
    first = pooled[reference]
    return Change(
        {name: score(truth, p, THREE)["UF1"] for name, p in pooled.items()},
        {name: compare(truth, first, p, groups, THREE)["UF1"] for name, p in pooled.items()},
        {name: float(np.mean(p.argmax(1) == first.argmax(1))) for name, p in pooled.items()},
        {name: float(np.abs(p - first).max()) for name, p in pooled.items()},
    )
