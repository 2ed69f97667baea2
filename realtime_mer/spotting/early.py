"""The probability that a current movement will be confirmed, so that it can be reported before its end.

A logistic model of three numbers: micro-expressions rise and fall fast, and a weak movement may turn out to be
nothing. Everything else that the final verdict depends on is checked as well (``veto``): a movement that would be
rejected now is not reported. ``python -m train early`` fits the model and shows the cost of each threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

RECENT: Final = 0.05  # s over which the return is measured
LARGEST: Final = 30.0  # limit of the score; beyond it the result is practically certain
# bias, and weights of the rise in s, the strength in doublings and the fall in fractions per s
WEIGHTS: Final = (4.587, -14.08, 0.1007, 0.2898)


class Evidence(NamedTuple):
    """What is known at a frame about a movement whose apex has passed.

    movement: its id. now: s, of the frame. apex: s, so far. rise: s from onset to apex. strength: as a multiple of the
    least that counts in this recording. fall: speed of the return, as a fraction per s; negative while it grows.
    """

    movement: int
    now: float
    apex: float
    rise: float
    strength: float
    fall: float

    @property
    def terms(self) -> tuple[float, float, float]:
        """The inputs of the model."""
        return self.rise, math.log2(max(self.strength, 1e-3)), self.fall


def probability(evidence: Evidence, weights: Sequence[float] = WEIGHTS) -> float:
    """The probability that it will be confirmed, 0 to 1."""
    score = weights[0] + sum(weight * term for weight, term in zip(weights[1:], evidence.terms, strict=True))
    return 1 / (1 + math.exp(-min(max(score, -LARGEST), LARGEST)))
