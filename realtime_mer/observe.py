"""Observers: called when each stage of the pipeline starts and ends. Used for timing and metrics.

Without observers nothing is wrapped or called, so they cost nothing unless they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Stage(StrEnum):
    """The stages of a frame. CHECK and DETECT run in another thread, and so does CLASSIFY for a live source."""

    CHECK = "check"  # checking that the faces of one frame are where they are followed
    DETECT = "detect"  # looking for faces in one frame
    WAIT = "wait"  # taking the result of a detection; a recorded video waits for it here
    FOLLOW = "follow"  # aligning one face and registering its regions
    SPOT = "spot"  # deciding whether a movement began, peaked or ended
    CLASSIFY = "classify"  # the motion of one movement, or the recognizer for a batch of them


class Observer(Protocol):
    """Called in the thread that runs a stage; ``started`` and ``ended`` alternate within a thread and stage.

    Return quickly, because the frame waits. An exception ends the run.
    """

    def started(self, stage: Stage) -> None: ...

    def ended(self, stage: Stage) -> None: ...


def observed(call: Callable[..., Result], stage: Stage, observers: Sequence[Observer]) -> Callable[..., Result]:
    """``call`` with the observers called before and after it; without observers, ``call`` itself."""
    if not observers:
        return call

    def watched(*arguments: object) -> Result:
        for observer in observers:
            observer.started(stage)
        try:
            return call(*arguments)
        finally:
            for observer in observers:
                observer.ended(stage)

    return watched
