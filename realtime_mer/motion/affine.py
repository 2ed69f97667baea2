"""The affine motion of a head, fitted to points of which some move by themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime_mer.face.align import Transform
from realtime_mer.records import Floats


class AffineFit:
    """The affine map that takes ``points`` (K, 2) to where they moved, robust against a minority that moved by itself.

    trust: (K,), initial weight of each point, before it turns out to differ from the others.

    Iteratively reweighted least squares with Cauchy weights, scale from the median residual. Solved in closed form:
    for so few points, numpy's solver costs more in calls than in arithmetic.
    """

    def __init__(self, points: NDArray[np.floating], trust: NDArray[np.float64], rounds: int = 3) -> None:
        x, y = points.T.astype(np.float64)
        one = np.ones_like(x)
        self._rounds = rounds
        self._design = np.stack([x, y, one])  # (3, K)
        self._terms = np.concatenate([np.stack([x * x, x * y, x, y * y, y, one]), np.zeros((6, len(x)))])
        self._trust = trust

    def fit(self, shift: Floats) -> Transform:
        """The map for ``shift`` float32 (K, 2) px; float64 (2, 3)."""
        target = shift.T.astype(np.float64)
        np.multiply(self._design, target[0], out=self._terms[6:9])
        np.multiply(self._design, target[1], out=self._terms[9:])
        solution = _solve((self._terms @ self._trust).tolist())
        for _ in range(self._rounds - 1):
            residual = np.hypot(*(target - solution @ self._design))
            weight = self._trust / (1 + (residual / (2 * median(residual) + 0.02)) ** 2)
            solution = _solve((self._terms @ weight).tolist())
        solution[0, 0] += 1.0
        solution[1, 1] += 1.0
        return solution


def _solve(sums: list[float]) -> Transform:
    """Both solutions of the symmetric 3x3 normal equations, by the adjugate."""
    xx, xy, x, yy, y, n, xu, yu, u, xv, yv, v = sums
    a, b, c = yy * n - y * y, x * y - xy * n, xy * y - x * yy
    d, e, f = xx * n - x * x, xy * x - xx * y, xx * yy - xy * xy
    scale = 1 / (xx * a + xy * b + x * c)
    rows = [
        (a * p + b * q + c * r, b * p + d * q + e * r, c * p + e * q + f * r) for p, q, r in ((xu, yu, u), (xv, yv, v))
    ]
    return np.array(rows) * scale


def median(values: NDArray[np.floating]) -> float:
    """As np.median, which takes ten times as long for so few values."""
    ordered = sorted(values.tolist())
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
