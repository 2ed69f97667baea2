"""Efficient-ME (Ab Razak & Sahran 2023): the first blocks of EfficientNet-B0, average, dropout, one dense layer.

Up to block 5 it has 868,314 parameters as Keras counts them (printed: 867k), up to block 3 68,772 (printed: 68k).
Efficient-ME-Lite is the same cut of EfficientNet-Lite0: no squeeze-excitation, ReLU6, faster on a CPU and in INT8.
"""

from __future__ import annotations

import timm
import torchvision
from torch import Tensor, nn

from train.models.backbones import Settings
from train.models.heads import make_head
from train.models.scaling import InputScale

DROPOUT = 0.5  # Ab Razak & Sahran, section 3.2


class Truncated(nn.Module):
    """Scaling, a stack of blocks, global average, dropout, head."""

    def __init__(
        self, scale: InputScale, features: nn.Sequential, channels: int, classes: int, settings: Settings
    ) -> None:
        super().__init__()
        self.scale = scale
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(DROPOUT if settings.dropout is None else settings.dropout)
        self.head = make_head(settings.head, channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.pool(self.features(self.scale(x))).flatten(1)))


def _b0(blocks: int, channels: int, classes: int, settings: Settings) -> nn.Module:
    features = torchvision.models.efficientnet_b0(weights=None).features[: blocks + 1]  # [0] is the stem
    return Truncated(settings.scale, features, channels, classes, settings)


def to_block5(classes: int, settings: Settings) -> nn.Module:
    """Efficient-ME: 112 channels at 1/16 of the input."""
    return _b0(5, 112, classes, settings)


def to_block3(classes: int, settings: Settings) -> nn.Module:
    """Efficient-ME (tr3): 40 channels at 1/8 of the input."""
    return _b0(3, 40, classes, settings)


def lite(classes: int, settings: Settings) -> nn.Module:
    """Efficient-ME-Lite: 112 channels at 1/16 of the input; internal names as in timm's tf_efficientnet_lite0."""
    full = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    features = nn.Sequential()
    features.add_module("conv_stem", full.conv_stem)
    features.add_module("bn1", full.bn1)
    features.add_module("blocks", full.blocks[:5])
    return Truncated(settings.scale, features, 112, classes, settings)
