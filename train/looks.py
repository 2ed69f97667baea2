"""Where a network on images looks: Grad-CAM (Selvaraju et al. 2017) or its own attention, averaged over clips.

The mean over all tested images of a class shows no face, so a report may contain it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from train.models import APEX, FRAMES
from train.models.attention import HataNet
from train.recipe import Input
from train.samples import Samples
from train.unit import open_unit

PICTURES: Final = (APEX, FRAMES)  # features for which such a map is meaningful
SIDE: Final = 14  # cells of a map
BATCH: Final = 16


def supported(how: Input) -> bool:
    """Whether a map is meaningful for these inputs."""
    return how.feature in PICTURES


def by_class(model: nn.Module, test: Samples, classes: int, device: str) -> list[list[list[float]] | None]:
    """The mean map of the tested samples of each true class, SIDE x SIDE, 0 to 1; None for a class without samples."""
    maps = _maps(model, test.x, test.y, device)
    return [maps[test.y == k].mean(axis=0).tolist() if (test.y == k).any() else None for k in range(classes)]


def joined(folds: Sequence[Sequence[Any]], truth: Sequence[NDArray[np.int64]]) -> list[list[list[float]] | None]:
    """The mean map of each class over several folds. truth: the labels that each fold tested."""
    found: list[list[list[float]] | None] = []
    for k in range(len(folds[0])):
        parts = [(fold[k], int((y == k).sum())) for fold, y in zip(folds, truth, strict=True) if fold[k] is not None]
        mean = np.average([part for part, _ in parts], axis=0, weights=[n for _, n in parts]) if parts else None
        found.append(None if mean is None else mean.tolist())
    return found


def _maps(model: nn.Module, x: NDArray[Any], y: NDArray[np.int64], device: str) -> NDArray[np.float64]:
    """Evidence for the true class, (N, SIDE, SIDE), each 0 to 1."""
    unit = open_unit(device)
    unit.place(model)
    model.eval()
    parts = []
    for start in range(0, len(x), BATCH):
        inputs = unit.inputs(x[start : start + BATCH])
        if isinstance(model, HataNet) and model.branch is not None:
            with torch.inference_mode():
                found = model.branches(inputs)[2]
            assert found is not None
        else:
            found = _grad_cam(model, inputs, torch.from_numpy(y[start : start + BATCH]).to(unit.device))
        sized = F.interpolate(found.float(), (SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0]
        top = sized.amax((1, 2), keepdim=True)
        parts.append((sized / top.clamp_min(1e-12)).cpu().numpy().astype(np.float64))
    return np.concatenate(parts)


def _grad_cam(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Grad-CAM (N, 1, h, w) of the last convolution with more than one cell."""
    seen: list[Tensor] = []

    def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if output.ndim == 4 and min(output.shape[2:]) > 1:
            seen[:] = [output]

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, nn.Conv2d)]
    try:
        with torch.enable_grad():
            logits = model(x.requires_grad_())
            if not seen:  # the input is too small for any
                return torch.zeros(len(x), 1, 1, 1, device=x.device)
            (slope,) = torch.autograd.grad(logits.gather(1, y[:, None]).sum(), seen[0])
    finally:
        for hook in hooks:
            hook.remove()
    weight = slope.mean((2, 3), keepdim=True)
    return torch.relu((weight * seen[0]).sum(1, keepdim=True)).detach()
