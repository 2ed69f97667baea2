"""Hata et al. 2025: ResNet with a 2-D or 3-D first layer, an Attention Branch (Fukui et al. 2019), an ArcFace head.

They do not say which ResNet; ours is ResNet-18. The branch starts before the last stage, as in Fukui et al.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
import torchvision
from torch import Tensor, nn

from train.models.backbones import Settings
from train.models.heads import make_head

if TYPE_CHECKING:
    from train.losses import Loss


class Stem3d(nn.Module):
    """A convolution over three gray frames, 3x7x7, no padding in time: three frames become one map of 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 64, (3, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.unsqueeze(1)).squeeze(2)


class AttentionBranch(nn.Module):
    """Fukui et al., figure 2: the last stage at full stride, a class map, its mean (logits) and a 1-channel map."""

    def __init__(self, stage: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.stage = stage
        self.norm = nn.BatchNorm2d(channels)
        self.to_classes = nn.Conv2d(channels, classes, 1, bias=False)
        self.norm_map = nn.BatchNorm2d(1)
        self.to_map = nn.Conv2d(classes, 1, 3, padding=1, bias=False)
        self.logits = nn.Conv2d(classes, classes, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = torch.relu(self.to_classes(self.norm(self.stage(x))))
        attention = torch.sigmoid(self.norm_map(self.to_map(maps)))
        return self.logits(maps).mean(dim=(2, 3)), attention


class HataNet(nn.Module):
    """``forward`` returns logits; ``branches`` returns (logits, logits of the attention branch, attention map).

    The map is (N, 1, S/16, S/16), 0 to 1. Without a branch the second and third are None.
    """

    def __init__(self, classes: int, settings: Settings) -> None:
        super().__init__()
        net = torchvision.models.resnet18(weights=None)
        self.scale = settings.scale
        self.stem = Stem3d() if settings.stem == "3d" else net.conv1
        self.start = nn.Sequential(net.bn1, net.relu, net.maxpool)
        self.body = nn.Sequential(net.layer1, net.layer2, net.layer3)
        self.branch = AttentionBranch(_unstrided(net.layer4), 512, classes) if settings.attention else None
        self.last = net.layer4
        self.dropout = nn.Dropout(0.0 if settings.dropout is None else settings.dropout)
        self.head = make_head(settings.head, 512, classes)

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        x = self.body(self.start(self.stem(self.scale(x))))
        side, attention = None, None
        if self.branch is not None:
            side, attention = self.branch(x)
            x = x * attention + x
        return self.head(self.dropout(self.last(x).mean(dim=(2, 3)))), side, attention

    def forward(self, x: Tensor) -> Tensor:
        return self.branches(x)[0]

    def loss(self, x: Tensor, y: Tensor, loss_of: Loss, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits and loss. A branch adds its own plain cross-entropy; Fukui et al. add the two without weights."""
        logits, side, _ = self.branches(x)
        loss = loss_of(logits, y, weights)
        return logits, loss if side is None else loss + nn.functional.cross_entropy(side, y)


def _unstrided(stage: nn.Sequential) -> nn.Module:
    """A copy of a ResNet stage without the stride, so that it keeps the resolution of its input."""
    stage = copy.deepcopy(stage)
    for name in ("0.conv1", "0.downsample.0"):
        convolution = stage.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        convolution.stride = (1, 1)
    return stage


def hata(classes: int, settings: Settings) -> nn.Module:
    return HataNet(classes, settings)
