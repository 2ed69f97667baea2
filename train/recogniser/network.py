"""The shipped recogniser's network, and how it is fitted: a few small perceptrons on block means, joined into one.

Each member sees the face as GRID x GRID means of u and v and of their parts to the right, down, left and up, scaled
to length one (``describe``): what matters is where and which way the skin moves, not how far. Logits are averaged over
members and over the mirrored face; because hidden layers can be laid side by side, the whole is again one network with
one hidden layer. Who is trained on is ``scoring``'s affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from realtime_mer.records import Floats
from train.records import THREE

GRID: Final = 7  # blocks on a side, as in the field's block features; finer grids scored alike or worse
CELLS: Final = 2 * GRID  # on a side, of what is kept of a flow: opposite motions inside a block must not cancel
# Part of the aligned face that the blocks cover, px: rows, columns. Symmetric about the face's midline; it is the part
# that the public maps show, found where own flow and the maps of the same CASME II clips correlate best.
ROWS: Final = (26, 110)
COLUMNS: Final = (29, 99)
CELL: Final = ((ROWS[1] - ROWS[0]) // CELLS, (COLUMNS[1] - COLUMNS[0]) // CELLS)
REST: Final = 1e-6  # sum of squares below which nothing moves: 0.001 px
# Planes of ``describe``: u and v of one common length; u and v each of its own, because the public maps are scaled by
# channel; motion to the right, down, left, up. A mirrored face turns u round, and swaps right and left.
PLANES: Final = 8
_TWIN: Final = (0, 1, 2, 3, 6, 5, 4, 7)
_SIGN: Final = (-1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
INPUTS: Final = PLANES * GRID * GRID


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a network is fitted. The defaults are the shipped model's.

    members: perceptrons that are averaged. hidden: units of each. steps: of AdamW over all samples at once, with a one
    cycle rate of peak ``rate``. decay: weight decay. drop_inputs, drop_hidden: dropout. balance: power of the inverse
    class frequency by which classes are weighted, 0 none, 1 equal classes. map_weight: of a public map against a clip
    of own flow.
    """

    members: int = 4
    hidden: int = 32
    steps: int = 150
    rate: float = 0.01
    decay: float = 3.0
    drop_inputs: float = 0.2
    drop_hidden: float = 0.5
    balance: float = 1.0
    map_weight: float = 0.5
    seed: int = 0


