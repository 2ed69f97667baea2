"""Recognizers: model files that map the motion from onset to apex to a class of emotion.

``load`` finds a file and opens it on a device; a ``Recognizer`` runs it; ``predict`` turns its output into a
Prediction. The input is computed by ``motion.flow``; models are made by the training package.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from realtime_mer.assets import cache_dir
from realtime_mer.errors import ModelError
from realtime_mer.recognize.device import DEVICES, ENGINE, ONNX, PROGRAM
from realtime_mer.recognize.spec import OBJECTIVE, ModelSpec
from realtime_mer.recognize.trial import SHIPPED
from realtime_mer.records import Floats, Prediction
from realtime_mer.typed import shown

__all__ = [
    "DEFAULT",
    "DEVICES",
    "Answer",
    "Listed",
    "ModelSpec",
    "Recognizer",
    "answer",
    "catalog",
    "find",
    "load",
    "predict",
]

DEFAULT: Final = "default"
LONGEST_PATH: Final = 500  # characters of a path that are repeated in a message


class Recognizer(Protocol):
    """A model that is open on a device.

    ``provider`` is the library and device that really run it, e.g. "onnxruntime 1.31.1 CPU"; ``why`` the reason for
    that choice.
    """

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def provider(self) -> str: ...

    @property
    def why(self) -> str: ...

    def classify(self, batch: Floats) -> Floats:
        """Calibrated probabilities, float32 (N, spec.width), for motion float32 (N, *spec.input_shape): those of the
        labels, then those of each of ``spec.heads``."""
        ...


def load(name: str | Path = DEFAULT, device: str = "auto") -> Recognizer:
    """Opens a shipped or cached model by name, or an .onnx, .pt2 or .engine file by path.

    Open only models that you trust. An .onnx file that is not shipped is first tried in another process, which takes
    about a second (``recognize.trial``). A .pt2 file or an engine can run any code (``recognize.pt2``).

    device: "auto" uses a working GPU, else the CPU; ``why`` of the result gives the reason.
    Raises ModelError if the file is missing, damaged, without ModelSpec or for another version; DeviceError if the
    device is unknown or missing.
    """
    from realtime_mer.recognize.onnx import check_fits
    from realtime_mer.recognize.opening import open_model

    path = find(name)
    opened = open_model(path, device)
    check_fits(opened.spec, path)
    return opened


@dataclass(frozen=True, slots=True)
class Listed:
    """A model file. origin: "shipped", "cached" or "file". spec: None when ``problem`` says why it is unusable."""

    path: Path
    origin: str
    sha256: str
    spec: ModelSpec | None
    problem: str = ""


def catalog() -> list[Listed]:
    """The shipped models, then those in the cache's models folder, each sorted by name."""
    return [described(path) for folder in (SHIPPED, _cached()) for path in sorted(folder.glob("*.onnx"))]


def described(path: Path) -> Listed:
    """The description in one model file. Raises ModelError if it cannot be read at all."""
    from realtime_mer.recognize.opening import read_spec

    origin = {SHIPPED: "shipped", _cached(): "cached"}.get(path.parent, "file")
    spec, problem = None, ""
    try:
        spec = read_spec(path)
    except ModelError as error:
        problem = str(error)
    return Listed(path, origin, hashlib.sha256(path.read_bytes()).hexdigest(), spec, problem)


def _cached() -> Path:
    return cache_dir() / "models"


def find(name: str | Path) -> Path:
    """The file behind a name ("default", a name in the cache's models folder) or a path. Raises ModelError."""
    path = Path(name)
    if path.suffix in (ONNX, PROGRAM, ENGINE) or len(path.parts) > 1:
        candidates = [path]
    else:
        candidates = [SHIPPED / f"{name}.onnx", _cached() / f"{name}.onnx"]
    for candidate in candidates:
        with contextlib.suppress(OSError, ValueError):  # a name that is too long or holds a null; no permission
            if candidate.is_file():
                return candidate
    known = sorted(file.stem for file in SHIPPED.glob("*.onnx"))
    raise ModelError(
        f"no model {shown(str(name), LONGEST_PATH)}: give the path of a model file or one of {', '.join(known)}"
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one movement. objective, action_units: None if it has no such head, and where nothing
    moves: what did not happen has no objective class and no action units."""

    prediction: Prediction
    objective: Prediction | None = None
    action_units: dict[str, float] | None = None


def answer(row: Floats, spec: ModelSpec) -> Answer:
    """The answers for one sample. row: probabilities, float32 (spec.width,)."""
    made = Answer(predict(row[: len(spec.labels)], spec))
    if spec.none and spec.labels[int(np.argmax(row[: len(spec.labels)]))] == spec.none:
        return made
    begin = len(spec.labels)
    for head in spec.heads:
        part, begin = row[begin : begin + len(head.labels)], begin + len(head.labels)
        if head.name == OBJECTIVE:
            made = replace(made, objective=_prediction(part, head.labels, head.abstain_below))
        else:
            made = replace(made, action_units=_named(part, head.labels))
    return made


def predict(probabilities: Floats, spec: ModelSpec) -> Prediction:
    """The answer for one sample: probabilities float32 (classes,). Abstains when the largest is below
    ``spec.abstain_below``, or is that of ``spec.none``."""
    return _prediction(probabilities, spec.labels, spec.abstain_below, spec.none)


def _prediction(probabilities: Floats, labels: Sequence[str], below: float, none: str = "") -> Prediction:
    best = int(np.argmax(probabilities))
    answered = probabilities[best] >= below and labels[best] != none
    return Prediction(labels[best] if answered else None, _named(probabilities, labels))


def _named(probabilities: Floats, labels: Sequence[str]) -> dict[str, float]:
    return {name: float(p) for name, p in zip(labels, probabilities, strict=True)}
