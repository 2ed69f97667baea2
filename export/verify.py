"""Two files of one model on the same samples: how far they differ, and whether it matters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.data import Data
from realtime_mer.errors import ModelError
from realtime_mer.recognize import tensorrt
from realtime_mer.recognize.device import ENGINE
from realtime_mer.recognize.opening import Opened, open_model
from train.metrics import score


@dataclass(frozen=True, slots=True)
class Comparison:
    """samples: how many. difference: largest absolute difference of a probability. agreement: share of equal labels.
    uf1: of the first and the second file, None without true labels."""

    samples: int
    difference: float
    agreement: float
    uf1: tuple[float, float] | None

    def __str__(self) -> str:
        text = f"{self.samples} samples: largest difference {self.difference:.2g}, labels agree {self.agreement:.1%}"
        if self.uf1 is None:
            return text + ", no true labels given"
        first, second = self.uf1
        return text + f", UF1 {first:.4f} -> {second:.4f} ({second - first:+.4f})"


def compare(first: Path, second: Path, data: Data, device: str = "cpu") -> Comparison:
    """Runs both on all samples. Raises ModelError when they are not of one model (labels, feature or input differ)."""
    one, other = (_open(path, device) for path in (first, second))
    for what in ("labels", "outputs", "feature", "input_shape"):
        if getattr(one.spec, what) != getattr(other.spec, what):
            raise ModelError(f"{first.name} and {second.name} are not one model: their {what} differ")
    a, b = (answers(opened, data.x) for opened in (one, other))
    labels = one.spec.labels
    first_labels, second_labels = (answer[:, : len(labels)] for answer in (a, b))  # what the heads say comes after
    uf1 = None
    if data.y is not None:
        uf1 = (score(data.y, first_labels, labels)["UF1"], score(data.y, second_labels, labels)["UF1"])
    agreement = float(np.mean(first_labels.argmax(axis=1) == second_labels.argmax(axis=1)))
    return Comparison(len(data.x), float(np.max(np.abs(a - b))), agreement, uf1)


def answers(opened: Opened, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The answers to all samples, float32 (N, spec.width)."""
    batch = tensorrt.LARGEST_BATCH
    return np.concatenate([opened.classify(x[i : i + batch]) for i in range(0, len(x), batch)])


def _open(path: Path, device: str) -> Opened:
    return open_model(path, "auto" if path.suffix == ENGINE else device)