class FlowNet(nn.Module):
    """Logits (N, classes) of the feature flow-uvs, float32 (N, 3, 128, 128)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, hidden)
        self.last = nn.Linear(hidden, len(THREE))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(_means(x))

    def head(self, cells: Tensor) -> Tensor:
        """Logits of cell means (N, 2, CELLS, CELLS)."""
        return self.last(torch.relu(self.first(describe(cells))))

    @torch.no_grad()
    def logits(self, cells: Floats) -> NDArray[np.float64]:
        """The same for arrays, float32 (N, 2, CELLS, CELLS)."""
        return self.head(torch.from_numpy(cells)).double().numpy()


def cell_means(feature: Floats) -> Floats:
    """What is kept of the feature flow-uvs (N, 3, 128, 128): float32 (N, 2, CELLS, CELLS), px."""
    means: Floats = _means(torch.from_numpy(feature)).numpy()
    return means


def _means(feature: Tensor) -> Tensor:
    return F.avg_pool2d(feature[:, :2, ROWS[0] : ROWS[1], COLUMNS[0] : COLUMNS[1]], CELL)


def describe(cells: Tensor) -> Tensor:
    """(N, 2, CELLS, CELLS) of any length to (N, INPUTS), PLANES of GRID x GRID; all 0 at rest."""
    blocks = F.avg_pool2d(cells, 2)
    sides = F.avg_pool2d(torch.cat([cells.relu(), (-cells).relu()], dim=1), 2)
    each = torch.cat([unit(blocks[:, channel].flatten(1)) for channel in (0, 1)], dim=1) * 0.5**0.5
    return torch.cat([unit(blocks.flatten(1)), each, unit(sides.flatten(1))], dim=1)


def unit(means: Tensor) -> Tensor:
    """Scaled to length one, (N, K)."""
    return means / (means.pow(2).sum(1, keepdim=True) + REST).sqrt()


def mirrored(cells: Tensor) -> Tensor:
    """The same motion on the mirrored face, (..., 2, CELLS, CELLS): columns swapped, u turned round."""
    return cells.flip(-1) * cells.new_tensor([-1.0, 1.0])[:, None, None]


def mirrored_description(inputs: Tensor) -> Tensor:
    """``describe`` of the mirrored face from that of the face, (..., INPUTS)."""
    planes = inputs.unflatten(-1, (PLANES, GRID, GRID))[..., list(_TWIN), :, :].flip(-1)
    return (planes * planes.new_tensor(_SIGN)[:, None, None]).flatten(-3)


def fit(views: Floats, y: NDArray[np.int64], weights: Floats, how: Fitting) -> FlowNet:
    """Trains on all samples given and nothing else; the same input gives the same network.

    views: float32 (N, V, 2, CELLS, CELLS); each step takes one view of each sample, mirrored or not, at random.
    weights: (N,), of the samples before balancing.
    """
    draw = Generator().manual_seed(how.seed)
    cells = torch.from_numpy(views)
    inputs = describe(cells.flatten(0, 1)).unflatten(0, cells.shape[:2])
    inputs = torch.cat([inputs, mirrored_description(inputs)], dim=1)  # (N, 2V, INPUTS)
    count, choices, size = inputs.shape
    target = torch.from_numpy(y).repeat(how.members)
    weight = torch.from_numpy(_balanced(y, weights, how.balance)).float().repeat(how.members)
    # Inputs of length about one are scaled to a mean square of about one, so that usual initial weights and rates fit.
    scale = size**0.5
    units = how.members * how.hidden  # of all members, side by side
    w1 = (torch.randn(size, units, generator=draw) * (2 / size) ** 0.5).requires_grad_()
    b1 = torch.zeros(units, requires_grad=True)
    w2 = (torch.randn(how.members, how.hidden, len(THREE), generator=draw) * how.hidden**-0.5).requires_grad_()
    b2 = torch.zeros(how.members, 1, len(THREE), requires_grad=True)
    optimizer = torch.optim.AdamW([w1, b1, w2, b2], lr=how.rate, weight_decay=how.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.rate, total_steps=how.steps)
    everyone = torch.arange(count)
    for _ in range(how.steps):
        # All members see the same view; one draw for each would cost four times as much and gain nothing.
        x = _dropped(scale * inputs[everyone, torch.randint(choices, (count,), generator=draw)], how.drop_inputs, draw)
        hidden = _dropped(torch.relu(x @ w1 + b1), how.drop_hidden, draw)
        answer = hidden.unflatten(1, (how.members, how.hidden)).transpose(0, 1) @ w2 + b2
        loss = (F.cross_entropy(answer.flatten(0, 1), target, reduction="none") * weight).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return _joined(scale * w1.detach(), b1.detach(), w2.detach(), b2.detach())


def _dropped(x: Tensor, share: float, draw: Generator) -> Tensor:
    return x * (torch.rand(x.shape, generator=draw) >= share) / (1 - share)


def _balanced(y: NDArray[np.int64], weights: Floats, power: float) -> NDArray[np.float64]:
    """Weights that sum to one, each class times its inverse frequency to the power."""
    totals = np.bincount(y, weights, len(THREE))
    factor = np.zeros(len(THREE))
    factor[totals > 0] = totals[totals > 0] ** -power
    balanced = weights * factor[y]
    return balanced / balanced.sum()


def _joined(w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> FlowNet:
    """All members and their mirrored twins as one network: hidden units side by side, outputs averaged."""
    # The logits of a mirrored face are those of the face under mirrored first weights.
    first = w1.T
    net = FlowNet(2 * len(first))
    with torch.no_grad():
        net.first.weight.copy_(torch.cat([first, mirrored_description(first)]))
        net.first.bias.copy_(torch.cat([b1, b1]))
        net.last.weight.copy_(torch.cat([w2, w2]).flatten(0, 1).T / (2 * len(w2)))
        net.last.bias.copy_(b2.mean(dim=(0, 1)))
    return net.eval()
