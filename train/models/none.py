"""The answer "none": whether anything moves at all, judged by strength and distribution of the motion in px.

A network whose input is scaled to unit length cannot tell a movement from noise. ``Gate`` can: it is a logistic
regression on a few measures of the same cell means. ``WithNone`` is a network with its gate; in an exported file the
gate's probability comes last, and the network shares out the rest.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.flow_default import GRID, cells

LABEL: Final = "none"
LEAST: Final = 0.01  # px, added before the logarithm: less is nothing
STRONGEST: Final = 5  # blocks
MEASURES: Final = 5 + GRID * (GRID // 2 + 1)


def measures(x: Tensor) -> Tensor:
    """Measures (N, MEASURES) of motion in px, (N, 3, SIZE, SIZE) or its cell means; the same for a mirrored face.

    They are the logarithms of the mean length over blocks, of the mean over the strongest, of the longest, of the
    median, and of the variation inside blocks, which is noise rather than skin; then of the length of each block,
    averaged with its mirror image, because eyes move most at rest and a codec leaves traces where the face is smooth.
    """
    fine = cells(x)
    blocks = F.avg_pool2d(fine, 2)
    places = blocks.pow(2).sum(1).sqrt()
    length = places.flatten(1)
    sides = ((places + places.flip(-1)) / 2)[:, :, : GRID // 2 + 1].flatten(1)
    strongest = length.topk(STRONGEST, dim=1).values
    inside = (fine - F.interpolate(blocks, scale_factor=2.0, mode="nearest")).pow(2).sum(1).mean((1, 2)).sqrt()
    middle = length.topk(length.shape[1] // 2 + 1, dim=1).values[:, -1]
    features = [length.pow(2).mean(1).sqrt(), strongest.mean(1), strongest[:, 0], middle, inside]
    return (torch.cat([torch.stack(features, dim=1), sides], dim=1) + LEAST).log()


class Gate(nn.Module):
    """Logit (N,) that nothing moves. The weights come from a regression (``train.none``), not from the training
    loop."""

    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(MEASURES))
        self.register_buffer("bias", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return measures(x) @ self.weight + self.bias


class WithNone(nn.Module):
    """A network and its gate. Called, it gives the network's logits (N, K), as if something moved."""

    def __init__(self, network: nn.Module, gate: Gate | None = None) -> None:
        super().__init__()
        self.network, self.gate = network, gate or Gate()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)
