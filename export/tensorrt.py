"""TensorRT engines: from an ONNX file with TensorRT's parser (or TensorRT-RTX's), or from a checkpoint with
torch-tensorrt.

Both ways end in the same thing, an engine file with its ModelSpec beside it, and one runtime back end runs it. The
networks are strongly typed, so a precision is a change of the network before TensorRT sees it: FP16 by ONNX Runtime's
converter or a cast of the module, INT8 by ``export.int8``. Input and probabilities stay float32.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from torch import Tensor, nn

from export import int8, to_onnx
from export.data import Data
from export.program import Probabilities, trace
from realtime_mer.errors import ConfigError, DeviceError, ModelError, first_line
from realtime_mer.recognize import tensorrt
from realtime_mer.recognize.spec import ModelSpec
from train.models.coding import WithHeads
from train.models.none import WithNone

PRECISIONS: Final = ("fp32", "fp16", "int8")


def from_onnx(source: Path, target: Path, precision: str, calibration: Data | None = None) -> Path:
    """Builds the engine of an ONNX file. int8 needs calibration samples.

    Raises DeviceError without TensorRT, ModelError when it refuses the file, ConfigError for another precision.
    """
    _check(precision)
    tensorrt.import_tensorrt()
    model, spec = to_onnx.read(source)
    if int8.unsigned(model):
        raise ModelError(
            f"{source} is quantized for the CPU, and TensorRT takes signed numbers only: "
            "make it with `python -m export int8 --signed`"
        )
    typed = in_precision(model, precision, calibration)
    engine = tensorrt.build(typed.SerializeToString(), spec.input_shape, precision)
    tensorrt.save(engine, spec, target)
    return target


def in_precision(model: onnx.ModelProto, precision: str, calibration: Data | None) -> onnx.ModelProto:
    """The ONNX graph in the types that TensorRT shall compute in, with float32 input and output."""
    if precision == "fp32":
        return model
    if precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        # The softmax stays float32: it is next to nothing, and half precision would cost two digits.
        half: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True, op_block_list=["Softmax"])
        return half
    if calibration is None:
        raise ConfigError("int8 needs samples to calibrate on: give --calibrate DATA")
    return int8.to_proto(model, calibration.x, signed=True)


def in_type(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of a network that computes in ``dtype``; its gate for "none" and its heads stay float32."""
    copied = copy.deepcopy(module)
    if not isinstance(copied, WithHeads | WithNone):
        return Typed(copied, dtype)
    copied.network = in_type(copied.network, dtype)
    return copied


class Typed(nn.Module):
    """A network in one type between a float32 input and float32 logits; the map of an Attention Branch is left out."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module.to(dtype), dtype

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.module(x.to(self.dtype))
        return logits.float()


def from_checkpoint(module: nn.Module, spec: ModelSpec, target: Path, precision: str) -> Path:
    """Builds the engine of a network with torch-tensorrt. Raises as ``from_onnx``; int8 goes by way of ONNX."""
    _check(precision)
    if precision == "int8":
        raise ConfigError("int8 is built from ONNX: export onnx first, then export tensorrt --precision int8")
    trt = import_torch_tensorrt()
    if not torch.cuda.is_available():
        raise DeviceError("torch sees no CUDA device, which torch-tensorrt needs: see docs/gpu.md")
    typed = in_type(module, torch.float16 if precision == "fp16" else torch.float32)
    largest = tensorrt.LARGEST_BATCH
    program = trace(Probabilities(typed, spec.temperature).eval().cuda(), spec, largest)
    try:
        engine = trt.dynamo.convert_exported_program_to_serialized_trt_engine(
            program,
            arg_inputs=[
                trt.Input(
                    min_shape=(1, *spec.input_shape),
                    opt_shape=(tensorrt.USUAL_BATCH, *spec.input_shape),
                    max_shape=(largest, *spec.input_shape),
                    dtype=torch.float32,
                )
            ],
            disable_tf32=precision == "fp32",
        )
    except Exception as error:  # torch-tensorrt raises many kinds, none of them documented
        raise ModelError(f"torch-tensorrt cannot convert {spec.id}: {first_line(error)}") from error
    tensorrt.save(bytes(engine), spec, target)
    return target


def import_torch_tensorrt() -> Any:
    """The module torch_tensorrt. Raises DeviceError when it or NVIDIA's libraries behind it are missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch_tensorrt
    except Exception as error:  # a plain Exception when TensorRT's libraries are missing
        raise DeviceError(f"torch-tensorrt cannot be loaded ({first_line(error)}): see docs/gpu.md") from None
    return torch_tensorrt


def _check(precision: str) -> None:
    if precision not in PRECISIONS:
        raise ConfigError(f"unknown precision {precision!r}: choose from {', '.join(PRECISIONS)}")
