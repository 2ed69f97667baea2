"""Face detection in its own thread, beside the motion lane, which never waits for it on a live source.

One search runs at a time, and its whole state is here. For a recorded video its answer is used at a fixed video time,
so that a file always gives the same result; for a live source it is used as soon as it arrives. While faces are
followed, a light check replaces a search until their landmarks are too old.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, NamedTuple, TypeVar

from realtime_mer.config import FacesConfig
from realtime_mer.face.check import Check
from realtime_mer.records import Face, Frame

UNHURRIED: Final = (
    0.2  # s of video: the likely answer is a confirmation, which changes nothing and is not needed at once
)
Detect = Callable[[Frame], Sequence[Face]]
Context = TypeVar("Context")


class Answer(NamedTuple, Generic[Context]):
    """frame: the one that was searched. faces: those found in it, without a track; None if exactly the expected ones
    were confirmed. context: as given to ``ask``."""

    frame: Frame
    faces: Sequence[Face] | None
    context: Context


class DetectionLane(Generic[Context]):
    """Call ``ask`` when a detection is ``due``, and ``answer`` for its result.

    The context is whatever the caller needs to remember from the time of asking. live: never wait. check: confirms
    expected faces at a lower cost than a detection; None if there is no check.
    """

    def __init__(self, detect: Detect, settings: FacesConfig, live: bool, check: Check | None = None) -> None:
        self._detect, self._check, self._settings, self._live = detect, check, settings, live
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="face-detection")
        self._pending: tuple[Frame, Context, float, Future[Sequence[Face] | None]] | None = None
        self._asked = -math.inf  # s, of the latest frame that was searched or checked
        self._searched = -math.inf  # s, of the latest one that was searched
        self._hurry = False

    def check_now(self) -> None:
        """Makes the next detection due at once, because a face may have been lost."""
        self._hurry = True

    def due(self, time: float, watching: bool) -> bool:
        """Whether to ask at source time ``time``. watching: faces are being followed, so checks suffice."""
        interval = self._settings.check_s if watching else self._settings.search_s
        return self._pending is None and (self._hurry or time - self._asked >= interval)

    def ask(self, frame: Frame, context: Context, watching: bool, expected: Sequence[Face] = ()) -> None:
        """Starts a search of ``frame``, when one is ``due``.

        expected: the faces that are followed, where they are; empty when one of them may be lost. A recording without a
        watched face waits for the answer at once, so that no frame of a new face is lost.
        """
        assert self._pending is None
        recent = frame.time - self._searched < self._settings.landmarks_s and not self._hurry
        known = expected if recent and self._check is not None else ()
        patience = self._settings.patience_s if watching else 0.0
        if known:
            patience = max(patience, UNHURRIED)
        self._pending = frame, context, patience, self._worker.submit(self._look, frame, known)
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
        if faces is not None:
            self._searched = frame.time
        return Answer(frame, faces, context)

    def forget(self) -> None:
        """Discards the current search; the next one is due at once."""
        if self._pending is not None:
            self._pending[3].cancel()
        self._pending, self._hurry = None, True

    def _look(self, frame: Frame, known: Sequence[Face]) -> Sequence[Face] | None:
        """In the lane's thread: searches for faces unless all were confirmed."""
        return None if known and self._check is not None and self._check(frame, known) else self._detect(frame)

    def close(self) -> None:
        """Waits for the current search and ends the thread."""
        self._pending = None
        self._worker.shutdown(wait=True, cancel_futures=True)
