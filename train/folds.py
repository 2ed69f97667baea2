"""The work of one fold: a fresh network, trained on the fold's people, its answers to the tested ones in a file.

No fold depends on another, so they can run in several processes; only the fault "carry-over" needs their order.
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
    from train.pretrain import Start  # which makes its networks here

Watch = Callable[[str, fit.Epoch], None]  # told of each epoch: the fold's name, and its figures


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What all folds of a run share. out: its folder. faults: of ``evaluate.FAULTS``."""

    recipe: Recipe
    data: Prepared
    folds: Sequence[Fold]
    out: Path
    faults: tuple[str, ...] = ()
    start: Start | None = None
    device: str = "cpu"

    @property
    def epochs(self) -> int:
        """That a fold may take."""
        return sum(stage.epochs for stage in self.recipe.stage)

    def file(self, number: int) -> Path:
        """The answers of a fold that is done."""
        return self.out / "folds" / f"{number:03d}.json"

    @property
    def carried(self) -> Path:
        """The network that the fault "carry-over" hands from fold to fold."""
        return self.out / "carried.pt"


@contextmanager
def training(plan: Plan, threads: int = 0, watch: Watch | None = None) -> Iterator[Callable[[int], None]]:
    """For the engine: trains and tests the fold of a number. threads: of torch in this process; 0: as they are."""
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
    """Weights to start from that know nobody in ``data`` but those at the positions ``known``."""
    if start is None:
        return None
    allowed = {data.samples.groups[i] for i in known}
    return start.weights({group for group in data.samples.groups if group not in allowed})


def fresh(recipe: Recipe, classes: int, start: dict[str, Tensor] | None = None) -> nn.Module:
    """The network as every fold finds it: the same random or ImageNet weights, then those of ``start``."""
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
    """Options of ``train.models.create`` that the recipe stands for."""
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
        # What the leak saw before an interruption is not in a snapshot: such a fold starts again.
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
    """What the fold's gate says of the tested clips, and of their pairs; empty without pairs."""
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
    """As JSON has it: it knows no nan."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(line).items()
    }
