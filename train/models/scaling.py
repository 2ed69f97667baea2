"""The first layer of every network: brings the input to the range that the network wants."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Mean and standard deviation of ImageNet in RGB, 0 to 1: what the public weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class InputScale(nn.Module):
    """(x - mean) / sqrt(variance), per channel.

    The constants are buffers, so that they travel with the weights. ``count`` is unused: it is kept because Keras's
    Normalization layer has it, and the published size of Efficient-ME counts it.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("variance", torch.tensor(std) ** 2)
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean[:, None, None]) / self.variance.sqrt()[:, None, None]


def for_feature(feature: str) -> InputScale:
    """Pictures are scaled as ImageNet; motion is left as it is (px, already small around 0)."""
    if feature in ("apex-rgb/1", "frames-gray/1"):
        return InputScale(IMAGENET_MEAN, IMAGENET_STD)
    return InputScale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
