"""Runs a model with ONNX Runtime. The file's ModelSpec decides whether it fits this version."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from realtime_mer.errors import DeviceError, ModelError, first_line
from realtime_mer.motion.flow import FEATURES
from realtime_mer.recognize import trial
from realtime_mer.recognize.device import PLUGIN, PROVIDERS, RTX, session_provider
from realtime_mer.recognize.spec import KEY, PROBES, ModelSpec, check_answer, probe
from realtime_mer.records import Floats

# a recognizer of this size takes well under a millisecond; more threads would only disturb the rest of the pipeline
THREADS: Final = 1
_registering = threading.Lock()
_ERRORS_ONLY: Final = 3  # ONNX Runtime's severity; its warnings are for developers of models


class OnnxRecognizer:
    """A model file, open. Safe to use from several threads.

    device: "cpu", "cuda", "tensorrt" or ``device.RTX``. tried: open it at once, without a trial in another process
    (``trial``).
    Raises ModelError with one clear line, DeviceError when ONNX Runtime would run it elsewhere.
    """

    def __init__(self, path: Path, device: str = "cpu", *, tried: bool = False) -> None:
        self._session = _open(path, _read(path, tried), device)
        self._spec = _spec(self._session, path)
        self._provider = session_provider(self._session, device)
        self._input = ""
        self._try(path)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def provider(self) -> str:
        """The library and device that really compute, from the session, e.g. "onnxruntime 1.31.1 CPU"."""
        return self._provider

    def classify(self, batch: Floats) -> Floats:
        """Calibrated probabilities, float32 (N, spec.width), of motion float32 (N, *spec.input_shape)."""
        answers = self._session.run(list(self._spec.outputs), {self._input: np.ascontiguousarray(batch, np.float32)})
        probabilities: Floats = np.concatenate(answers, axis=1, dtype=np.float32)
        return probabilities

    def _try(self, path: Path) -> None:
        """One run, to find a file that contradicts its spec now, and to warm up."""
        try:
            self._input = self._session.get_inputs()[0].name
            answer = self.classify(probe(self._spec))
        except Exception as error:  # ONNX Runtime's own, undocumented
            raise ModelError(
                f"{path.name} does not run on {self._spec.input_shape} ({first_line(error)}): export it again"
            ) from error
        check_answer(answer, PROBES, self._spec, path.name)


def check_fits(spec: ModelSpec, path: Path) -> None:
    """Raises ModelError when this version does not compute the feature that the model needs."""
    if spec.feature not in FEATURES:
        raise ModelError(
            f"{path.name} needs the feature {spec.feature!r}; this version computes {', '.join(FEATURES)}: "
            "train and export it with this version"
        )
    channels, *sides = spec.input_shape
    if channels != 3 or len(sides) != 2 or sides[0] != sides[1]:
        raise ModelError(f"{path.name} expects {spec.input_shape}, but {spec.feature} has three square planes")


def read_file(path: Path) -> tuple[bytes, ModelSpec]:
    """The content of an ONNX file and its spec, read on the CPU. Raises ModelError."""
    content = _read(path)
    return content, _spec(_open(path, content, "cpu"), path)


def _read(path: Path, tried: bool = False) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None
    if not tried:
        trial.check(path, content)
    return content


def _open(path: Path, content: bytes, device: str) -> Any:
    runtime = _import_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # After a GPU provider, the CPU takes the nodes that it lacks; whether the provider loaded is checked afterwards.
    wanted = [PROVIDERS[device]] if device == "cpu" else [PROVIDERS[device], PROVIDERS["cpu"]]
    if device == RTX:
        options.add_provider_for_devices(_plugged_in(runtime), {})
        wanted = []
    try:
        return runtime.InferenceSession(content, sess_options=options, providers=wanted)
    except Exception as error:  # ONNX Runtime's own, undocumented
        raise ModelError(
            f"{path} is not a complete ONNX file ({first_line(error)}): export or download it again"
        ) from error


def _plugged_in(runtime: ModuleType) -> list[Any]:
    """The devices of the TensorRT-RTX plugin, which is registered at first use. Raises DeviceError."""
    try:
        plugin = importlib.import_module(PLUGIN)
        with _registering:
            devices = [d for d in runtime.get_ep_devices() if d.ep_name == PROVIDERS[RTX]]
            if not devices:
                runtime.register_execution_provider_library(PLUGIN, plugin.get_library_path())
                devices = [d for d in runtime.get_ep_devices() if d.ep_name == PROVIDERS[RTX]]
    except Exception as error:  # its library does not load without a driver
        raise DeviceError(f"ONNX Runtime's TensorRT-RTX plugin cannot be loaded ({first_line(error)})") from None
    if not devices:
        raise DeviceError("ONNX Runtime's TensorRT-RTX plugin found no usable GPU: see docs/gpu.md")
    return devices


def _spec(session: Any, path: Path) -> ModelSpec:
    try:
        text = session.get_modelmeta().custom_metadata_map.get(KEY)
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise ModelError(f"{path} has no ModelSpec: export it with `python -m export onnx CHECKPOINT`")
    return ModelSpec.from_json(text, path.name)


def _import_runtime() -> ModuleType:
    """Imports ONNX Runtime at first use: a program that only spots does not need it, and it is slow to import."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"ONNX Runtime cannot be imported ({error}): run `pip install onnxruntime`") from error
    module: ModuleType = onnxruntime
    return module
