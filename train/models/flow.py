"""Small networks on motion, not appearance: STSTNet (Liong et al. 2019) and OFF-ApexNet (Gan et al. 2019).

Input: (3, S, S), channels u, v, strain. At 28 px they have the published sizes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.models.backbones import Settings
from train.models.heads import make_head
from train.models.scaling import InputScale


class STSTNet(nn.Module):
    """Three shallow streams of 3, 5 and 8 filters over the same three channels, 1.7k parameters.

    The paper gives filters and pools; padding and the order of convolution, ReLU, batch norm, pool and dropout follow
    the PyTorch version that its authors link to.
    """

    def __init__(self, classes: int, settings: Settings) -> None:
        super().__init__()
        self.scale = settings.scale
        dropout = 0.5 if settings.dropout is None else settings.dropout
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, filters, 3, padding=2),
                nn.ReLU(),
                nn.BatchNorm2d(filters),
                nn.MaxPool2d(3, stride=3, padding=1),
                nn.Dropout(dropout),
            )
            for filters in (3, 5, 8)
        )
        self.pool = nn.AvgPool2d(2, stride=2)
        pooled = ((settings.size + 4) // 3) // 2  # (S + 2) after the convolution, then a padded 3-pool, then a 2-pool
        self.head = make_head(settings.head, 16 * pooled * pooled, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.scale(x)
        joined = torch.cat([stream(x) for stream in self.streams], dim=1)
        return self.head(self.pool(joined).flatten(1))


class OffApexNet(nn.Module):
    """Two streams (u and v) of two convolutions each, then two dense layers of 1024; the strain is not used."""

    def __init__(self, classes: int, settings: Settings) -> None:
        super().__init__()
        self.scale: InputScale = settings.scale
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Flatten(),
            )
            for _ in range(2)
        )  # fmt: skip
        dropout = nn.Dropout(0.0 if settings.dropout is None else settings.dropout)
        joined = 2 * 16 * (settings.size // 4) ** 2
        self.dense = nn.Sequential(nn.Linear(joined, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), dropout)
        self.head = make_head(settings.head, 1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.scale(x)
        joined = torch.cat([stream(x[:, i : i + 1]) for i, stream in enumerate(self.streams)], dim=1)
        return self.head(self.dense(joined))


def ststnet(classes: int, settings: Settings) -> nn.Module:
    return STSTNet(classes, settings)


def off_apexnet(classes: int, settings: Settings) -> nn.Module:
    return OffApexNet(classes, settings)
