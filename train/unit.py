"""The device and precision of a training, and the transfer of samples.

Images have their channels last, which makes a training step 1.3 to 1.7 times as fast on a CPU; small networks on motion
would be slower. On a GPU nothing waits for a step: samples are copied from pinned memory while the previous step is
computed, and nothing is read back before the epoch is over. All samples are in memory, so one thread is faster than the
GPU.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realtime_mer.errors import DeviceError


@dataclass(frozen=True, slots=True)
class Unit:
    """device: torch's. bf16: multiply in bfloat16 (torch's autocast); weights, losses and averages stay float32."""

    device: torch.device
    bf16: bool = False

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"

    def place(self, model: nn.Module) -> None:
        """Moves a network to the device, in place."""
        model.to(self.device)
        if self.gpu:
            model.to(memory_format=torch.channels_last)

    def send(self, tensor: Tensor) -> Tensor:
        """The tensor on the device; a GPU copies it in the background."""
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.gpu else tensor

    def inputs(self, x: NDArray[Any]) -> Tensor:
        """Samples (N, ...) on the device as float32: uint8 images become 0 to 1, motion is unchanged."""
        sent = self.send(torch.from_numpy(np.ascontiguousarray(x)))
        pictures = x.dtype == np.uint8
        made = sent.float() / 255 if pictures else sent.float()
        return made.contiguous(memory_format=torch.channels_last) if made.ndim == 4 and (self.gpu or pictures) else made

    def computing(self) -> torch.autocast:
        """The context for a forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def open_unit(name: str, precision: str = "fp32") -> Unit:
    """Opens a device: "cpu", "cuda", or "cuda:N" for GPU number N. precision: "fp32" or "bf16".

    Raises DeviceError instead of falling back.
    """
    bf16 = precision == "bf16"
    if name == "cpu":
        return Unit(torch.device("cpu"), bf16)
    kind, _, number = name.partition(":")
    if kind == "cuda" and number.isdecimal() == bool(number) and torch.cuda.is_available():
        if int(number or 0) >= torch.cuda.device_count():
            raise DeviceError(f"device {name!r} does not exist: there are {torch.cuda.device_count()}, counted from 0")
        # cuBLAS needs this to give the same results on every run
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        return Unit(torch.device(name), bf16)
    raise DeviceError(f"device {name!r} is not available: use --device cpu, or cuda on a machine with an NVIDIA GPU")
