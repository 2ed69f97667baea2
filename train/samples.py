"""The input of ``fit``: inputs, labels and people. Nothing is read or computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """x: (N, 3, S, S), uint8 images (0 to 255) or float32 motion, possibly reduced by ``train.models.Entry.keep``. y:
    int64 (N,), positions in the class list. groups: the person in each sample (``Clip.group``), (N,). views: (N, V,
    ...) as x, or None. Each epoch of training draws one for each sample; ``x`` is the first of them, and the only one
    tested. weights: float64 (N,), of each sample in the loss, or None for equal ones."""

    x: NDArray[Any]
    y: NDArray[np.int64]
    groups: tuple[str, ...]
    views: NDArray[Any] | None = None
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, positions: Sequence[int] | NDArray[np.int64]) -> Samples:
        """The samples at these positions, in order."""
        where = np.asarray(positions, np.int64)
        return Samples(
            self.x[where], self.y[where], tuple(self.groups[i] for i in where),
            None if self.views is None else self.views[where], None if self.weights is None else self.weights[where],
        )  # fmt: skip
