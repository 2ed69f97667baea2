"""AlexNet and GoogLeNet as published, with cross-channel normalization, as Ho et al. 2023 describe them. torchvision's
are later versions: its AlexNet has 64 first filters and no normalization (Krizhevsky 2014), its GoogLeNet has batch
norm, and 3x3 instead of 5x5.

ImageNet weights of the published versions exist for Caffe and MATLAB, not for torchvision.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from train.models.backbones import Scaled, Settings
from train.models.heads import make_head

# Of an inception block: 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pooled (Szegedy et al. 2015, table 1).
INCEPTION: Final = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
POOLED: Final = (1, 6)  # the blocks after which the side is halved


def alexnet(classes: int, settings: Settings) -> nn.Module:
    """AlexNet (Krizhevsky et al. 2012): 96 filters, two groups, normalization over 5 channels after the first two."""
    features = nn.Sequential(
        *_convolution(3, 96, 11, stride=4), _normalized(), _pool(),
        *_convolution(96, 256, 5, padding=2, groups=2), _normalized(), _pool(),
        *_convolution(256, 384, 3, padding=1), *_convolution(384, 384, 3, padding=1, groups=2),
        *_convolution(384, 256, 3, padding=1, groups=2),
        _pool(), nn.AdaptiveAvgPool2d(6),  # 6 px already for an input of 227 px
        nn.Flatten(),
    )  # fmt: skip
    share = 0.5 if settings.dropout is None else settings.dropout
    full = [
        nn.Linear(256 * 36, 4096),
        nn.ReLU(),
        nn.Dropout(share),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(share),
    ]
    return Scaled(settings.scale, nn.Sequential(features, *full, make_head(settings.head, 4096, classes)))


def googlenet(classes: int, settings: Settings) -> nn.Module:
    """GoogLeNet (Szegedy et al. 2015) without auxiliary classifiers, as in the toolbox of Ho et al."""
    parts: list[nn.Module] = [
        *_convolution(3, 64, 7, stride=2, padding=3), _pool(), _normalized(),
        *_convolution(64, 64, 1), *_convolution(64, 192, 3, padding=1), _normalized(),
        _pool(),
    ]  # fmt: skip
    channels = 192
    for number, sizes in enumerate(INCEPTION):
        parts.append(Inception(channels, sizes))
        channels = sizes[0] + sizes[2] + sizes[4] + sizes[5]
        if number in POOLED:
            parts.append(_pool())
    dropout = nn.Dropout(0.4 if settings.dropout is None else settings.dropout)
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), dropout, make_head(settings.head, channels, classes)]
    return Scaled(settings.scale, nn.Sequential(*parts))


class Inception(nn.Module):
    """Four parallel branches, their channels concatenated."""

    def __init__(self, channels: int, sizes: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        one, before3, three, before5, five, pooled = sizes
        self.ways = nn.ModuleList(
            nn.Sequential(*way)
            for way in (
                _convolution(channels, one, 1),
                (*_convolution(channels, before3, 1), *_convolution(before3, three, 3, padding=1)),
                (*_convolution(channels, before5, 1), *_convolution(before5, five, 5, padding=2)),
                (nn.MaxPool2d(3, 1, padding=1), *_convolution(channels, pooled, 1)),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([way(x) for way in self.ways], dim=1)


def _convolution(inner: int, outer: int, side: int, **options: int) -> tuple[nn.Module, nn.Module]:
    layer = nn.Conv2d(inner, outer, side, **options)  # type: ignore[arg-type]  # all of them are numbers
    nn.init.kaiming_normal_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer, nn.ReLU()


def _pool() -> nn.Module:
    """Halves the side. At 224 and 227 px, rounding up affects only GoogLeNet, whose authors do so."""
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def _normalized() -> nn.Module:
    """Cross-channel normalization (Krizhevsky et al. 2012, section 3.3), with the constants of Caffe and MATLAB."""
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
