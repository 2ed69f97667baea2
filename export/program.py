"""A trained network as a torch.export program that gives calibrated probabilities: where every exported file begins.

``to_onnx`` translates the program, ``pt2`` saves it as it is, ``tensorrt`` compiles it. The first two compare the
result with the network before they write it, and leave out where each operation stands in the code: that would name the
folders, and so perhaps the user, of the machine that exported it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realtime_mer.errors import ModelError, OutputError, first_line
from realtime_mer.recognize.spec import PROBABILITIES, ModelSpec
from train.models.attention import HataNet
from train.models.coding import WithHeads
from train.models.none import WithNone

INPUT: Final = "input"  # float32 (N, *spec.input_shape)
OUTPUT: Final = PROBABILITIES  # float32 (N, classes), rows sum to 1
ATTENTION: Final = "attention"  # float32 (N, 1, h, w), 0 to 1: the map of an Attention Branch
LARGEST_BATCH: Final = 4096  # far above any use; an upper bound lets torch.export reason about sizes
TOLERANCE: Final = 1e-4  # largest difference of a probability, FP32 against torch, on the CPU
PARITY_BATCHES: Final = (1, 8)

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # samples (N, *input_shape) to answers (N, spec.width)


@dataclass(frozen=True, slots=True)
class Report:
    """What was written. difference: largest absolute difference of a probability from torch over the parity batches."""

    path: Path
    difference: float
    size: int  # bytes


class Probabilities(nn.Module):
    """The network with what turns its logits into calibrated probabilities; with the map of an Attention Branch.

    Of a network with a gate the last probability is that nothing moves.
    """

    def __init__(self, module: nn.Module, temperature: float) -> None:
        super().__init__()
        self.module = module
        self.temperature = temperature

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names, in the order of ``forward``'s answers; the map of an Attention Branch is no answer, and comes last."""
        heads = tuple(self.module.heads) if isinstance(self.module, WithHeads) else ()
        with_map = isinstance(self.module, HataNet) and self.module.branch is not None
        return (OUTPUT, *heads, ATTENTION) if with_map else (OUTPUT, *heads)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        if isinstance(self.module, WithHeads):
            # heads and gate come first, so that what quantizes the network leaves them as they are
            coded = tuple(head(x).float() for head in self.module.heads.values())
            return self._classes(self.module.network, x), *coded
        if isinstance(self.module, HataNet):
            logits, _, attention = self.module.branches(x)
            probabilities = torch.softmax(logits.float() / self.temperature, dim=1)
            return probabilities if attention is None else (probabilities, attention)
        return self._classes(self.module, x)

    def _classes(self, module: nn.Module, x: Tensor) -> Tensor:
        if not isinstance(module, WithNone):
            return torch.softmax(module(x).float() / self.temperature, dim=1)
        none = torch.sigmoid(module.gate(x).float())[:, None]
        some = torch.softmax(module.network(x).float() / self.temperature, dim=1)
        return torch.cat([(1 - none) * some, none], dim=1)


def batch_axis(largest: int = LARGEST_BATCH) -> tuple[dict[int, torch.export.Dim]]:
    """What torch.export is told about shapes: the first axis of the input is the batch, 1 to ``largest``."""
    return ({0: torch.export.Dim("batch", min=1, max=largest)},)


def trace(whole: Probabilities, spec: ModelSpec, largest: int = LARGEST_BATCH) -> torch.export.ExportedProgram:
    """The network as a program with a dynamic batch, on the device that its weights are on.

    Raises ModelError when torch.export cannot follow it.
    """
    weight = next(whole.parameters(), None)
    device = "cpu" if weight is None else weight.device
    example = torch.zeros(2, *spec.input_shape, device=device)  # 2: a batch of 1 would become a constant
    try:
        with warnings.catch_warnings(), torch.no_grad():  # what torch warns of are its own internals
            warnings.simplefilter("ignore")
            return torch.export.export(whole, (example,), dynamic_shapes=batch_axis(largest))
    except Exception as error:  # torch raises many kinds, none of them documented
        raise ModelError(f"{spec.id} cannot be exported by torch: {first_line(error)}") from error


def check_parity(whole: nn.Module, run: Run, spec: ModelSpec, kind: str) -> float:
    """Largest absolute difference of the probabilities between the network and ``run`` on seeded noise.

    kind: of the file, for the message. Raises ModelError when it is above TOLERANCE, or the labels do not fit.
    """
    noise = np.random.default_rng(0)
    worst = 0.0
    for batch in PARITY_BATCHES:
        x = noise.standard_normal((batch, *spec.input_shape), dtype=np.float32)
        with torch.no_grad():
            answer = whole(torch.from_numpy(x))
        parts = answer[: len(spec.outputs)] if isinstance(answer, tuple) else (answer,)
        expected = torch.cat(parts, dim=1).numpy()
        if expected.shape != (batch, spec.width):
            raise ModelError(f"{spec.id}: {spec.width} labels, but the network gives {expected.shape[1:]} values")
        worst = max(worst, float(np.max(np.abs(run(x) - expected))))
    if not worst <= TOLERANCE:  # also refuses NaN
        raise ModelError(
            f"{spec.id}: {kind} differs from torch by {worst:.2g} (allowed {TOLERANCE:g}): nothing was written"
        )
    return worst


def write_file(path: Path, content: bytes) -> int:
    """Writes one complete file or none; returns its size in bytes. Raises OutputError."""
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}): check the folder and the space left") from None
    return len(content)
