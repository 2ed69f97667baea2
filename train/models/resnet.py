"""ResNet-10 (Simon et al. 2016): one basic block per stage. Used by Peng et al. 2018."""

from __future__ import annotations

import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock

from train.models.backbones import Scaled, Settings, replace_head


def resnet10(classes: int, settings: Settings) -> nn.Module:
    net = torchvision.models.ResNet(BasicBlock, [1, 1, 1, 1])
    replace_head(net, classes, settings)
    return Scaled(settings.scale, net)
