"""Watches a resting face for half a minute before a live run and chooses a sensitivity at which it causes no event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from realtime_mer.app.settings import SENSITIVITY
from realtime_mer.records import Observation

ABOVE: Final = 1.15  # ratio of the threshold to the highest peak of the resting face
RARE: Final = (
    99.5  # percentile of the level that counts as its peak, so that one blink in half a minute does not decide
)
ENOUGH: Final = 0.5  # least share of frames in which a face was measured


@dataclass(frozen=True, slots=True)
class Calibrated:
    """enter: the sensitivity to use, None when too little was seen. text: the result in one line."""

    enter: float | None
    text: str


class Calibration:
    """Collects the levels of ``seconds`` of observations."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._from: float | None = None
        self._now = 0.0
        self._levels: list[float] = []
        self._frames = 0

    @property
    def left_s(self) -> float:
        """Seconds left."""
        return self._seconds if self._from is None else max(self._seconds - (self._now - self._from), 0.0)

    def push(self, observation: Observation) -> bool:
        """Takes an observation; True when the time is over."""
        self._from = observation.time if self._from is None else self._from
        self._now = observation.time
        self._frames += 1
        self._levels += [signal.activity.level for signal in observation.faces[:1] if signal.activity is not None]
        return self.left_s <= 0

    def result(self) -> Calibrated:
        """The sensitivity that suits the face that was watched."""
        if len(self._levels) < ENOUGH * self._frames or not self._levels:
            return Calibrated(None, "no calibration: the face was measured in less than half of the time")
        peak = float(np.percentile(self._levels, RARE))
        least, most = SENSITIVITY
        enter = round(2 * min(max(ABOVE * peak, least), most)) / 2
        return Calibrated(
            enter,
            f"at rest, the face reached {peak:.1f} times its noise; the threshold is now {enter:g} times the noise",
        )
