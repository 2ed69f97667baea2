"""Observers: called when each stage of the pipeline starts and ends. Used for timing and metrics.

Without observers nothing is wrapped or called, so they cost nothing unless they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Stage(StrEnum):
    """The steps of a frame's way. CHECK and DETECT run in a thread of their own; so does CLASSIFY on a live source."""

    CHECK = "check"  # whether the faces of one frame are where they are followed
    DETECT = "detect"  # looking for faces in one frame
    WAIT = "wait"  # taking over the answer of a detection; a recording waits for it here
    FOLLOW = "follow"  # aligning one face and registering its regions
    SPOT = "spot"  # deciding whether a movement began, peaked or ended
    CLASSIFY = "classify"  # the motion of one movement, or the recognizer for a batch of them


class Observer(Protocol):
    """Told of each stage in the thread that runs it; ``started`` and ``ended`` alternate within a thread and stage.

    Keep it short: the frame waits meanwhile. What it raises ends the run.
    """

    def started(self, stage: Stage) -> None: ...

    def ended(self, stage: Stage) -> None: ...


def observed(call: Callable[..., Result], stage: Stage, observers: Sequence[Observer]) -> Callable[..., Result]:
    """``call``, with the observers told before and after it; without observers ``call`` itself."""
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
