"""The last layers: a linear classifier or cosines for ArcFace."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Scale of the cosines. Deng et al. use 64 for 100,000 identities; with 3 to 8 classes 16 already lets the softmax
# reach 0.999 (their eq. 2 solved for the number of classes).
ARC_SCALE = 16.0


class CosineHead(nn.Module):
    """ARC_SCALE times the cosine between the feature and one learned center per class.

    The angular margin is not here but in ``train.losses``: prediction needs no labels.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return ARC_SCALE * F.linear(F.normalize(x), F.normalize(self.weight))


def make_head(kind: str, features: int, classes: int) -> nn.Module:
    return CosineHead(features, classes) if kind == "arcface" else nn.Linear(features, classes)
