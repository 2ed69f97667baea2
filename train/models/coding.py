"""Linear heads beside a network: the objective class and the action units of a movement (``train.heads``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from train.models.flow_default import INPUTS, SCALE, cells, describe, mirrored


class CodingHead(nn.Module):
    """Probabilities (N, classes) for motion in px, (N, 3, SIZE, SIZE) or its cell means, averaged with its mirror
    image.

    each: every class has its own probability. The weights come from a regression, not from the training loop.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, classes: int, each: bool) -> None:
        super().__init__()
        self.each = each
        self.register_buffer("weight", torch.zeros(classes, INPUTS))
        self.register_buffer("bias", torch.zeros(classes))

    def forward(self, x: Tensor) -> Tensor:
        logits = inputs(x) @ self.weight.T + self.bias
        return logits.sigmoid() if self.each else logits.softmax(dim=1)


class WithHeads(nn.Module):
    """A network (with or without a gate) and its heads by name. Called, it gives the network's logits (N, K)."""

    def __init__(self, network: nn.Module, heads: Sequence[tuple[str, int, bool]]) -> None:
        """heads: name, number of classes, and whether each class has its own probability."""
        super().__init__()
        self.network = network
        self.heads = nn.ModuleDict({name: CodingHead(classes, each) for name, classes, each in heads})

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


def inputs(x: Tensor) -> Tensor:
    """Input of a head, (N, INPUTS), of about unit length: the mean of a face and its mirror image."""
    described = describe(cells(x)) / SCALE
    return (described + mirrored(described)) / 2
