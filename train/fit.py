"""The training loop. One loop, one place, for every network and paper.

``fit`` sees training samples only; a validation part is taken from them here, by subject. The same seed, samples and
machine give the same weights, also when the run was killed and started again: every epoch draws from generators
seeded by (seed, stage, epoch), and a snapshot is whole or absent.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realtime_mer.errors import DataError, DeviceError
from train import augment, checkpoint, losses
from train.models.freezing import LEARNABLE, freeze, freeze_body, hold, unfreeze
from train.models.heads import CosineHead
from train.protocols import hold_out
from train.recipe import Stage
from train.samples import Samples

SNAPSHOT_SECONDS: Final = 15.0  # not after each short epoch
SNAPSHOT_SHARE: Final = 0.05  # of the time at most: AlexNet with Adam's moments is 0.7 GB to write
PREDICT_BATCH: Final = 64
# Weight of the Attention Branch's own loss: Fukui et al. add the two losses as they are.
BRANCH_WEIGHT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the curves: mean training loss, training accuracy, and loss on the validation subjects or nan."""

    stage: int
    epoch: int
    loss: float
    accuracy: float
    validation: float


@dataclass(slots=True)
class _Progress:
    """Where a run stands: the next epoch to do, the curves, and the best epoch of this stage (early stopping)."""

    stage: int = 0
    epoch: int = 0
    best: float = math.inf
    since_best: int = 0


Watch = Callable[[Epoch, nn.Module], None]


def fit(
    model: nn.Module,
    samples: Samples,
    stages: tuple[Stage, ...],
    *,
    classes: int,
    seed: int,
    validation: float = 0.0,
    device: str = "cpu",
    snapshot: Path | None = None,
    watch: Watch | None = None,
) -> list[Epoch]:
    """Trains ``model`` in place, stage after stage; gives the curves.

    samples:    training samples only. validation: share of them, by subject, kept for early stopping.
    snapshot:   file to resume from and to write to. watch: called after each epoch (progress; a paper's own fault).
    Raises DataError when there is nothing to learn, DeviceError when the device is not there.
    """
    _check(samples, classes)
    unit = open_device(device)
    model.to(unit)
    train, held = samples, None
    if validation:
        inner = hold_out(samples.groups, validation, seed)
        train, held = samples.take(inner.train), samples.take(inner.test)
    at, curves, best_state, optimizer_state = _Progress(), [], None, None
    if snapshot is not None and snapshot.exists():
        saved = checkpoint.read(snapshot)
        model.load_state_dict(saved["model"])
        at, curves = _Progress(**saved["at"]), [Epoch(**e) for e in saved["curves"]]
        best_state, optimizer_state = saved["best"], saved["optimizer"]
    written, cost = time.monotonic(), 0.0  # of the last snapshot: when it was written, seconds it took

    while at.stage < len(stages):
        stage = stages[at.stage]
        unfreeze(model)
        frozen = _frozen(model, stage)
        optimizer = _optimizer(model, stage)
        if optimizer_state is not None:
            optimizer.load_state_dict(optimizer_state)
            optimizer_state = None
        loss_of = losses.make(
            stage.loss, gamma=stage.gamma, margin=stage.margin, weights=stage.class_weights, classes=classes
        )
        while at.epoch < stage.epochs and not (stage.patience and at.since_best >= stage.patience):
            line = _epoch(model, train, stage, at, optimizer, loss_of, frozen, seed, unit)
            if held is not None:
                line = Epoch(line.stage, line.epoch, line.loss, line.accuracy, _loss(model, held, loss_of, unit))
                better = line.validation < at.best
                at.since_best = 0 if better else at.since_best + 1
                if better:
                    at.best = line.validation
                    best_state = copy.deepcopy(model.state_dict()) if stage.patience else None
            curves.append(line)
            at.epoch += 1
            if watch is not None:
                watch(line, model)
            since = time.monotonic() - written
            if snapshot is not None and since > SNAPSHOT_SECONDS and since * SNAPSHOT_SHARE >= cost:
                begun = time.monotonic()
                _write(snapshot, model, optimizer, at, curves, best_state)
                written = time.monotonic()
                cost = written - begun
        if stage.patience and best_state is not None:
            model.load_state_dict(best_state)
        at, best_state = _Progress(stage=at.stage + 1), None
    unfreeze(model)
    model.eval()
    return curves


def predict(model: nn.Module, x: NDArray[Any], device: str = "cpu") -> NDArray[np.float32]:
    """Logits (N, K) of inputs (N, 3, S, S); the network is left in evaluation mode."""
    unit = open_device(device)
    model.to(unit).eval()
    with torch.inference_mode():
        parts = [model(as_input(x[i : i + PREDICT_BATCH], unit)).cpu() for i in range(0, len(x), PREDICT_BATCH)]
    return torch.cat(parts).float().numpy()


def as_input(x: NDArray[Any], device: torch.device) -> Tensor:
    """uint8 pictures become float32 0 to 1; motion stays as it is."""
    tensor = torch.from_numpy(np.ascontiguousarray(x)).to(device)
    return tensor.float() / 255 if x.dtype == np.uint8 else tensor.float()


def open_device(name: str) -> torch.device:
    """The device asked for. Raises DeviceError instead of falling back."""
    if name == "cpu":
        return torch.device("cpu")
    if name.split(":")[0] == "cuda" and torch.cuda.is_available():
        # cuBLAS needs this to repeat its results exactly.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        return torch.device(name)
    raise DeviceError(f"device {name!r} is not here: use --device cpu, or cuda on a machine with an NVIDIA GPU")


