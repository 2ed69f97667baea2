"""Runs a model with ONNX Runtime. The file's ModelSpec decides whether it fits this version."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from realtime_mer.errors import ModelError, first_line
from realtime_mer.motion.flow import FEATURES
from realtime_mer.recognise.device import PROVIDERS, session_provider
from realtime_mer.recognise.spec import KEY, ModelSpec
from realtime_mer.records import Floats

# A recogniser of this size takes well under a millisecond; more threads would only disturb the rest of the pipeline.
THREADS: Final = 1
_ERRORS_ONLY: Final = 3  # ONNX Runtime's severity: its warnings speak to developers of models
OUTPUT: Final = "probabilities"  # name of the output; a file may have others, e.g. an attention map


class OnnxRecogniser:
    """A model file, open. Safe to use from several threads.

    device: "cpu", "cuda" or "tensorrt". Raises ModelError with one clear line, DeviceError when ONNX Runtime would run
    it elsewhere.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self._session = _open(path, device)
        self._spec = _spec(self._session, path)
        self._provider = session_provider(self._session, device)
        self._input = self._session.get_inputs()[0].name
        self._try(path)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def provider(self) -> str:
        """What really computes, read back from the session, e.g. "onnxruntime 1.31.1 CPU"."""
        return self._provider

    def classify(self, batch: Floats) -> Floats:
        """Calibrated probabilities, float32 (N, classes), of motion float32 (N, *spec.input_shape)."""
        (answer,) = self._session.run([OUTPUT], {self._input: np.ascontiguousarray(batch, np.float32)})
        probabilities: Floats = np.asarray(answer, np.float32)
        return probabilities

    def _try(self, path: Path) -> None:
        """One run without motion: shows a file that contradicts its spec now, and warms up."""
        expected = (1, len(self._spec.labels))
        try:
            shape = self.classify(np.zeros((1, *self._spec.input_shape), np.float32)).shape
        except Exception as error:  # ONNX Runtime's own, undocumented
            raise ModelError(
                f"{path.name} does not run on {self._spec.input_shape} ({first_line(error)}): export it anew"
            ) from error
        if shape != expected:
            raise ModelError(f"{path.name} answers {shape} where its spec says {expected}: export it anew")


def check_fits(spec: ModelSpec, path: Path) -> None:
    """Raises ModelError when this version does not compute the feature that the model wants."""
    if spec.feature not in FEATURES:
        raise ModelError(
            f"{path.name} wants the feature {spec.feature!r}, this version computes {', '.join(FEATURES)}: "
            "train and export it with this version"
        )
    channels, *sides = spec.input_shape
    if channels != 3 or len(sides) != 2 or sides[0] != sides[1]:
        raise ModelError(f"{path.name} wants {spec.input_shape}, but {spec.feature} gives three square planes")


def read_file(path: Path) -> tuple[bytes, ModelSpec]:
    """The content of an ONNX file and its spec, read on the CPU. Raises ModelError."""
    spec = _spec(_open(path, "cpu"), path)
    return path.read_bytes(), spec


def _open(path: Path, device: str) -> Any:
    runtime = _import_runtime()
    # Behind a GPU provider the CPU takes the nodes that it lacks; that a provider did not load is found afterwards.
    wanted = [PROVIDERS[device]] if device == "cpu" else [PROVIDERS[device], PROVIDERS["cpu"]]
    options = runtime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        return runtime.InferenceSession(str(path), sess_options=options, providers=wanted)
    except Exception as error:  # ONNX Runtime's own, undocumented
        raise ModelError(
            f"{path} is not a whole ONNX file ({first_line(error)}): export or download it again"
        ) from error


def _spec(session: Any, path: Path) -> ModelSpec:
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise ModelError(f"{path} carries no ModelSpec: export it with `python -m export onnx CHECKPOINT`")
    return ModelSpec.from_json(text)


def _import_runtime() -> ModuleType:
    """At the first use: a program that only spots needs no ONNX Runtime, and it takes time to import."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"ONNX Runtime cannot be imported ({error}): run `pip install onnxruntime`") from error
    module: ModuleType = onnxruntime
    return module
