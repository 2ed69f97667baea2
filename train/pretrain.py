"""Macro-expression training before the folds, cached: once for all folds, or without a fold's people.

Most macro-expression data sets share nobody with the micro-expression ones, so all folds start from the same weights.
If the pre-training data show a person whom a fold tests, that fold starts from weights made without them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from realtime_mer.errors import DataError
from realtime_mer.progress import bar
from train import checkpoint, estimate, fit, gather
from train.folds import fresh
from train.inputs import Prepared, prepare
from train.models import weights
from train.models.weights import head_keys
from train.protocols import person
from train.recipe import Input, Recipe
from train.samples import Samples


@dataclass(frozen=True, eq=False)
class Start:
    """The starting weights of a run: ``recipe.pretrain.stages`` on the macro samples.

    labels: classes of the micro-expression task; when they differ from the macro classes, the last layer is left out.
    cache: folder for finished weights.
    """

    recipe: Recipe
    macro: Prepared
    labels: tuple[str, ...]
    cache: Path
    device: str = "cpu"
    quiet: bool = False

    def weights(self, without: Collection[str] = ()) -> dict[str, Tensor]:
        """Weights made without some people (``Clip.group``). Raises DataError when nobody is left."""
        kept = self._kept(without)
        file = self.cache / f"pretrained-{self._name(kept)}.pt"
        state = checkpoint.read(file)["state"] if file.exists() else self._trained(kept, file)
        if tuple(self.macro.labels) == self.labels:
            return state
        head = head_keys(state)
        return {key: tensor for key, tensor in state.items() if key not in head}

    @property
    def people(self) -> set[str]:
        """The known people in the macro samples."""
        return {clip.group for clip in self.macro.clips if clip.subject is not None}

    @property
    def identity(self) -> str:
        """Differs between starts whose plans or samples differ."""
        return self._name(self._kept(()))

    def _kept(self, without: Collection[str]) -> list[int]:
        """Positions of the samples that show nobody in ``without``."""
        groups, gone = self.macro.samples.groups, {person(group) for group in without}
        kept = [i for i, group in enumerate(groups) if person(group) not in gone]
        if not kept:
            raise DataError(f"pre-training on {self._data} shows only people who are tested: use another data set")
        return kept

    @property
    def _data(self) -> str:
        assert self.recipe.pretrain is not None
        return self.recipe.pretrain.data.name

    @cached_property
    def _content(self) -> str:
        """Hash of plan and samples; cached, because every fold needs it and hashing a large data set takes long."""
        assert self.recipe.pretrain is not None
        samples = self.macro.samples
        identity = [
            dataclasses.asdict(self.recipe.model), self.recipe.input.feature, dataclasses.asdict(self.recipe.pretrain),
            self.recipe.seed, list(self.macro.labels), hashlib.sha256(samples.x.tobytes()).hexdigest(),
            samples.y.tolist(), list(samples.groups), weights.identity(self.recipe.model.weights),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def _name(self, kept: Sequence[int]) -> str:
        return hashlib.sha256(json.dumps([self._content, list(kept)]).encode()).hexdigest()[:20]

    def _trained(self, kept: Sequence[int], file: Path) -> dict[str, Tensor]:
        plan = self.recipe.pretrain
        assert plan is not None
        samples = limited(self.macro.samples.take(kept), plan.limit, self.recipe.seed)
        # Two networks of one recipe differ in input size only if size is part of the network, which it is not here.
        size = dataclasses.replace(self.recipe.input, size=samples.x.shape[2])
        model = fresh(dataclasses.replace(self.recipe, input=size), len(self.macro.labels))
        snapshot = file.with_suffix(".part.pt")
        if not snapshot.exists():
            what, classes = f"pre-training on {self._data}", len(self.macro.labels)
            everything = range(len(samples))
            estimate.tell(what, lambda: model, samples, everything, plan.stages, classes, self.device)
        total = sum(stage.epochs for stage in plan.stages)
        with bar(total, f"pre-training on {self._data}", "epochs", quiet=self.quiet) as shown:
            fit.fit(
                model, samples, plan.stages, classes=len(self.macro.labels), seed=self.recipe.seed,
                validation=plan.validation, device=self.device, snapshot=snapshot,
                watch=lambda line, _model: shown.advance(note=line.words),
            )  # fmt: skip
        state = {key: tensor.cpu() for key, tensor in model.state_dict().items()}
        checkpoint.write(file, {"state": state})
        snapshot.unlink(missing_ok=True)
        return state


def start(
    recipe: Recipe, labels: tuple[str, ...], folder: Path, cache: Path, device: str = "cpu", quiet: bool = False
) -> Start | None:
    """The recipe's macro-expression stage, or None when it has none."""
    plan = recipe.pretrain
    if plan is None:
        return None
    how = Input(recipe.input.feature, plan.size or recipe.input.size)
    clips = [clip for clip in gather.gather(plan.data, folder) if plan.with_test or clip.split != "test"]
    macro = prepare(clips, gather.class_list(clips, plan.data), plan.data.scheme, how, cache, quiet)
    return Start(recipe, macro, labels, cache, device, quiet)


def limited(samples: Samples, limit: int, seed: int) -> Samples:
    """At most ``limit`` samples, drawn by the seed with the proportions of the classes; all for 0."""
    if not limit or limit >= len(samples):
        return samples
    return samples.take(np.sort(np.random.default_rng(seed).permutation(len(samples))[:limit]))


def accuracy(state: dict[str, Tensor], recipe: Recipe, test: Samples, classes: int, device: str = "cpu") -> float:
    """Share of correct answers of pre-trained weights on held-out macro images."""
    model = fresh(recipe, classes, state)
    return float((fit.predict(model, test.x, device).argmax(1) == test.y).mean())