def _epoch(
    model: nn.Module,
    train: Samples,
    stage: Stage,
    at: _Progress,
    optimizer: torch.optim.Optimizer,
    loss_of: losses.Loss,
    frozen: list[nn.Module],
    seed: int,
    device: torch.device,
) -> Epoch:
    """One pass over the training samples."""
    # Dropout draws from torch's global generator, everything else from this one: both start anew each epoch.
    torch.manual_seed(_mix(seed, at.stage, at.epoch))
    generator = torch.Generator().manual_seed(_mix(seed, at.stage, at.epoch))
    change = augment.chosen(stage.augment)
    for group in optimizer.param_groups:
        group["lr"] = stage.rate * (stage.factor ** (at.epoch // stage.every) if stage.every else 1.0)
    model.train()
    hold(frozen)
    order = _order(train.y, stage, seed, generator)
    total, right, seen = 0.0, 0, 0
    for part in order.split(stage.batch):
        if len(part) == 1 and len(order) > 1:
            continue  # batch norm cannot learn from a single sample
        x = as_input(train.x[part.numpy()], device)
        for function in change:
            x = function(x, generator)
        y = torch.from_numpy(train.y[part.numpy()]).to(device)
        logits, loss = _forward(model, x, y, loss_of)
        penalty = _penalty(model, stage)
        optimizer.zero_grad(set_to_none=True)
        (loss + penalty).backward()
        optimizer.step()
        total += float(loss.detach()) * len(part)
        right += int((logits.argmax(1) == y).sum())
        seen += len(part)
    if not math.isfinite(total):
        raise DataError("the training loss is not finite: lower the rate, or look for broken inputs")
    return Epoch(at.stage, at.epoch, total / seen, right / seen, math.nan)


def _forward(model: nn.Module, x: Tensor, y: Tensor, loss_of: losses.Loss) -> tuple[Tensor, Tensor]:
    """Logits and loss; a network with an Attention Branch adds the loss of the branch (plain cross-entropy)."""
    if not hasattr(model, "branches"):
        logits = model(x)
        return logits, loss_of(logits, y)
    logits, side, _ = model.branches(x)
    loss = loss_of(logits, y)
    return logits, loss if side is None else loss + BRANCH_WEIGHT * nn.functional.cross_entropy(side, y)


def _order(labels: NDArray[np.int64], stage: Stage, seed: int, generator: torch.Generator) -> Tensor:
    """Positions to visit in this epoch, shuffled and balanced as the stage says."""
    if stage.balance == "none":
        return torch.randperm(len(labels), generator=generator)
    present, counts = np.unique(labels, return_counts=True)
    wanted = {"equal": int(counts.max()), "down": int(counts.min())}.get(stage.balance) or int(stage.balance)
    fixed = torch.Generator().manual_seed(_mix(seed, 0, 0))  # "down" drops the same samples in every epoch
    chosen = []
    for label in present:
        members = torch.from_numpy(np.flatnonzero(labels == label))
        draw = fixed if stage.balance == "down" else generator
        rounds = -(-wanted // len(members))
        shuffled = torch.cat([members[torch.randperm(len(members), generator=draw)] for _ in range(rounds)])
        chosen.append(shuffled[:wanted])
    joined = torch.cat(chosen)
    return joined[torch.randperm(len(joined), generator=generator)]


def _frozen(model: nn.Module, stage: Stage) -> list[nn.Module]:
    if stage.frozen == "none":
        return []
    return freeze_body(model) if stage.frozen == "body" else freeze(model, float(stage.frozen))


def _optimizer(model: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    learnable = [p for p in model.parameters() if p.requires_grad]
    if not learnable:
        raise DataError("every layer is frozen: nothing can be learned")
    if stage.optimizer == "adam":
        return torch.optim.Adam(learnable, lr=stage.rate, weight_decay=stage.weight_decay)
    return torch.optim.SGD(learnable, lr=stage.rate, momentum=stage.momentum, weight_decay=stage.weight_decay)


def _penalty(model: nn.Module, stage: Stage) -> Tensor | float:
    if not stage.head_l1 and not stage.head_l2:
        return 0.0
    weight = [m for m in model.modules() if isinstance(m, (*LEARNABLE, CosineHead))][-1].weight
    return stage.head_l1 * weight.abs().sum() + stage.head_l2 * weight.square().sum()


def _loss(model: nn.Module, samples: Samples, loss_of: losses.Loss, device: torch.device) -> float:
    logits = torch.from_numpy(predict(model, samples.x, str(device)))
    return float(loss_of(logits, torch.from_numpy(samples.y)))


def _check(samples: Samples, classes: int) -> None:
    if len(samples) < 2 or len(np.unique(samples.y)) < 2:
        raise DataError("training needs at least two samples of two classes")
    if samples.y.min() < 0 or samples.y.max() >= classes:
        raise DataError(f"a label lies outside the {classes} classes")
    if samples.x.dtype != np.uint8 and not np.isfinite(samples.x).all():
        raise DataError("an input holds values that are not finite")


def _write(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    at: _Progress,
    curves: list[Epoch],
    best: dict[str, Tensor] | None,
) -> None:
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "at": asdict(at),
        "curves": [asdict(e) for e in curves],
        "best": best,
    }
    checkpoint.write(path, content)


def _mix(seed: int, stage: int, epoch: int) -> int:
    """One seed out of three numbers, well spread."""
    return int(np.random.SeedSequence([seed, stage, epoch]).generate_state(1)[0])
