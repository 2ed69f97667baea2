"""The heavy lane: face detection beside the motion lane, which never waits for it on a live source.

One detection is under way at a time, and all that is known of it is here. On recordings its answer is taken at a fixed
video time, so that the same file always gives the same result; on live sources it is taken as soon as it is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

from realtime_mer.config import FacesConfig
from realtime_mer.records import Face, Frame

Detect = Callable[[Frame], Sequence[Face]]
Context = TypeVar("Context")


class Answer(NamedTuple, Generic[Context]):
    """frame: the one that was searched. faces: those found in it, without a track. context: as given to ``ask``."""

    frame: Frame
    faces: Sequence[Face]
    context: Context


class DetectionLane(Generic[Context]):
    """``ask`` when a detection is ``due``, ``answer`` to take the result when it may be taken.

    Context is whatever the caller must remember of the moment at which it asked. live: never wait.
    """

    def __init__(self, detect: Detect, settings: FacesConfig, live: bool) -> None:
        self._detect, self._settings, self._live = detect, settings, live
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="face-detection")
        self._pending: tuple[Frame, Context, float, Future[Sequence[Face]]] | None = None
        self._asked = -math.inf  # s, of the latest frame that was searched
        self._hurry = False
        self._forgotten = False  # the answer under way is of another scene

    def hurry(self) -> None:
        """A face may have been lost: the next detection is due at once."""
        self._hurry = True

    def forget(self) -> None:
        """What was seen before does not count any more: the answer under way is not taken, the next search is due."""
        self._forgotten, self._hurry = self._pending is not None, True

    def due(self, time: float, watching: bool) -> bool:
        """Whether to ask at source time ``time``. watching: faces are being followed, so checks suffice."""
        interval = self._settings.check_s if watching else self._settings.search_s
        return self._pending is None and (self._hurry or time - self._asked >= interval)

    def ask(self, frame: Frame, context: Context, watching: bool) -> None:
        """Starts a search of ``frame``, when one is ``due``.

        A recording in which no face is watched waits for the answer at once: so no frame of a new face is lost.
        """
        assert self._pending is None
        patience = self._settings.patience_s if watching else 0.0
        self._pending = frame, context, patience, self._worker.submit(self._detect, frame)
        self._asked, self._hurry = frame.time, False

    def answer(self, time: float) -> Answer[Context] | None:
        """The result, or None while it may not be taken at source time ``time``. Raises what the detector raised."""
        if self._pending is None:
            return None
        frame, context, patience, future = self._pending
        if not (future.done() if self._live else time - frame.time >= patience):
            return None
        self._pending = None
        faces = future.result()
        if self._forgotten:
            self._forgotten = False
            return None
        return Answer(frame, faces, context)

    def close(self) -> None:
        """Waits for the search under way and ends the thread."""
        self._pending = None
        self._worker.shutdown(wait=True, cancel_futures=True)
