"""Macro-expression training before the folds: once per network and data set, kept in a cache folder.

No person of a micro-expression data set is in FER2013 or CK+, so these weights may be shared by all folds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from train import checkpoint, evaluate, fit, gather
from train.inputs import Prepared, prepare
from train.models.weights import head_keys
from train.recipe import Input, Recipe
from train.samples import Samples


def start(
    recipe: Recipe, labels: tuple[str, ...], folder: Path, cache: Path, device: str = "cpu", quiet: bool = False
) -> dict[str, Tensor] | None:
    """Weights from the recipe's macro-expression stage, or None when it has none; official test pictures stay out."""
    plan = recipe.pretrain
    if plan is None:
        return None
    how = Input(recipe.input.feature, plan.size or recipe.input.size)
    clips = [clip for clip in gather.gather(plan.data, folder) if clip.split != "test"]
    macro = prepare(clips, gather.class_list(clips, plan.data), plan.data.scheme, how, cache, quiet)
    return pretrained(recipe, macro, labels, cache, device, quiet)


def pretrained(
    recipe: Recipe, macro: Prepared, labels: tuple[str, ...], cache: Path, device: str = "cpu", quiet: bool = False
) -> dict[str, Tensor]:
    """Weights after ``recipe.pretrain.stages`` on the macro samples.

    labels: classes of the micro-expression task; when they are not the macro ones the last layer is left out.
    """
    assert recipe.pretrain is not None
    plan = recipe.pretrain
    samples = limited(macro.samples, plan.limit, recipe.seed)
    identity = [
        dataclasses.asdict(recipe.model), recipe.input.feature, dataclasses.asdict(plan), recipe.seed,
        list(macro.labels), hashlib.sha256(samples.x.tobytes()).hexdigest(),
    ]  # fmt: skip
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]
    file = cache / f"pretrained-{name}.pt"
    if file.exists():
        state = checkpoint.read(file)["state"]
    else:
        # Two networks of one recipe differ in input size only where size is part of the network; these have none.
        sized = dataclasses.replace(recipe, input=dataclasses.replace(recipe.input, size=samples.x.shape[2]))
        model = evaluate.fresh(sized, len(macro.labels))
        snapshot = file.with_suffix(".part.pt")
        total = sum(stage.epochs for stage in plan.stages)
        with tqdm(total=total, desc=f"pre-training on {plan.data.name}", unit="epoch", disable=quiet) as bar:
            fit.fit(
                model, samples, plan.stages, classes=len(macro.labels), seed=recipe.seed, device=device,
                snapshot=snapshot, watch=lambda line, _model: _show(bar, line),
            )  # fmt: skip
        state = {key: tensor.cpu() for key, tensor in model.state_dict().items()}
        checkpoint.write(file, {"state": state})
        snapshot.unlink(missing_ok=True)
    if tuple(macro.labels) != labels:
        head = head_keys(state)
        state = {key: tensor for key, tensor in state.items() if key not in head}
    return state


def limited(samples: Samples, limit: int, seed: int) -> Samples:
    """At most ``limit`` samples, drawn by the seed from all classes alike (their proportions stay); all for 0."""
    if not limit or limit >= len(samples):
        return samples
    return samples.take(np.sort(np.random.default_rng(seed).permutation(len(samples))[:limit]))


def accuracy(state: dict[str, Tensor], recipe: Recipe, test: Samples, classes: int, device: str = "cpu") -> float:
    """Share of right answers of pre-trained weights on held-out macro pictures."""
    model = evaluate.fresh(recipe, classes, state)
    return float((fit.predict(model, test.x, device).argmax(1) == test.y).mean())


def _show(bar: tqdm[None], line: fit.Epoch) -> None:
    bar.update()
    bar.set_postfix(loss=f"{line.loss:.3f}", accuracy=f"{line.accuracy:.3f}")
