"""Checkpoint to ONNX: the one function that fixes names, opset, dynamic batch and the ModelSpec in the file.

The result is compared with torch before it is written; a file that computes something else never comes to be.
Quantization and TensorRT are in the neighboring modules; running the file is the runtime's work.
"""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from export.program import INPUT, Probabilities, Report, batch_axis, check_parity, trace, write_file
from realtime_mer.errors import ModelError, first_line
from realtime_mer.recognize.spec import KEY, ModelSpec

OPSET: Final = 18  # what torch's exporter writes without a version conversion; ONNX Runtime reads it since 1.14


def export(module: nn.Module, spec: ModelSpec, path: Path) -> Report:
    """Writes ``module`` (logits from float32 (N, *spec.input_shape)) as one ONNX file with ``spec`` inside.

    Raises ModelError when the network cannot be exported or the file would differ from it by more than the tolerance;
    nothing is left behind then. OutputError when the file cannot be written.
    """
    whole = Probabilities(module, spec.temperature).eval()
    model = to_proto(whole, spec)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = list(spec.outputs)
    difference = check_parity(whole, lambda x: np.concatenate(session.run(outputs, {INPUT: x}), axis=1), spec, "ONNX")
    return Report(path, difference, write(model, path))


def to_proto(whole: Probabilities, spec: ModelSpec) -> onnx.ModelProto:
    """The ONNX graph with names, dynamic batch, opset and spec set; not yet compared with torch."""
    program = trace(whole, spec)
    try:
        # The exporter prints progress and warns about its own internals; neither is for our user.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            translated = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=list(whole.outputs),
                dynamic_shapes=batch_axis(),  # gives the axis its name in the file
                verbose=False,
            )
    except Exception as error:  # the exporter raises many kinds, none of them documented
        raise ModelError(f"{spec.id} cannot be exported to ONNX: {first_line(error)}") from error
    assert translated is not None  # only without dynamo
    model: onnx.ModelProto = translated.model_proto
    # The exporter notes for each operation where it stands in the source, with the paths of this machine.
    for part in (*model.graph.node, *model.graph.value_info):
        part.ClearField("metadata_props")
    set_spec(model, spec)
    onnx.checker.check_model(model)
    return model


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
    return model, ModelSpec.from_json(text, path.name)


def set_spec(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Puts ``spec`` into the file's metadata, in place of any other."""
    kept = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**kept, KEY: spec.to_json()})


def write(model: onnx.ModelProto, path: Path) -> int:
    """Writes one whole file (no external data) or none; returns its size in bytes. Raises OutputError."""
    return write_file(path, model.SerializeToString())
