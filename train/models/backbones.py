"""torchvision's networks, with input scaling in front and a new last layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torchvision
from torch import Tensor, nn

from train.models.heads import make_head
from train.models.scaling import InputScale

BATCH_NORM_MOMENTUM: Final = 0.1  # torch's own default


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of ``train.models.create``; see there."""

    size: int
    head: str
    stem: str
    attention: bool
    dropout: float | None
    scale: InputScale


Builder = Callable[[int, Settings], nn.Module]


class Scaled(nn.Module):
    """Input scaling, then a network. ``net`` keeps torchvision's names, so that torchvision's weight files load."""

    def __init__(self, scale: InputScale, net: nn.Module) -> None:
        super().__init__()
        self.scale = scale
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.scale(x))


def builder(name: str) -> Builder:
    """A function that makes torchvision's network of this name for our classes; "+relu": with SqueezeNet's last
    ReLU."""
    torchvision_name, _, extra = name.partition("+")

    def build(classes: int, settings: Settings) -> nn.Module:
        # GoogLeNet: no auxiliary classifiers (Ho et al.'s toolbox has none) and our own input scaling.
        if torchvision_name == "googlenet":
            net = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=True)
        else:
            net = getattr(torchvision.models, torchvision_name)(weights=None)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                # torchvision's MobileNet-v3 uses 0.01, for ImageNet's millions of steps. A few hundred clips allow only
                # hundreds of steps, after which its statistics are still the initial ones and it answers at random.
                module.momentum = max(module.momentum or 0.0, BATCH_NORM_MOMENTUM)
        replace_head(net, classes, settings)
        if extra and settings.head == "linear":
            net.classifier.insert(2, nn.ReLU())
        return Scaled(settings.scale, net)

    return build


def replace_head(net: nn.Module, classes: int, settings: Settings) -> None:
    """Puts a new last layer for ``classes`` into a torchvision network, in place."""
    if isinstance(net, torchvision.models.SqueezeNet):
        # its classifier is a 1x1 convolution before the average; the cosine head works on the averaged features
        features = net.classifier[1].in_channels
        dropout = nn.Dropout(0.5 if settings.dropout is None else settings.dropout)
        if settings.head == "arcface":
            pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), make_head("arcface", features, classes))
            net.classifier = nn.Sequential(dropout, *pool)
        else:
            conv = nn.Conv2d(features, classes, kernel_size=1)
            nn.init.normal_(conv.weight, std=0.01)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
            # No ReLU after it. Ho et al. and torchvision keep that of the original, which gives no gradient for a class
            # whose output is negative everywhere. Ours is a plain linear classifier; see "+relu".
            net.classifier = nn.Sequential(dropout, conv, nn.AdaptiveAvgPool2d(1))
        return
    if isinstance(fully := getattr(net, "fc", None), nn.Linear):
        net.fc = make_head(settings.head, fully.in_features, classes)
    else:
        classifier: nn.Sequential = net.get_submodule("classifier")  # type: ignore[assignment]  # in all of these
        last = classifier[-1]
        assert isinstance(last, nn.Linear)
        classifier[-1] = make_head(settings.head, last.in_features, classes)
    if settings.dropout is not None:
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                module.p = settings.dropout
