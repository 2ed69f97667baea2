"""Classifies movements beside the frame path. Independent of faces, events and models.

Live: ``submit`` returns at once, one thread of a pool computes, ``ready`` returns finished results and never waits.
Recordings (``threaded=False``): ``drain`` computes in the caller's thread, so that the same file gives the same batches
and the same result each time. Samples that wait together become one batch: several faces that move at once, or several
streams, take one call of the model, which suits a GPU.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

import numpy as np

from realtime_mer.records import Floats

Key = TypeVar("Key")
Item = TypeVar("Item")

Answers = list[tuple[Key, Floats, Floats]]  # key, the model's input, its probabilities

LARGEST: Final = 64  # samples in one batch: limits the memory, and how long the first of many waits for the last


class BatchWorker(Generic[Key, Item]):
    """``classify`` turns float32 (N, ...) into probabilities float32 (N, classes); ``prepare`` an item into one sample.

    An exception in either is raised again by ``ready`` or ``drain``, once; the samples of that batch are lost, later
    ones are not. Call it from one thread.
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
        self._waiting: deque[tuple[Key, Item]] = deque()
        self._batches: deque[Future[Answers[Key]]] = deque()  # in the order of ``submit``
        self._pool = ThreadPoolExecutor(1, "classification") if threaded else None
        self._closed = False

    def submit(self, key: Key, item: Item) -> None:
        """Puts one sample in the queue; returns at once. Raises RuntimeError after ``close``."""
        if self._closed:
            raise RuntimeError("the worker is closed")
        self._waiting.append((key, item))
        if self._pool is not None:
            # One call for each sample: the first takes all that are waiting, the later ones find nothing and cost
            # nothing.
            self._batches.append(self._pool.submit(self._batch))

    def ready(self) -> Answers[Key]:
        """The results finished since the last call, in the order of ``submit``. Never waits."""
        answers: Answers[Key] = []
        while self._batches and self._batches[0].done():
            if answers and self._batches[0].exception() is not None:
                break  # these first; the error at the next call
            answers += self._batches.popleft().result()
        return answers

    def drain(self) -> Answers[Key]:
        """Computes or awaits everything submitted, then as ``ready``."""
        while self._pool is None and self._waiting:
            self._batches.append(Future())
            try:
                self._batches[-1].set_result(self._batch())
            except Exception as error:  # kept, so that earlier answers are returned first
                self._batches[-1].set_exception(error)
        for batch in self._batches:
            batch.exception()  # waits for it
        return self.ready()

    def close(self) -> None:
        """Ends the thread after the current batch and drops what is still waiting. May be called twice."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._waiting.clear()
        self._batches.clear()

    def _batch(self) -> Answers[Key]:
        """The answers to all waiting samples, at most ``largest``."""
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._largest))]
        if not taken:
            return []
        samples = [self._prepare(item) for _, item in taken]
        return list(zip((key for key, _ in taken), samples, self._classify(np.stack(samples)), strict=True))
