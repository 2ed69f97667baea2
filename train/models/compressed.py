"""Reads SqueezeNet 1.0's ImageNet weights from the file of Han et al. 2016 ("Deep Compression"): 676 kB, BSD license.

Each layer holds its biases, a table of 256 numbers and, for each nonzero weight, a position in that table and the
distance from the previous one. The network was trained on BGR, 0 to 255, minus a mean per channel; its first layer is
changed to take the input of our networks.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torchvision.models import squeezenet1_0

from realtime_mer.errors import ModelError
from train.models.scaling import IMAGENET_MEAN, IMAGENET_STD

SUFFIX: Final = ".net"
TABLE: Final = 256
MEANS_BGR: Final = (104.0, 117.0, 123.0)


def read(path: Path) -> dict[str, Tensor]:
    """The weights under torchvision's names, for inputs with our ImageNet scaling. Raises ModelError."""
    try:
        content = path.read_bytes()
        state = _layers(content)
    except FileNotFoundError:
        raise ModelError(f"weights file {path} does not exist") from None
    except (OSError, ValueError, IndexError) as error:
        raise ModelError(f"weights file {path} is not the compressed SqueezeNet: {error}") from None
    first = state["features.0.weight"].flip(1)  # to RGB
    offset = 255 * torch.tensor(IMAGENET_MEAN) - torch.tensor(MEANS_BGR).flip(0)
    state["features.0.bias"] = state["features.0.bias"] + (first * offset[:, None, None]).sum((1, 2, 3))
    state["features.0.weight"] = first * (255 * torch.tensor(IMAGENET_STD))[:, None, None]
    return state


def _layers(content: bytes) -> dict[str, Tensor]:
    """The layers in order, which is also torchvision's. Raises ValueError, IndexError."""
    shapes = {name: tensor.shape for name, tensor in squeezenet1_0().state_dict().items()}
    weights = [name for name in shapes if name.endswith("weight")]
    stream = io.BytesIO(content)

    def take(kind: type, count: int) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
        size = np.dtype(kind).itemsize * count
        part = stream.read(size)
        if len(part) != size:
            raise ValueError("it ends too early")
        return np.frombuffer(part, kind)

    state: dict[str, Tensor] = {}
    for name, filled in zip(weights, take(np.uint32, len(weights)).tolist(), strict=True):
        shape, bias = shapes[name], name.removesuffix("weight") + "bias"
        table = take(np.float32, TABLE)
        state[bias] = torch.from_numpy(take(np.float32, shapes[bias].numel()).copy())
        codes, packed = take(np.uint8, filled), take(np.uint8, (filled + 1) // 2)
        apart = np.stack([packed % 16, packed // 16], 1).ravel()[:filled].astype(np.int64)
        whole = np.zeros(shape.numel(), np.uint8)
        whole[np.cumsum(apart + 1) - 1] = codes
        state[name] = torch.from_numpy(table[whole].reshape(shape))
    if stream.read(1):
        raise ValueError("there is more data after the last layer")
    return state
