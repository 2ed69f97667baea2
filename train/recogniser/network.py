"""The shipped recogniser's network, and how it is fitted: a few small perceptrons on block means, joined into one.

Each member sees the face as GRID x GRID means of u and v, scaled to length one: what matters is where and which way
the skin moves, not how far. Logits are averaged over members and over the mirrored face; because hidden layers can be
laid side by side, the whole is again one network with one hidden layer. Who is trained on is ``scoring``'s affair.
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

GRID: Final = 7  # blocks on a side, as in the field's block features; finer grids scored alike
# Part of the aligned face that the blocks cover, px: rows, columns. Symmetric about the face's midline; it is the part
# that the public maps show, found where own flow and the maps of the same CASME II clips correlate best.
ROWS: Final = (26, 110)
COLUMNS: Final = (29, 99)
BLOCK: Final = ((ROWS[1] - ROWS[0]) // GRID, (COLUMNS[1] - COLUMNS[0]) // GRID)
REST: Final = 1e-6  # mean square below which nothing moves: 0.001 px


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a network is fitted. The defaults are the shipped model's.

    members: perceptrons that are averaged. hidden: units of each. steps: of AdamW over all samples at once, with a one
    cycle rate of peak ``rate``. decay: weight decay. drop_inputs, drop_hidden: dropout. balance: power of the inverse
    class frequency by which classes are weighted, 0 none, 1 equal classes. map_weight: of a public map against a clip
    of own flow.
    """

    members: int = 4
    hidden: int = 64
    steps: int = 150
    rate: float = 0.01
    decay: float = 0.1
    drop_inputs: float = 0.2
    drop_hidden: float = 0.5
    balance: float = 1.0
    map_weight: float = 0.5
    seed: int = 0


class BlockMeans(nn.Module):
    """float32 (N, 3, 128, 128), the feature flow-uvs, to (N, 2 * GRID * GRID) of length one (0 at rest)."""

    def forward(self, x: Tensor) -> Tensor:
        part = x[:, :2, ROWS[0] : ROWS[1], COLUMNS[0] : COLUMNS[1]]
        return unit(F.avg_pool2d(part, BLOCK).flatten(1))


class FlowNet(nn.Module):
    """Logits (N, classes) of the feature flow-uvs, float32 (N, 3, 128, 128)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.means = BlockMeans()
        self.first = nn.Linear(2 * GRID * GRID, hidden)
        self.last = nn.Linear(hidden, len(THREE))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.means(x))

    def head(self, means: Tensor) -> Tensor:
        """Logits of block means of length one (N, 2 * GRID * GRID)."""
        return self.last(torch.relu(self.first(means)))

    @torch.no_grad()
    def logits(self, blocks: Floats) -> NDArray[np.float64]:
        """Logits of block means of any length, float32 (N, 2, GRID, GRID)."""
        return self.head(unit(torch.from_numpy(blocks).flatten(1))).double().numpy()


def block_means(feature: Floats) -> Floats:
    """The blocks before scaling, float32 (N, 2, GRID, GRID), of the feature flow-uvs (N, 3, 128, 128)."""
    part = torch.from_numpy(feature[:, :2, ROWS[0] : ROWS[1], COLUMNS[0] : COLUMNS[1]])
    means: Floats = F.avg_pool2d(part, BLOCK).numpy()
    return means


def unit(means: Tensor) -> Tensor:
    """Scaled to length one, (N, K)."""
    return means / (means.pow(2).sum(1, keepdim=True) + REST).sqrt()


def mirrored(blocks: Tensor) -> Tensor:
    """The same motion on the mirrored face, (..., 2, GRID, GRID): columns swapped, u turned round."""
    return blocks.flip(-1) * blocks.new_tensor([-1.0, 1.0])[:, None, None]


def fit(views: Floats, y: NDArray[np.int64], weights: Floats, how: Fitting) -> FlowNet:
    """Trains on all samples given and nothing else; the same input gives the same network.

    views: float32 (N, V, 2, GRID, GRID); each step takes one view of each sample, mirrored or not, at random.
    weights: (N,), of the samples before balancing.
    """
    draw = Generator().manual_seed(how.seed)
    inputs = torch.from_numpy(views)
    inputs = torch.stack([inputs, mirrored(inputs)], dim=1).flatten(1, 2).flatten(2)  # (N, 2V, K)
    inputs = inputs / (inputs.pow(2).sum(2, keepdim=True) + REST).sqrt()
    count, choices, size = inputs.shape
    target = torch.from_numpy(y).expand(how.members, -1)
    weight = torch.from_numpy(_balanced(y, weights, how.balance)).float()
    # Inputs of length one are scaled to a mean square of one, so that usual initial weights and rates fit.
    scale = size**0.5
    w1 = (torch.randn(how.members, size, how.hidden, generator=draw) * (2 / size) ** 0.5).requires_grad_()
    b1 = torch.zeros(how.members, 1, how.hidden, requires_grad=True)
    w2 = (torch.randn(how.members, how.hidden, len(THREE), generator=draw) * how.hidden**-0.5).requires_grad_()
    b2 = torch.zeros(how.members, 1, len(THREE), requires_grad=True)
    optimizer = torch.optim.AdamW([w1, b1, w2, b2], lr=how.rate, weight_decay=how.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.rate, total_steps=how.steps)
    everyone = torch.arange(count)
    for _ in range(how.steps):
        x = scale * inputs[everyone, torch.randint(choices, (how.members, count), generator=draw)]
        hidden = torch.relu(_dropped(x, how.drop_inputs, draw) @ w1 + b1)
        answer = _dropped(hidden, how.drop_hidden, draw) @ w2 + b2
        loss = (
            F.cross_entropy(answer.flatten(0, 1), target.flatten(), reduction="none") * weight.repeat(how.members)
        ).sum()
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
    members, size, hidden = w1.shape
    # The logits of a mirrored face are those of the face under mirrored first weights.
    twins = mirrored(w1.transpose(1, 2).reshape(members, hidden, 2, GRID, GRID)).reshape(members, hidden, size)
    net = FlowNet(2 * members * hidden)
    with torch.no_grad():
        net.first.weight.copy_(torch.cat([w1.transpose(1, 2), twins]).reshape(-1, size))
        net.first.bias.copy_(torch.cat([b1, b1]).flatten())
        net.last.weight.copy_(torch.cat([w2, w2]).reshape(-1, len(THREE)).T / (2 * members))
        net.last.bias.copy_(b2.mean(dim=(0, 1)))
    return net.eval()
