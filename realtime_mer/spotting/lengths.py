"""How far regions moved, and the mean of the two that moved most. Every frame asks, so these are written for speed:
for so few numbers numpy's general functions cost ten times what they compute."""

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
