"""TensorRT engines: building one from an ONNX file, caching and running it. Uses only NVIDIA's documented Python API.

There are two TensorRTs with the same interface. TensorRT itself comes from NVIDIA's own package index, and builds for
the local GPU. TensorRT-RTX is in the public index and builds without a GPU, for the compute capabilities in
``PORTABLE``; the kernels are compiled when an engine is loaded. The first one installed is used.

An engine fits one GPU model (RTX: one family) and one version, so it is a cache, never a model. The ModelSpec is beside
it as JSON, and a cached one is named by a hash of model, GPU, version and precision. Quantization and torch-tensorrt
are in ``export``. Running an engine needs torch, for device memory and streams. Nothing is imported before it is
needed.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np

from realtime_mer.errors import DeviceError, ModelError, OutputError, first_line
from realtime_mer.recognize.device import ENGINE, RTX_RUNS, Run, gpu, tensorrt_package
from realtime_mer.recognize.spec import ModelSpec
from realtime_mer.records import Floats

LARGEST_BATCH: Final = 64  # largest batch of the optimization profile; a larger one runs in parts
USUAL_BATCH: Final = 8  # batch that the kernels are tuned for: several faces at once
PORTABLE: Final = tuple(f"SM{major}{minor}" for major, minor in RTX_RUNS)


def import_tensorrt() -> Any:
    """Imports TensorRT, or else TensorRT-RTX. Raises DeviceError with advice when neither can be loaded."""
    package = tensorrt_package()
    try:
        return importlib.import_module(package or "tensorrt")
    except Exception as error:  # a missing library gives ImportError, OSError or a plain Exception
        raise DeviceError(f"TensorRT cannot be loaded ({first_line(error)}): see docs/gpu.md") from None


def name_of(trt: Any) -> str:
    """Which TensorRT a module is, with its version, e.g. "tensorrt-rtx 1.7.1.116"."""
    rtx = hasattr(trt, "ComputeCapability")
    return f"{'tensorrt-rtx' if rtx else 'tensorrt'} {trt.__version__}"


def _logger(trt: Any) -> Any:
    """Keeps TensorRT's messages off standard error; ``first`` is the first error in one line."""

    class Kept(trt.ILogger):  # type: ignore[misc]  # the class is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.first = "it gives no reason"
            self._told = False

        def log(self, severity: Any, message: str) -> None:
            if not self._told and severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.first, self._told = first_line(Exception(message)), True

    return Kept()


def build(content: bytes, shape: tuple[int, ...], precision: str) -> bytes:
    """Builds an engine from an ONNX file. Takes seconds to minutes.

    The network is strongly typed: TensorRT computes in the types that the file states (FP32, FP16, or INT8 by its
    quantize/dequantize pairs), so ``precision`` only decides whether FP32 may use TF32: "fp32" says no.
    Without a GPU TensorRT-RTX builds for the families in PORTABLE, and TensorRT cannot. Raises DeviceError without
    either, ModelError when it refuses the file.
    """
    trt = import_tensorrt()
    logger = _logger(trt)
    try:
        builder = trt.Builder(logger)
    except Exception as error:  # a plain exception: TensorRT finds no driver
        raise DeviceError(f"{name_of(trt)} cannot build here ({first_line(error)}): see docs/gpu.md") from None
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(content):
        raise ModelError(f"TensorRT cannot read the ONNX file: {first_line(Exception(parser.get_error(0).desc()))}")
    config = builder.create_builder_config()
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)
    if hasattr(trt, "ComputeCapability") and not gpu():
        config.num_compute_capabilities = len(PORTABLE)
        for number, capability in enumerate(PORTABLE):
            config.set_compute_capability(trt.ComputeCapability.__members__[capability], number)
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, (1, *shape), (USUAL_BATCH, *shape), (LARGEST_BATCH, *shape))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelError(f"TensorRT could not build an engine from this file: {logger.first}")
    return bytes(engine)


