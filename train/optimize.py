"""Sets up a stage of a recipe: which weights are learned, by which optimizer, at which rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from realtime_mer.errors import DataError
from train.models.freezing import LEARNABLE, freeze, freeze_body
from train.models.heads import CosineHead
from train.recipe import Stage


def frozen(model: nn.Module, stage: Stage) -> list[nn.Module]:
    """Freezes the layers that the stage names; returns the frozen modules."""
    if stage.frozen == "none":
        return []
    return freeze_body(model) if stage.frozen == "body" else freeze(model, float(stage.frozen))


def optimizer(model: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    """The optimizer of the stage. Raises DataError when no weights are left to learn."""
    learnable = [p for p in model.parameters() if p.requires_grad]
    if not learnable:
        raise DataError("every layer is frozen: nothing can be learned")
    if stage.optimizer == "sgd":
        return torch.optim.SGD(learnable, lr=stage.rate, momentum=stage.momentum, weight_decay=stage.weight_decay)
    kind = torch.optim.AdamW if stage.optimizer == "adamw" else torch.optim.Adam
    return kind(learnable, lr=stage.rate, weight_decay=stage.weight_decay)


def schedule(of: torch.optim.Optimizer, stage: Stage, steps: int) -> LRScheduler:
    """The learning-rate schedule, advanced after every step. steps: per epoch."""
    if stage.schedule == "one-cycle":
        return OneCycleLR(of, stage.rate, total_steps=stage.epochs * steps)
    every = stage.every * steps
    return LambdaLR(of, lambda step: stage.factor ** (step // every) if every else 1.0)


def penalty(model: nn.Module, stage: Stage) -> Tensor | float:
    """The penalty on the last layer's weights."""
    if not stage.head_l1 and not stage.head_l2:
        return 0.0
    weight = [m for m in model.modules() if isinstance(m, (*LEARNABLE, CosineHead))][-1].weight
    return stage.head_l1 * weight.abs().sum() + stage.head_l2 * weight.square().sum()
