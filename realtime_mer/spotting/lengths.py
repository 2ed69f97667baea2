"""Lengths of the regions' displacements, and the mean of the two largest. Called for every frame, so written for speed:
for so few numbers the overhead of numpy's general functions is ten times their computation."""

from __future__ import annotations

import numpy as np

from realtime_mer.records import Floats


def lengths(vectors: Floats) -> Floats:
    """The length of each, float32 (R,); ``vectors`` float32 (R, 2) px."""
    found: Floats = np.hypot(vectors[:, 0], vectors[:, 1])
    return found


def top_two(values: Floats) -> float:
    """The mean of the two largest."""
    ordered = sorted(values.tolist())
    return float(ordered[-1] + ordered[-2]) / 2