def key(content: bytes, precision: str) -> str:
    """16 hex digits that change with the model, the GPU, TensorRT's version and the precision."""
    parts = (hashlib.sha256(content).hexdigest(), gpu(), name_of(import_tensorrt()), precision)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def cached(content: bytes, spec: ModelSpec, precision: str, folder: Path) -> Path:
    """The engine of an ONNX file in ``folder``, built if missing.

    Its name is only the key, because a name from the file could lead to another folder.
    """
    path = folder / f"{key(content, precision)}{ENGINE}"
    if not (path.exists() and spec_path(path).exists()):
        save(build(content, spec.input_shape, precision), spec, path)
    return path


def spec_path(engine: Path) -> Path:
    """The path of an engine's ModelSpec."""
    return engine.with_name(engine.name + ".json")


def save(engine: bytes, spec: ModelSpec, path: Path) -> None:
    """Writes an engine and its spec atomically, the engine last. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, content in ((spec_path(path), spec.to_json().encode()), (path, engine)):
            temporary = target.with_name(target.name + ".part")
            temporary.write_bytes(content)
            os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}): check the folder and the space left") from None


def read_spec(path: Path) -> ModelSpec:
    """The spec beside an engine. Raises ModelError when either is missing."""
    try:
        path.open("rb").close()
        return ModelSpec.from_json(spec_path(path).read_text(), spec_path(path).name)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path} needs its {spec_path(path).name} beside it ({error}): build it with `python -m export tensorrt`"
        ) from None


def load(path: Path, spec: ModelSpec) -> tuple[str, Run]:
    """Loads an engine file: the device that really computes, and the function. Raises DeviceError or ModelError."""
    trt = import_tensorrt()
    try:
        import torch
    except ImportError:
        raise DeviceError("TensorRT engines need torch for device memory: pip install torch") from None
    if not torch.cuda.is_available():
        raise DeviceError("torch sees no CUDA device, which TensorRT needs: see docs/gpu.md")
    engine = trt.Runtime(_logger(trt)).deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise ModelError(f"{path} was built for another GPU or TensorRT version: build it again")
    run = Engine(trt, torch, engine, spec)
    run(np.zeros((1, *spec.input_shape), np.float32))
    return f"{name_of(trt)}, {torch.cuda.get_device_name()}", run


class Engine:
    """An engine with fixed device buffers. Thread-safe; one batch runs at a time."""

    def __init__(self, trt: Any, torch: Any, engine: Any, spec: ModelSpec) -> None:
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        outputs = [n for n in names if n not in inputs]
        self.torch, self.engine = torch, engine  # the context needs the engine alive
        self.context, self.stream, self.lock = engine.create_execution_context(), torch.cuda.Stream(), threading.Lock()
        self.input, self.shape = inputs[0], spec.input_shape
        # torch-tensorrt names outputs by position; the probabilities come first in both ways of building.
        named = set(spec.outputs) <= set(outputs)
        self.outputs = spec.outputs if named else tuple(outputs[: len(spec.outputs)])
        self.context.set_input_shape(self.input, (LARGEST_BATCH, *self.shape))
        self.buffers = {
            name: torch.empty(tuple(self.context.get_tensor_shape(name)), dtype=torch.float32, device="cuda")
            for name in names
        }
        for name, buffer in self.buffers.items():
            self.context.set_tensor_address(name, buffer.data_ptr())

    def __call__(self, batch: Floats) -> Floats:
        with self.lock:
            parts = [self._part(batch[i : i + LARGEST_BATCH]) for i in range(0, len(batch), LARGEST_BATCH)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, batch: Floats) -> Floats:
        size = len(batch)
        with self.torch.cuda.stream(self.stream):
            self.buffers[self.input][:size].copy_(self.torch.from_numpy(np.ascontiguousarray(batch)))
            self.context.set_input_shape(self.input, (size, *self.shape))
            if not self.context.execute_async_v3(self.stream.cuda_stream):
                raise DeviceError("TensorRT could not run the engine: see its log above")
            answers = [self.buffers[name][:size].cpu().numpy() for name in self.outputs]
        return answers[0] if len(answers) == 1 else np.concatenate(answers, axis=1)
