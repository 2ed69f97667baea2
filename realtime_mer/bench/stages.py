"""Time per stage, by an observer of the pipeline."""

from __future__ import annotations

import threading
import time
from typing import Final

from realtime_mer.observe import Stage

# What is timed, for the stages in the frame path of a recording.
WHAT: Final = {
    Stage.WAIT: "wait of the frame path for a face detection in the other thread",
    Stage.FOLLOW: "cutting the aligned 128 px face out of the frame and registering its regions to the anchor",
    Stage.SPOT: "deciding whether a movement began, peaked or ended",
    Stage.CLASSIFY: "motion and recognizer for the movements reported at this frame, if any",
}


class Stopwatch:
    """An ``Observer`` that adds up seconds by stage. beside: s of each search and check, in their own thread."""

    def __init__(self) -> None:
        self.beside: dict[Stage, list[float]] = {Stage.DETECT: [], Stage.CHECK: []}
        self._spent = dict.fromkeys(WHAT, 0.0)
        self._began = threading.local()

    def started(self, stage: Stage) -> None:
        setattr(self._began, stage, time.perf_counter())

    def ended(self, stage: Stage) -> None:
        seconds = time.perf_counter() - getattr(self._began, stage)
        if stage in self.beside:
            self.beside[stage].append(seconds)
        else:
            self._spent[stage] += seconds

    def take(self) -> dict[str, float]:
        """Seconds by stage since the last call."""
        spent, self._spent = self._spent, dict.fromkeys(WHAT, 0.0)
        return {stage.value: seconds for stage, seconds in spent.items()}
