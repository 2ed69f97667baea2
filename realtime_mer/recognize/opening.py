"""Opens a model file on a device: tries the suitable back ends, and checks which one really computes.

The back ends are in ``onnx``, ``pt2`` and ``tensorrt``; ``device`` decides which are worth trying.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from realtime_mer.assets import cache_dir
from realtime_mer.errors import DeviceError, MerError, ModelError, first_line
from realtime_mer.recognize import pt2, tensorrt
from realtime_mer.recognize.device import ENGINE, ONNXRUNTIME, PROGRAM, TORCH, Choice, Run, candidates
from realtime_mer.recognize.onnx import OnnxRecognizer, read_file
from realtime_mer.recognize.spec import ModelSpec, check_answer, probe
from realtime_mer.records import Floats

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A model that is open on a device.

    provider: the library and device that really compute, with version and the GPU's name. why: the reason for that
    choice, one line.
    """

    spec: ModelSpec
    provider: str
    why: str
    run: Run

    def classify(self, batch: Floats) -> Floats:
        """Calibrated probabilities, float32 (N, spec.width), of samples float32 (N, *spec.input_shape).

        Raises ModelError when the model fails or its answer has the wrong form.
        """
        try:
            answer = self.run(batch)
        except MerError:
            raise
        except Exception as error:  # of ONNX Runtime, torch or CUDA, undocumented
            raise ModelError(f"{self.spec.id} failed on {self.provider} ({first_line(error)})") from error
        check_answer(answer, len(batch), self.spec, self.spec.id)
        return answer


def open_model(path: Path, device: str) -> Opened:
    """The model on the first suitable back end that works; for "auto" the CPU is the last.

    Any feature is accepted; the caller checks whether this version computes it (``onnx.check_fits``). Raises ModelError
    for a file that cannot be used, DeviceError when the requested device is not available.
    """
    failures: list[str] = []
    choices = candidates(path, device)
    for choice in choices:
        try:
            opened = _on(path, choice)
            opened.classify(probe(opened.spec))  # finds answers that are not probabilities now
        except DeviceError as error:
            if choice is choices[-1]:
                raise
            failures.append(str(error))
            continue
        opened = replace(opened, why="; ".join([opened.why, *failures]))
        _log.info("%s runs on %s (%s)", opened.spec.id, opened.provider, opened.why)
        return opened
    raise AssertionError("candidates are never empty")


def read_spec(path: Path) -> ModelSpec:
    """The metadata of a model file of any kind, without opening a program or an engine. Raises ModelError."""
    if path.suffix == PROGRAM:
        return pt2.read_spec(path)
    return tensorrt.read_spec(path) if path.suffix == ENGINE else read_file(path)[1]


def _on(path: Path, choice: Choice) -> Opened:
    if choice.backend == ONNXRUNTIME:
        model = OnnxRecognizer(path, choice.device)
        return Opened(model.spec, model.provider, choice.why, model.classify)
    if choice.backend == TORCH:
        spec = pt2.read_spec(path)
        provider, run = pt2.load(path, spec, choice.device)
    elif path.suffix == ENGINE:
        spec = tensorrt.read_spec(path)
        provider, run = tensorrt.load(path, spec)
    else:
        content, spec = read_file(path)
        precision = "int8" if spec.name.endswith("-int8") else "fp32"
        engine = tensorrt.cached(content, spec, precision, cache_dir() / "engines")
        provider, run = tensorrt.load(engine, spec)
    return Opened(spec, provider, choice.why, run)
