"""Classifies the events of many faces in one batch, beside the frame path. Knows nothing of faces, events or models.

Live: ``submit`` returns at once, a thread takes all that waits as one batch, ``ready`` hands out what is done and
never waits. Recordings (``threaded=False``): no thread; what was submitted is computed by ``drain`` in the caller's,
so that the same file gives the same batches and the same result each time.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import numpy as np

from realtime_mer.records import Floats

Key = TypeVar("Key")
Item = TypeVar("Item")

LARGEST: Final = 64  # samples in one batch: bounds the memory, and how long the first of many waits for the last


class BatchWorker(Generic[Key, Item]):
    """``classify`` turns float32 (N, ...) into probabilities float32 (N, classes); ``prepare`` an item into one sample.

    Both run in the worker's thread. What either raises is raised again by ``ready`` or ``drain``, once; the samples
    of that batch are lost, later ones are not.
    """

    def __init__(
        self,
        classify: Callable[[Floats], Floats],
        prepare: Callable[[Item], Floats],
        *,
        threaded: bool = True,
        largest: int = LARGEST,
    ) -> None:
        self._classify, self._prepare, self._largest = classify, prepare, largest
        self._waiting: queue.SimpleQueue[tuple[Key, Item] | None] = queue.SimpleQueue()
        self._done: deque[tuple[Key, Floats, Floats] | Exception] = deque()
        self._open = 0  # submitted and not yet done
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="classification", daemon=True) if threaded else None
        if self._thread is not None:
            self._thread.start()

    @property
    def pending(self) -> int:
        """How many samples are submitted and not yet computed."""
        with self._changed:
            return self._open

    def submit(self, key: Key, item: Item) -> None:
        """Puts one sample in the queue; returns at once. Raises RuntimeError after ``close``."""
        if self._closed:
            raise RuntimeError("the worker is closed")
        with self._changed:
            self._open += 1
        self._waiting.put((key, item))

    def ready(self) -> list[tuple[Key, Floats, Floats]]:
        """What is newly done, in the order of ``submit``: key, sample, probabilities. Never waits."""
        answers: list[tuple[Key, Floats, Floats]] = []
        while self._done:
            answer = self._done.popleft()
            if isinstance(answer, Exception):
                if answers:  # these first; the error at the next call
                    self._done.appendleft(answer)
                    return answers
                raise answer
            answers.append(answer)
        return answers

    def drain(self) -> list[tuple[Key, Floats, Floats]]:
        """Computes or awaits everything submitted, then as ``ready``."""
        if self._thread is None:
            while batch := self._take(wait=False):
                self._compute(batch)
        else:
            with self._changed:
                self._changed.wait_for(lambda: self._open == 0)
        return self.ready()

    def close(self) -> None:
        """Ends the thread after the batch under way; what still waits is dropped. May be called twice."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
            if self._thread is not None:
                self._thread.join()

    def _work(self) -> None:
        while batch := self._take(wait=True):
            self._compute(batch)

    def _take(self, wait: bool) -> list[tuple[Key, Item]]:
        """The next batch: all that waits, ``largest`` at most. Empty when nothing waits, or at the end."""
        batch: list[tuple[Key, Item]] = []
        while len(batch) < self._largest:
            try:
                entry = self._waiting.get(block=wait and not batch)
            except queue.Empty:
                break
            if entry is None or self._closed:
                return []
            batch.append(entry)
        return batch

    def _compute(self, batch: list[tuple[Key, Item]]) -> None:
        try:
            samples = np.stack([self._prepare(item) for _, item in batch])
            answers = self._classify(samples)
            self._done.extend(zip((key for key, _ in batch), samples, answers, strict=True))
        except Exception as error:  # whatever it is, it belongs to the caller's thread
            self._done.append(error)
        finally:
            with self._changed:
                self._open -= len(batch)
                self._changed.notify_all()
