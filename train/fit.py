"""The training loop for every network and paper. ``fit`` sees training samples only; a validation part is taken from
them here, by subject.

The same seed, samples and machine give the same weights, even when the run was killed and restarted: every epoch draws
from generators seeded by (seed, stage, epoch), and snapshots are written atomically.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from realtime_mer.errors import DataError
from train import augment, balance, checkpoint, losses, optimize
from train.models.freezing import hold, unfreeze
from train.protocols import hold_out
from train.recipe import Stage
from train.samples import Samples
from train.unit import open_unit

SNAPSHOT_SECONDS: Final = 15.0  # least interval between snapshots
SNAPSHOT_SHARE: Final = 0.05  # largest share of the time for snapshots: AlexNet with Adam's moments takes 0.7 GB
PREDICT_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Epoch:
    """One point of the curves: mean training loss, training accuracy, and loss on the validation subjects or nan."""

    stage: int
    epoch: int
    loss: float
    accuracy: float
    validation: float

    @property
    def words(self) -> str:
        """Text for the progress bar."""
        return f"loss {self.loss:.3f}, accuracy {self.accuracy:.3f}"


@dataclass(slots=True)
class _Progress:
    """Progress of a run: the next epoch, the curves, and the best epoch of this stage (early stopping)."""

    stage: int = 0
    epoch: int = 0
    best: float = math.inf
    since_best: int = 0


Watch = Callable[[Epoch, nn.Module], None]


@runtime_checkable
class OwnsLoss(Protocol):
    """A network with its own loss: with that of a branch added, or the sum over its members."""

    def loss(self, x: Tensor, y: Tensor, loss_of: losses.Loss, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and the loss."""
        ...


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
    """Trains ``model`` in place, stage by stage, and returns the curves.

    samples:    training samples only. validation: share of them, by subject, kept for early stopping.
    snapshot:   file to resume from and to write to. watch: called after each epoch (progress; a paper's own fault).
    Raises DataError when there is nothing to learn, DeviceError when the device is missing.
    """
    _check(samples, classes)
    open_unit(device).place(model)
    train, held = samples, None
    if validation:
        inner = hold_out(samples.groups, validation, seed)
        train, held = samples.take(inner.train), samples.take(inner.test)
    run = _Run(model, train, held, stages, classes, seed, device, snapshot)
    while run.at.stage < len(stages):
        run.stage(watch)
    unfreeze(model)
    model.eval()
    return run.curves


class _Run:
    """A training with the state that a snapshot holds."""

    def __init__(
        self, model: nn.Module, train: Samples, held: Samples | None, stages: tuple[Stage, ...], classes: int,
        seed: int, device: str, snapshot: Path | None,
    ) -> None:  # fmt: skip
        self.at = _Progress()
        self.curves: list[Epoch] = []
        self._model, self._train, self._held, self._stages = model, train, held, stages
        self._classes, self._seed, self._device, self._snapshot = classes, seed, device, snapshot
        self._best: dict[str, Tensor] | None = None
        self._resumed: dict[str, Any] | None = None  # states of optimizer and schedule to restore
        self._written, self._cost = time.monotonic(), 0.0  # of the last snapshot: its time, and how long it took, s
        if snapshot is not None and snapshot.exists():
            saved = checkpoint.read(snapshot)
            model.load_state_dict(saved["model"])
            self.at, self.curves = _Progress(**saved["at"]), [Epoch(**e) for e in saved["curves"]]
            self._best, self._resumed = saved["best"], saved

    def stage(self, watch: Watch | None) -> None:
        """Runs the current stage, or the rest of it."""
        stage, at, model = self._stages[self.at.stage], self.at, self._model
        unfreeze(model)
        frozen = optimize.frozen(model, stage)
        optimizer = optimize.optimizer(model, stage)
        schedule = optimize.schedule(optimizer, stage, len(self._order(stage).split(self._batch(stage))))
        if self._resumed is not None:
            optimizer.load_state_dict(self._resumed["optimizer"])
            schedule.load_state_dict(self._resumed["schedule"])
            self._resumed = None
        loss_of = _loss(stage, self._classes)
        while at.epoch < stage.epochs and not (stage.patience and at.since_best >= stage.patience):
            line = self._epoch(stage, optimizer, schedule, loss_of, frozen)
            if self._held is not None:
                line = self._validated(line, stage, loss_of)
            self.curves.append(line)
            at.epoch += 1
            if watch is not None:
                watch(line, model)
            self._keep(optimizer, schedule)
        if stage.patience and self._best is not None:
            model.load_state_dict(self._best)
        self.at, self._best = _Progress(stage=at.stage + 1), None

    def _epoch(
        self, stage: Stage, optimizer: torch.optim.Optimizer, schedule: LRScheduler, loss_of: losses.Loss,
        frozen: list[nn.Module],
    ) -> Epoch:  # fmt: skip
        """One pass over the training samples."""
        model, train, seed = self._model, self._train, _mix(self._seed, self.at.stage, self.at.epoch)
        # Dropout draws from torch's global generator, everything else from this one. Both are seeded for each epoch.
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        change = augment.chosen(stage.augment)
        weights = balance.weights(train, stage)
        model.train()
        hold(frozen)
        order = self._order(stage, generator)
        # batch norm cannot learn from a single sample
        parts = [part for part in order.split(self._batch(stage)) if len(part) > 1 or len(order) == 1]
        unit = open_unit(self._device, stage.precision)
        total = torch.zeros((), dtype=torch.float64, device=unit.device)
        right = torch.zeros((), dtype=torch.int64, device=unit.device)
        x = unit.inputs(_drawn(train, parts[0], generator))
        for number, part in enumerate(parts):
            for function in change:
                x = function(x, generator)
            y = unit.send(torch.from_numpy(train.y[part.numpy()]))
            with unit.computing():
                logits, loss = _forward(model, x, y, loss_of, None if weights is None else unit.send(weights[part]))
            optimizer.zero_grad(set_to_none=True)
            (loss + optimize.penalty(model, stage)).backward()
            optimizer.step()
            schedule.step()
            total += loss.detach().double() * len(part)
            right += (logits.argmax(1) == y).sum()
            if number + 1 < len(parts):  # while a GPU still computes
                x = unit.inputs(_drawn(train, parts[number + 1], generator))
        loss_sum, seen = float(total), sum(map(len, parts))
        if not math.isfinite(loss_sum):
            raise DataError("the training loss is not finite: lower the rate, or check the inputs")
        return Epoch(self.at.stage, self.at.epoch, loss_sum / seen, int(right) / seen, math.nan)

    def _order(self, stage: Stage, generator: torch.Generator | None = None) -> Tensor:
        fixed = torch.Generator().manual_seed(_mix(self._seed, 0, 0))
        return balance.order(self._train.y, stage, generator or torch.Generator(), fixed)

    def _batch(self, stage: Stage) -> int:
        return stage.batch or len(self._train) * max(self._classes, 1)

    def _validated(self, line: Epoch, stage: Stage, loss_of: losses.Loss) -> Epoch:
        """The point with the loss on the validation subjects; keeps the best epoch so far."""
        assert self._held is not None
        logits = torch.from_numpy(predict(self._model, self._held.x, self._device))
        found = float(loss_of(logits, torch.from_numpy(self._held.y)))
        better = found < self.at.best
        self.at.since_best = 0 if better else self.at.since_best + 1
        if better:
            self.at.best = found
            self._best = copy.deepcopy(self._model.state_dict()) if stage.patience else None
        return replace(line, validation=found)

    def _keep(self, optimizer: torch.optim.Optimizer, schedule: LRScheduler) -> None:
        """Writes a snapshot when it is due."""
        since = time.monotonic() - self._written
        if self._snapshot is None or since <= SNAPSHOT_SECONDS or since * SNAPSHOT_SHARE < self._cost:
            return
        begun = time.monotonic()
        content = {
            "model": self._model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "at": asdict(self.at),
            "curves": [asdict(e) for e in self.curves],
            "best": self._best,
        }
        checkpoint.write(self._snapshot, content)
        self._written = time.monotonic()
        self._cost = self._written - begun


