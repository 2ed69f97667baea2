"""The shipped recognizer's network: a few small perceptrons on block means of motion, averaged.

Each member gets the face as GRID x GRID means of u and v and of their parts to the right, down, left and up, scaled to
unit length (``describe``): what matters is where and in which direction the skin moves, not how far. Logits are
averaged over members, and over the face and its mirror image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from realtime_mer.errors import ConfigError
from realtime_mer.face.regions import SIZE
from train.maps import COLUMNS, ROWS
from train.models.backbones import Settings

if TYPE_CHECKING:
    from train.losses import Loss

GRID: Final = 7  # blocks per side, as in the field's block features; finer grids scored the same or worse
# cells per side of the kept motion; finer than the blocks, so that opposite motions do not cancel
CELLS: Final = 2 * GRID
# px of the part that public maps also show
CELL: Final = ((ROWS[1] - ROWS[0]) // CELLS, (COLUMNS[1] - COLUMNS[0]) // CELLS)
REST: Final = 1e-6  # sum of squares below which nothing moves: 0.001 px
# Planes of ``describe``: u and v scaled together; u and v each scaled by itself, because the public maps are scaled by
# channel; motion to the right, down, left, up. Mirroring a face changes the sign of u and swaps right and left.
PLANES: Final = 8
INPUTS: Final = PLANES * GRID * GRID
_PLACES: Final = torch.arange(INPUTS).unflatten(0, (PLANES, GRID, GRID))
_TWIN: Final = _PLACES[[0, 1, 2, 3, 6, 5, 4, 7]].flip(-1).flatten()
_SIGN: Final = torch.tensor([-1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0]).repeat_interleave(GRID * GRID)
# Scales inputs of about unit length to a mean square of about one, for which usual initial weights and rates fit.
SCALE: Final = INPUTS**0.5

MEMBERS: Final = 4  # perceptrons
HIDDEN: Final = 32  # units of each perceptron
DROP_INPUTS: Final = 0.2  # share of inputs left out in training


class FlowDefault(nn.Module):
    """Logits (N, classes) for motion, float32 (N, 3, SIZE, SIZE), or its cell means (N, 2, CELLS, CELLS)."""

    def __init__(self, classes: int, settings: Settings, members: int = MEMBERS, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, members * hidden)  # of all members, side by side
        self.last = nn.Parameter(torch.randn(members, hidden, classes) * hidden**-0.5)
        self.bias = nn.Parameter(torch.zeros(members, 1, classes))
        self.dropout = nn.Dropout(0.5 if settings.dropout is None else settings.dropout)
        self.drop_inputs = nn.Dropout(DROP_INPUTS)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.first.bias)

    def forward(self, x: Tensor) -> Tensor:
        inputs = describe(cells(x))
        units = torch.relu(self.first(inputs)) + torch.relu(self.first(mirrored(inputs)))
        return units @ self.last.flatten(0, 1) / (2 * len(self.last)) + self.bias.mean(dim=0)

    def loss(self, x: Tensor, y: Tensor, loss_of: Loss, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean logits and the summed loss of the members, so that each learns independently. All get the same samples;
        separate draws would cost more and gain nothing."""
        inputs = self.drop_inputs(describe(cells(x)))
        units = self.dropout(torch.relu(self.first(inputs)))
        each = units.unflatten(1, self.last.shape[:2]).transpose(0, 1) @ self.last + self.bias
        total = torch.stack([loss_of(logits, y, weights) for logits in each]).sum()
        return each.detach().mean(dim=0), total


def cell_means(motion: NDArray[Any]) -> NDArray[np.float32]:
    """The part of samples (N, 3, SIZE, SIZE) that the network uses: means of u and v, float32 (N, 2, CELLS, CELLS)."""
    kept: NDArray[np.float32] = cells(torch.from_numpy(motion)).numpy()
    return kept


def cells(x: Tensor) -> Tensor:
    if x.shape[2] == CELLS:
        return x
    if x.shape[2] < SIZE:  # ``scaling.halves``
        x = F.interpolate(x, size=(SIZE, SIZE), mode="nearest")
    return F.avg_pool2d(x[:, :2, ROWS[0] : ROWS[1], COLUMNS[0] : COLUMNS[1]], CELL)


def describe(cells: Tensor) -> Tensor:
    """(N, 2, CELLS, CELLS) of any length to (N, INPUTS), PLANES of GRID x GRID; all 0 at rest."""
    blocks = F.avg_pool2d(cells, 2)
    sides = F.avg_pool2d(torch.cat([cells, -cells], dim=1).relu(), 2)
    own = unit(blocks, (2, 3)).flatten(1) * 0.5**0.5
    return SCALE * torch.cat([unit(blocks, (1, 2, 3)).flatten(1), own, unit(sides, (1, 2, 3)).flatten(1)], dim=1)


def unit(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Scales to unit length over ``axes``."""
    return x / (x.pow(2).sum(axes, keepdim=True) + REST).sqrt()


def mirrored(inputs: Tensor) -> Tensor:
    """``describe`` of the mirrored face from that of the face, (N, INPUTS)."""
    return inputs.index_select(1, _TWIN.to(inputs.device)) * _SIGN.to(inputs.device)


def flow_default(classes: int, settings: Settings) -> nn.Module:
    if settings.size != SIZE or settings.head != "linear":
        raise ConfigError(f"the model flow-default takes motion of {SIZE} px and has only a linear head")
    return FlowDefault(classes, settings)
