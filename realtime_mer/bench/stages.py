"""Timing points: within ``Stages`` the steps of the pipeline note how long they take; outside it they cost nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from realtime_mer.face.detect import FaceDetector
from realtime_mer.face.lane import DetectionLane
from realtime_mer.motion import follow
from realtime_mer.motion.registration import Meter
from realtime_mer.recognise.worker import BatchWorker
from realtime_mer.spotting.detector import Spotter

# name -> the owner and the name of what is timed, and what a sample is
POINTS: Final[dict[str, tuple[Any, str, str]]] = {
    "detection, waited for": (DetectionLane, "answer", "the frame path waits for a face detection that runs beside it"),
    "warp": (follow, "warp", "cutting the aligned 128 px face out of the frame"),
    "measure": (Meter, "measure", "registering its regions to the anchor and removing the head's motion"),
    "spot": (Spotter, "push", "deciding whether a movement began, peaked or ended"),
    "classify": (BatchWorker, "drain", "flow and recogniser for the movements reported at this frame, if any"),
}
BESIDE: Final = (FaceDetector, "detect")


class Stages:
    """Replaces the timed functions while it is open. Enter it before the pipeline is built; not for two at once.

    ``take`` gives the seconds that each stage took since the last ``take``, in the thread of the frame path.
    ``beside``: seconds of each face detection, in its own thread.
    """

    def __init__(self) -> None:
        self.beside: list[float] = []
        self._spent = dict.fromkeys(POINTS, 0.0)
        self._originals: list[tuple[Any, str, Callable[..., Any]]] = []

    def __enter__(self) -> Self:
        for name, (owner, attribute, _) in POINTS.items():
            self._wrap(owner, attribute, partial(self._add, name))
        self._wrap(*BESIDE, self.beside.append)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._originals:
            owner, attribute, original = self._originals.pop()
            setattr(owner, attribute, original)

    def take(self) -> dict[str, float]:
        """Seconds by stage since the last call."""
        spent, self._spent = self._spent, dict.fromkeys(POINTS, 0.0)
        return spent

    def _add(self, name: str, seconds: float) -> None:
        self._spent[name] += seconds

    def _wrap(self, owner: Any, attribute: str, note: Callable[[float], None]) -> None:
        original = getattr(owner, attribute)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                note(time.perf_counter() - began)

        self._originals.append((owner, attribute, original))
        setattr(owner, attribute, timed)
