"""The first layer of every network: scales the input to the range that the network expects."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from realtime_mer.face.regions import SIZE

# Mean and standard deviation of ImageNet in RGB, 0 to 1, as used for the public weights.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
REST = 1e-6  # px^2: below it nothing moves


class InputScale(nn.Module):
    """(x - mean) / sqrt(variance), per channel; ``unit_motion``: see below.

    The constants are buffers, so that they travel with the weights. ``count`` is unused; Keras's Normalization layer
    has it, and the published size of Efficient-ME includes it.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], unit_motion: bool = False) -> None:
        super().__init__()
        self.unit_motion = unit_motion
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("variance", torch.tensor(std) ** 2)
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        x = unit(half(x)) if self.unit_motion else x
        return (x - self.mean[:, None, None]) / self.variance.sqrt()[:, None, None]


def for_feature(feature: str, unit_motion: bool = False) -> InputScale:
    """Images are scaled as for ImageNet; motion is unchanged (px, already small around 0)."""
    if feature in ("apex-rgb/1", "frames-gray/1"):
        return InputScale(IMAGENET_MEAN, IMAGENET_STD)
    return InputScale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), unit_motion)


def half(x: Tensor) -> Tensor:
    """Means over 2 x 2 px of motion, float32 (N, 3, SIZE, SIZE); input of half that size is unchanged."""
    return F.avg_pool2d(x, 2) if x.shape[2] == SIZE else x


def unit(x: Tensor) -> Tensor:
    """u, v and length, (N, 3, S, S), scaled to a mean square of u and v of one, because public maps have no length in
    px."""
    uv = x[:, :2]
    uv = uv / (uv.pow(2).mean((1, 2, 3), keepdim=True) + REST).sqrt()
    return torch.cat([uv, uv.pow(2).sum(1, keepdim=True).sqrt()], dim=1)


def halves(motion: NDArray[Any]) -> NDArray[np.float32]:
    """The part of samples (N, 3, SIZE, SIZE) that a network with ``unit_motion`` uses: float32 (N, 3, SIZE / 2, SIZE /
    2)."""
    kept: NDArray[np.float32] = half(torch.from_numpy(motion)).numpy()
    return kept
