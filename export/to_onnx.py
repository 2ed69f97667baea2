"""Checkpoint to ONNX: the one function that fixes names, opset, dynamic batch and the ModelSpec in the file.

The result is compared with torch before it is written; a file that computes something else never comes to be.
Quantisation and TensorRT are in the neighbouring modules; running the file is the runtime's work.
"""

from __future__ import annotations

import io
import os
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from realtime_mer.errors import ModelError, OutputError
from realtime_mer.recognise.spec import KEY, ModelSpec
from train.models.attention import HataNet

INPUT: Final = "input"  # float32 (N, *spec.input_shape)
OUTPUT: Final = "probabilities"  # float32 (N, classes), rows sum to 1
ATTENTION: Final = "attention"  # float32 (N, 1, h, w), 0 to 1: the map of an Attention Branch
OPSET: Final = 18  # what torch's exporter writes without a version conversion; ONNX Runtime reads it since 1.14
TOLERANCE: Final = 1e-4  # largest difference of a probability, FP32 against torch, on the CPU
PARITY_BATCHES: Final = (1, 8)


@dataclass(frozen=True, slots=True)
class Report:
    """What was written. difference: largest absolute difference of a probability from torch over the parity batches."""

    path: Path
    difference: float
    size: int  # bytes


class Probabilities(nn.Module):
    """The network with what turns its logits into calibrated probabilities; with the map of an Attention Branch."""

    def __init__(self, module: nn.Module, temperature: float) -> None:
        super().__init__()
        self.module = module
        self.temperature = temperature
        self.with_map = isinstance(module, HataNet) and module.branch is not None

    @property
    def outputs(self) -> tuple[str, ...]:
        return (OUTPUT, ATTENTION) if self.with_map else (OUTPUT,)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if not self.with_map:
            return torch.softmax(self.module(x).float() / self.temperature, dim=1)
        logits, _, attention = self.module.branches(x)
        return torch.softmax(logits.float() / self.temperature, dim=1), attention


def export(module: nn.Module, spec: ModelSpec, path: Path) -> Report:
    """Writes ``module`` (logits from float32 (N, *spec.input_shape)) as one ONNX file with ``spec`` inside.

    Raises ModelError when the network cannot be exported or the file would differ from torch by more than TOLERANCE
    at any of PARITY_BATCHES; nothing is left behind then. OutputError when the file cannot be written.
    """
    whole = Probabilities(module, spec.temperature).eval()
    model = to_proto(whole, spec)
    difference = parity(whole, model, spec)
    if not difference <= TOLERANCE:  # also refuses NaN
        raise ModelError(
            f"{spec.id}: ONNX differs from torch by {difference:.2g} (allowed {TOLERANCE:g}): nothing was written"
        )
    return Report(path, difference, write(model, path))


def to_proto(whole: Probabilities, spec: ModelSpec) -> onnx.ModelProto:
    """The ONNX graph with names, dynamic batch, opset and spec set; not yet compared with torch."""
    example = torch.zeros(2, *spec.input_shape)  # 2: torch.export would take a batch of 1 for a constant
    try:
        # The exporter prints progress and warns about its own internals; neither is for our user.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                whole,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=list(whole.outputs),
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
                verbose=False,
            )
    except Exception as error:  # the exporter raises many kinds, none of them documented
        raise ModelError(f"{spec.id} cannot be exported to ONNX: {str(error).splitlines()[0]}") from error
    model: onnx.ModelProto = program.model_proto
    # The exporter notes for each operation where it stands in the source, with the paths of this machine.
    for part in (*model.graph.node, *model.graph.value_info):
        part.ClearField("metadata_props")
    set_spec(model, spec)
    onnx.checker.check_model(model)
    return model


def parity(whole: nn.Module, model: onnx.ModelProto, spec: ModelSpec) -> float:
    """Largest absolute difference of the probabilities between torch and ONNX Runtime on seeded noise."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(0)
    worst = 0.0
    for batch in PARITY_BATCHES:
        x = noise.standard_normal((batch, *spec.input_shape), dtype=np.float32)
        with torch.no_grad():
            answer = whole(torch.from_numpy(x))
        expected = (answer[0] if isinstance(answer, tuple) else answer).numpy()
        got = session.run([OUTPUT], {INPUT: x})[0]
        if got.shape != (batch, len(spec.labels)):
            raise ModelError(f"{spec.id}: {len(spec.labels)} labels, but the network gives {got.shape[1:]} values")
        worst = max(worst, float(np.max(np.abs(got - expected))))
    return worst


def read(path: Path) -> tuple[onnx.ModelProto, ModelSpec]:
    """An ONNX file of ours and its spec. Raises ModelError for any other file."""
    try:
        model = onnx.load(path)
    except FileNotFoundError:
        raise ModelError(f"model file {path} does not exist") from None
    except Exception as error:  # protobuf's own errors, by version
        raise ModelError(f"{path} is not an ONNX file ({type(error).__name__})") from None
    text = next((entry.value for entry in model.metadata_props if entry.key == KEY), None)
    if text is None:
        raise ModelError(f"{path} carries no model spec: export it with `python -m export onnx CHECKPOINT`")
    return model, ModelSpec.from_json(text)


def set_spec(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Puts ``spec`` into the file's metadata, in place of any other."""
    kept = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**kept, KEY: spec.to_json()})


def write(model: onnx.ModelProto, path: Path) -> int:
    """Writes one whole file (no external data) or none; returns its size in bytes. Raises OutputError."""
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(model.SerializeToString())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}): check the folder and the space left") from None
    return path.stat().st_size
