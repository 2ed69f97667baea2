"""Model files for the tests of back ends: a small real network with random weights, exported once for a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torchvision

from export import pt2, to_onnx
from realtime_mer.recognize.spec import ModelSpec
from train.models import create

LABELS = ("negative", "positive", "surprise")


def spec_of(name: str, size: int, feature: str = "flow-uvs/1") -> ModelSpec:
    return ModelSpec(name, "0", LABELS, feature, (3, size, size), temperature=1.3, training_data="random weights")


def network(name: str, size: int, feature: str = "", **options: object) -> torch.nn.Module:
    """A seeded network whose batch norms have seen noise, so that its outputs depend on the input as after training."""
    torch.manual_seed(0)
    model = create(name, len(LABELS), feature=feature, size=size, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        for module in model.modules():
            # As trained residual networks do, a block adds little: 50 random blocks in a row would amplify rounding.
            if isinstance(module, torchvision.models.resnet.Bottleneck):
                module.bn3.weight.fill_(0.2)
        # Two passes at full weight replace the statistics, which start at 0 and 1 and let deep networks explode.
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = None
        model.train()
        for _ in range(2):
            model(torch.randn(8, 3, size, size))
    return model.eval()


class Treacherous(torch.nn.Module):
    """Computes one thing when exported and another when run: stands for any fault of an exporter."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shift = 0.0 if torch.compiler.is_compiling() else 0.1
        return x.mean(dim=(2, 3)) + shift * x[:, :, 0, 0]


def exported(path: Path, name: str = "ststnet", size: int = 28) -> Path:
    """An ONNX file of a network on the runtime's own feature."""
    to_onnx.export(network(name, size, "flow-uvs/1"), spec_of(name, size), path)
    return path


def programmed(path: Path, name: str = "ststnet", size: int = 28) -> Path:
    """The same network as ``exported`` gives, as a .pt2 file."""
    pt2.export(network(name, size, "flow-uvs/1"), spec_of(name, size), path)
    return path


def noise(count: int, size: int = 28, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, size, size), dtype=np.float32)
