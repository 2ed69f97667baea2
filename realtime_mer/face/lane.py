"""The heavy lane: face detection beside the motion lane, which never waits for it on a live source.

One detection is under way at a time. On recordings its answer is taken at a fixed video time, so that the same file
always gives the same result; on live sources it is taken as soon as it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from realtime_mer.records import Detection, Frame

Detect = Callable[[Frame], Sequence[Detection]]


class DetectionLane:
    """``ask`` for a frame to be searched, ``answer`` to take the result when it is due.

    patience: seconds of source time after which a recording waits for the answer. live: never wait.
    """

    def __init__(self, detect: Detect, patience: float, live: bool) -> None:
        self._detect = detect
        self._patience = patience
        self._live = live
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="face-detection")
        self._pending: tuple[Frame, Future[Sequence[Detection]]] | None = None

    @property
    def busy(self) -> bool:
        return self._pending is not None

    def ask(self, frame: Frame) -> None:
        """Starts a search of ``frame``. Only while not busy."""
        assert self._pending is None
        self._pending = frame, self._worker.submit(self._detect, frame)

    def answer(self, time: float) -> tuple[Frame, Sequence[Detection]] | None:
        """The frame that was searched and the faces in it, or None while the answer is not due at source time ``time``.

        Raises what the detector raised.
        """
        if self._pending is None:
            return None
        frame, future = self._pending
        if not (future.done() if self._live else time - frame.time >= self._patience):
            return None
        self._pending = None
        return frame, future.result()

    def close(self) -> None:
        """Waits for the search under way and ends the thread."""
        self._pending = None
        self._worker.shutdown(wait=True, cancel_futures=True)