def predict(model: nn.Module, x: NDArray[Any], device: str = "cpu") -> NDArray[np.float32]:
    """Logits (N, K) for inputs (N, 3, S, S); leaves the network in evaluation mode."""
    unit = open_unit(device)
    unit.place(model)
    model.eval()
    with torch.inference_mode():
        parts = [model(unit.inputs(x[i : i + PREDICT_BATCH])) for i in range(0, len(x), PREDICT_BATCH)]
    return torch.cat(parts).float().cpu().numpy()


def timed_steps(
    model: nn.Module, samples: Samples, stage: Stage, classes: int, device: str, steps: int
) -> Iterator[float]:
    """Seconds of each of ``count`` training steps over all of ``samples``, as in ``fit``; trains ``model`` in place."""
    unit = open_unit(device, stage.precision)
    unit.place(model)
    model.train()
    hold(optimize.frozen(model, stage))
    optimizer, loss_of = optimize.optimizer(model, stage), _loss(stage, classes)
    for _ in range(steps):
        begun = time.monotonic()
        with unit.computing():
            y = unit.send(torch.from_numpy(samples.y))
            _, loss = _forward(model, unit.inputs(samples.x), y, loss_of, None)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        float(loss.detach())  # waits for a GPU
        yield time.monotonic() - begun


def visited(labels: NDArray[np.int64], stage: Stage) -> int:
    """Number of samples in one epoch of the stage."""
    return len(balance.order(labels, stage, torch.Generator(), torch.Generator()))


def _drawn(train: Samples, part: Tensor, generator: torch.Generator) -> NDArray[Any]:
    """The samples at the positions ``part``, each in the view drawn for this epoch."""
    where = part.numpy()
    if train.views is None:
        return train.x[where]
    view = torch.randint(train.views.shape[1], (len(part),), generator=generator).numpy()
    return train.views[where, view]


def _forward(
    model: nn.Module, x: Tensor, y: Tensor, loss_of: losses.Loss, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Logits and loss."""
    if isinstance(model, OwnsLoss):
        return model.loss(x, y, loss_of, weights)
    logits = model(x)
    return logits, loss_of(logits, y, weights)


def _loss(stage: Stage, classes: int) -> losses.Loss:
    return losses.make(
        stage.loss, gamma=stage.gamma, margin=stage.margin, class_weights=stage.class_weights, classes=classes
    )


def _check(samples: Samples, classes: int) -> None:
    if len(samples) < 2 or len(np.unique(samples.y)) < 2:
        raise DataError("training needs at least two samples of two classes")
    if samples.y.min() < 0 or samples.y.max() >= classes:
        raise DataError(f"a label is outside the {classes} classes")
    if samples.x.dtype != np.uint8 and not np.isfinite(samples.x).all():
        raise DataError("an input has values that are not finite")


def _mix(seed: int, stage: int, epoch: int) -> int:
    """One well-mixed seed from three numbers."""
    return int(np.random.SeedSequence([seed, stage, epoch]).generate_state(1)[0])
