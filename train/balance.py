"""Which samples an epoch visits, in which order, and their weights in the loss."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from train.recipe import Stage
from train.samples import Samples


def order(labels: NDArray[np.int64], stage: Stage, generator: Generator, fixed: Generator) -> Tensor:
    """Sample positions for this epoch, shuffled and balanced as the stage says.

    fixed: draw the same in every epoch, so that "down" always drops the same samples.
    """
    if stage.balance in ("none", "weights"):
        everything = torch.arange(len(labels)).repeat(stage.times)
        return everything[torch.randperm(len(everything), generator=generator)]
    present, counts = np.unique(labels, return_counts=True)
    wanted = {"equal": int(counts.max()), "down": int(counts.min())}.get(stage.balance) or int(stage.balance)
    chosen = []
    for label in present:
        members = torch.from_numpy(np.flatnonzero(labels == label))
        draw = fixed if stage.balance == "down" else generator
        rounds = -(-wanted // len(members))
        shuffled = torch.cat([members[torch.randperm(len(members), generator=draw)] for _ in range(rounds)])
        chosen.append(shuffled[:wanted])
    joined = torch.cat(chosen)
    return joined[torch.randperm(len(joined), generator=generator)]


def weights(samples: Samples, stage: Stage) -> Tensor | None:
    """Float32 (N,) with mean 1; None when all samples count the same. With balance "weights", all classes count the
    same."""
    if samples.weights is None and stage.balance != "weights":
        return None
    found = np.ones(len(samples)) if samples.weights is None else samples.weights
    if stage.balance == "weights":
        found = found / np.bincount(samples.y, found)[samples.y]
    return torch.from_numpy(found / found.mean()).float()
