"""FP32 ONNX to INT8 ONNX: static quantization with ONNX Runtime's own tool, and what it costs and gains, measured.

Both ends of the network stay float: the first convolutions, because their input has planes of different units (px of
motion, strain) that one common scale would flatten, and the pooling and head, which cost nothing.

For the CPU: activations unsigned 8 bits, weights signed 8 bits per channel. ``signed``: both signed and symmetric,
which is all that TensorRT takes; ONNX Runtime takes it, too, but on x86 it is two to three times slower. Biases stay
float: no TensorRT takes dequantized INT32. A network with squeeze-excitation or SiLU may become slower: look at the
report before using the file.
"""

from __future__ import annotations

import io
import logging
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from export import to_onnx
from export.data import Data
from export.program import INPUT, OUTPUT
from export.verify import Comparison, compare
from realtime_mer.errors import DataError, ModelError, first_line

CALIBRATION: Final = 256  # samples at most: ranges settle long before, and all activations are kept in memory
# Fewer samples do not tell where the ranges end. Motion of CASME II through MobileNet-v3-small, against all 255 clips:
# the 99.99th percentile of a convolution's output is off by 21 % with 8 samples (worst draw 32 %), by 14 % with 32, by
# 9 % with 128 (medians over the convolutions).
LEAST: Final = 32
CHUNK: Final = 8  # samples in one calibration run; the tool wants runs of equal size, a rest is left out
# Ranges end where 99.99 % of the values lie: a few outliers would coarsen the steps of all other values.
PERCENTILE: Final = 99.99
# Convolutions at the start that stay float: at most so many, and at most this share of all. Measured on
# Efficient-ME-Lite (33 convolutions) trained on CASME II motion, the two worst of five folds: labels equal to FP32
# with 3 of them 100 and 83 %, with 6 of them 100 and 100 %, at 1.5 times the speed of FP32 for one sample.
FLOAT_START: Final = 6
FLOAT_SHARE: Final = 0.2
ENDS: Final = ("GlobalAveragePool", "ReduceMean", "Reshape", "Flatten", "Gemm", "Softmax", "Sub", "Mul", "Concat")
ARITHMETIC: Final = ("Add", "Sub", "Mul", "Div", "Pow")
TIMED: Final = 200  # runs of one sample for each file, in turns, so that both see the same other load
WARM: Final = 20


@dataclass(frozen=True, slots=True)
class Report:
    """fp32_ms, int8_ms: median time of one sample on one thread of this CPU. sizes in bytes."""

    path: Path
    fp32_ms: float
    int8_ms: float
    fp32_size: int
    int8_size: int
    comparison: Comparison


def quantize(
    source: Path, target: Path, calibration: Data, held_out: Data | None = None, signed: bool = False
) -> Report:
    """Writes ``source`` in INT8 to ``target`` with its spec (the name gets "-int8") and compares the two.

    calibration: gives the ranges of the activations. held_out: for the comparison; without it the calibration samples
    serve, which flatters the result a little. signed: for TensorRT, too. Raises ModelError when the tool refuses the
    file, DataError when there are fewer than LEAST samples.
    """
    model, spec = to_onnx.read(source)
    quantized = to_proto(model, calibration.x, signed)
    to_onnx.set_spec(quantized, replace(spec, name=f"{spec.name}-int8"))
    to_onnx.write(quantized, target)
    before, after = latency((source, target), calibration.x[:1])
    comparison = compare(source, target, calibration if held_out is None else held_out)
    return Report(target, before, after, source.stat().st_size, target.stat().st_size, comparison)


def to_proto(model: onnx.ModelProto, x: NDArray[np.float32], signed: bool = False) -> onnx.ModelProto:
    """The quantized graph: float input and output, quantize/dequantize pairs inside. ``model`` stays as it is.

    Raises as ``quantize``.
    """
    if len(x) < LEAST:
        raise DataError(f"{len(x)} samples are too few to calibrate on: give at least {LEAST}, better {CALIBRATION}")
    activation = quantization.QuantType.QInt8 if signed else quantization.QuantType.QUInt8
    # The tool works on files, and writes a hint about preprocessing, which has been done, to the root logger.
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, prepared, result = (Path(folder, name) for name in ("plain.onnx", "prepared.onnx", "int8.onnx"))
        plain.write_bytes(model.SerializeToString())
        try:
            # Symbolic shape inference is for transformers; the folding of batch norms is what is wanted here.
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(
                prepared,
                result,
                _Samples(model.graph.input[0].name, x[:CALIBRATION]),
                nodes_to_exclude=_float_nodes(onnx.load(prepared)),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=activation,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.Percentile,
                extra_options={
                    "ActivationSymmetric": signed,
                    "WeightSymmetric": True,
                    "CalibPercentile": PERCENTILE,
                    # TensorRT takes no dequantized INT32: biases stay float, which costs nothing.
                    "QuantizeBias": False,
                },
            )
        except ModelError:
            raise
        except Exception as error:  # the tool raises many kinds
            raise ModelError(f"the file cannot be quantized: {first_line(error)}") from error
        return onnx.load(result)


def unsigned(model: onnx.ModelProto) -> bool:
    """Whether a file is quantized in a way that only the CPU takes."""
    points = {node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear" and len(node.input) > 2}
    return any(t.name in points and t.data_type == onnx.TensorProto.UINT8 for t in model.graph.initializer)


def latency(files: tuple[Path, ...], sample: NDArray[np.float32]) -> list[float]:
    """Median ms of one run of ``sample`` for each file, one thread, in turns."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    sessions = [onnxruntime.InferenceSession(str(f), options, providers=["CPUExecutionProvider"]) for f in files]
    times = np.zeros((TIMED, len(files)))
    for turn in range(-WARM, TIMED):
        for i, session in enumerate(sessions):
            begin = time.perf_counter()
            session.run([OUTPUT], {INPUT: sample})
            if turn >= 0:
                times[turn, i] = time.perf_counter() - begin
    return [float(ms) for ms in np.median(times, axis=0) * 1e3]


class _Samples(quantization.CalibrationDataReader):  # type: ignore[misc]  # the tool wants its own base class
    def __init__(self, name: str, x: NDArray[np.float32]) -> None:
        size = min(CHUNK, len(x))
        starts = range(0, len(x) - size + 1, size)
        self.chunks: Iterator[dict[str, Any]] = ({name: x[i : i + size]} for i in starts)

    def get_next(self) -> dict[str, Any] | None:
        return next(self.chunks, None)


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay float: up to the last of the first convolutions, after the last of all, all that no
    convolution feeds, as the gate and the heads, and arithmetic with a constant number, as in cross-channel
    normalization: TensorRT takes no quantized constant there."""
    nodes = model.graph.node
    numbers = {tensor.name for tensor in model.graph.initializer if math.prod(tensor.dims) == 1}
    convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
    if not convolutions:
        raise ModelError("the file has no convolution: there is nothing to gain by quantizing it")
    start = convolutions[max(1, min(FLOAT_START, int(FLOAT_SHARE * len(convolutions)))) - 1]
    fed: set[str] = set()  # tensors that depend on a convolution
    kept = []
    for i, node in enumerate(nodes):  # in an order in which every node comes after what it needs
        convolved = node.op_type == "Conv" or not fed.isdisjoint(node.input)
        if convolved:
            fed.update(node.output)
        with_number = node.op_type in ARITHMETIC and not numbers.isdisjoint(node.input)
        if not convolved or i <= start or (i > convolutions[-1] and node.op_type in ENDS) or with_number:
            kept.append(node.name)
    return kept


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the tool's progress and its hints below errors to itself."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.root.setLevel(level)
