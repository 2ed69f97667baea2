"""The work of one fold: train a fresh network on the fold's people, and store its answers for the tested ones.

No fold depends on another, so they can run in several processes; only the fault "carry-over" needs an order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from realtime_mer.errors import DataError
from train import checkpoint, fit, looks, models, none
from train.inputs import Prepared
from train.protocols import Fold
from train.recipe import Recipe
from train.runs import store

if TYPE_CHECKING:
    from train.pretrain import Start  # where its networks are made

Watch = Callable[[str, fit.Epoch], None]  # called after each epoch with the fold's name and its figures


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What all folds of a run share. out: the run's folder. faults: of ``evaluate.FAULTS``."""

    recipe: Recipe
    data: Prepared
    folds: Sequence[Fold]
    out: Path
    faults: tuple[str, ...] = ()
    start: Start | None = None
    device: str = "cpu"

    @property
    def epochs(self) -> int:
        """The largest number of epochs of a fold."""
        return sum(stage.epochs for stage in self.recipe.stage)

    def file(self, number: int) -> Path:
        """The file with the answers of a finished fold."""
        return self.out / "folds" / f"{number:03d}.json"

    @property
    def carried(self) -> Path:
        """The file with the network that the fault "carry-over" passes from fold to fold."""
        return self.out / "carried.pt"


@contextmanager
def training(plan: Plan, threads: int = 0, watch: Watch | None = None) -> Iterator[Callable[[int], None]]:
    """The function that trains and tests fold number ``i``. threads: torch threads in this process; 0: unchanged."""
    if threads:
        torch.set_num_threads(threads)
    carried: nn.Module | None = None

    def work(number: int) -> None:
        nonlocal carried
        fold, carry = plan.folds[number], "carry-over" in plan.faults
        model = carried
        if model is None:
            model = fresh(plan.recipe, len(plan.data.labels), begin(plan.start, plan.data, fold.train))
            if carry and plan.carried.exists():
                model.load_state_dict(checkpoint.read(plan.carried)["model"])
        _one(plan, number, model, watch)
        if carry:
            carried = model
            checkpoint.write(plan.carried, {"model": model.state_dict()})

    yield work


def begin(start: Start | None, data: Prepared, known: Sequence[int]) -> dict[str, Tensor] | None:
    """Starting weights trained without the people in ``data``, except those at the positions ``known``."""
    if start is None:
        return None
    allowed = {data.samples.groups[i] for i in known}
    return start.weights({group for group in data.samples.groups if group not in allowed})


def fresh(recipe: Recipe, classes: int, start: dict[str, Tensor] | None = None) -> nn.Module:
    """The network at the start of every fold: the same random or ImageNet weights, then those of ``start``."""
    torch.manual_seed(recipe.seed)
    model = models.create(recipe.model.name, classes, **model_options(recipe))
    if start:
        own = model.state_dict()
        fitting = {key: value for key, value in start.items() if key in own and own[key].shape == value.shape}
        if len(fitting) < len(own) // 2:
            raise DataError("the pre-trained weights do not fit this network")
        model.load_state_dict(fitting, strict=False)
    return model


def model_options(recipe: Recipe) -> dict[str, Any]:
    """The recipe's options for ``train.models.create``."""
    m = recipe.model
    return {
        "feature": recipe.input.feature,
        "size": recipe.input.size,
        "weights": m.weights,
        "head": m.head,
        "stem": m.stem,
        "attention": m.attention,
        "unit_motion": m.unit_motion,
        "dropout": None if m.dropout < 0 else m.dropout,
    }


def _one(plan: Plan, number: int, model: nn.Module, tell: Watch | None) -> None:
    """One fold: train, test, store."""
    began = time.perf_counter()
    recipe, data, device, fold = plan.recipe, plan.data, plan.device, plan.folds[number]
    file, leaks = plan.file(number), "best-on-test" in plan.faults
    snapshot = file.with_suffix(".pt")
    test = data.samples.take(fold.test)
    best_right, best_logits = -1, None

    def watch(line: fit.Epoch, now: nn.Module) -> None:
        nonlocal best_right, best_logits
        if tell is not None:
            tell(fold.name, line)
        if leaks:
            logits = fit.predict(now, test.x, device)
            right = int((logits.argmax(1) == test.y).sum())
            if right > best_right:
                best_right, best_logits = right, logits

    curves = fit.fit(
        model, data.samples.take(fold.train), recipe.stage, classes=len(data.labels), seed=recipe.seed,
        validation=recipe.validation, device=device, watch=watch,
        # A snapshot does not hold what the leak saw before an interruption, so such a fold starts again.
        snapshot=None if leaks else snapshot,
    )  # fmt: skip
    store(
        file,
        _nothing(recipe, data, fold, model, device)
        | {
            "name": fold.name,
            "test": list(fold.test),
            "logits": fit.predict(model, test.x, device).tolist(),
            "moved": {name: fit.predict(model, x[list(fold.test)], device).tolist() for name, x in data.moved.items()},
            "best": None if best_logits is None else best_logits.tolist(),
            "looks": looks.by_class(model, test, len(data.labels), device) if looks.supported(recipe.input) else None,
            "curves": [_plain(line) for line in curves],
            "seconds": time.perf_counter() - began,
        },
    )
    snapshot.unlink(missing_ok=True)


def _nothing(recipe: Recipe, data: Prepared, fold: Fold, model: nn.Module, device: str) -> dict[str, Any]:
    """The answers of the fold's gate for the tested clips and their pairs; empty without pairs."""
    if data.pairs is None or recipe.none is None:
        return {}
    gate = none.gate(data, fold.train, recipe.none)
    where = data.pairs.of(fold.test)
    return {
        "none": none.of_samples(gate, data, fold.test).tolist(),
        "pairs": where.tolist(),
        "pair logits": fit.predict(model, data.pairs.x[where], device).tolist() if len(where) else [],
        "pair none": none.probability(gate, data.pairs.cells[where]).tolist(),
    }


def _plain(line: fit.Epoch) -> dict[str, Any]:
    """None for nan, which JSON lacks."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(line).items()
    }
