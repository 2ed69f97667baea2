"""Freezing the first share of a network's learnable layers (Ho et al. 2023; head-first training of Ab Razak 2023).

A learnable layer is a convolution or a linear layer, counted in order of definition. "The first 20 %" is rounded down:
floor(share x layers). A batch-norm layer belongs to the convolution before it: when that one is frozen, so are its
scale and shift, and its running statistics are used but not updated.
"""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from train.models.heads import CosineHead

LEARNABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def freeze(model: nn.Module, share: float) -> list[nn.Module]:
    """Freezes the first ``share`` (0 to 1) of the learnable layers; returns every frozen module.

    Call ``hold`` with them after each ``model.train()``.
    """
    layers = [m for m in model.modules() if isinstance(m, LEARNABLE)]
    return _freeze_first(model, math.floor(share * len(layers)))


def freeze_body(model: nn.Module) -> list[nn.Module]:
    """Freezes all but the last layer (with a cosine head: all convolutions and linear layers)."""
    layers = [m for m in model.modules() if isinstance(m, LEARNABLE)]
    cosine_head = any(isinstance(m, CosineHead) for m in model.modules())
    return _freeze_first(model, len(layers) if cosine_head else len(layers) - 1)


def unfreeze(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def hold(frozen: list[nn.Module]) -> None:
    """Keeps frozen layers in evaluation mode, so that batch-norm statistics do not change."""
    for module in frozen:
        module.eval()


def _freeze_first(model: nn.Module, count: int) -> list[nn.Module]:
    frozen: list[nn.Module] = []
    seen = 0
    for module in model.modules():
        if isinstance(module, LEARNABLE):
            seen += 1
        if isinstance(module, (*LEARNABLE, _BatchNorm)):
            if seen > count:
                break
            if seen:
                frozen.append(module)
                for parameter in module.parameters():
                    parameter.requires_grad_(False)
    return frozen
