"""The batch worker: it never blocks the caller, loses nothing, keeps the order, and hands errors to its caller."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from realtime_mer.recognize.worker import BatchWorker


class Recorder:
    """Doubles each sample; remembers the sizes of the batches; waits at the gate."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.gate.wait(5)
        self.sizes.append(len(batch))
        return batch * 2


def sample(value: float) -> np.ndarray:
    return np.full(2, value, np.float32)


def values(answers: list[tuple[int, np.ndarray, np.ndarray]]) -> list[tuple[int, float]]:
    return [(key, float(answer[0])) for key, _, answer in answers]


def test_submit_and_ready_never_wait_for_a_classification() -> None:
    record = Recorder()
    record.gate.clear()
    worker: BatchWorker[int, float] = BatchWorker(record, sample)
    begin = time.perf_counter()
    for i in range(20):
        worker.submit(i, float(i))
    assert worker.ready() == []
    assert time.perf_counter() - begin < 1  # the gate would hold it for 5 s
    record.gate.set()
    assert values(worker.drain()) == [(i, 2.0 * i) for i in range(20)]
    worker.close()


def test_what_waits_is_one_batch() -> None:
    record = Recorder()
    record.gate.clear()
    worker: BatchWorker[int, float] = BatchWorker(record, sample, largest=8)
    worker.submit(0, 0.0)
    while worker._waiting:  # the first is taken alone and held at the gate
        time.sleep(0.001)
    for i in range(1, 11):
        worker.submit(i, float(i))
    record.gate.set()
    assert len(worker.drain()) == 11
    worker.close()
    assert record.sizes == [1, 8, 2]


def test_without_a_thread_the_batches_are_the_same_each_time() -> None:
    record = Recorder()
    worker: BatchWorker[int, float] = BatchWorker(record, sample, threaded=False, largest=4)
    for i in range(6):
        worker.submit(i, float(i))
    assert worker.ready() == []
    assert record.sizes == []
    assert values(worker.drain()) == [(i, 2.0 * i) for i in range(6)]
    assert record.sizes == [4, 2]
    assert worker.drain() == []
    worker.close()


@pytest.mark.parametrize("threaded", [True, False])
def test_an_error_reaches_the_caller_once_and_later_samples_are_answered(threaded: bool) -> None:
    def classify(batch: np.ndarray) -> np.ndarray:
        if (batch < 0).any():
            raise ValueError("negative")
        return batch

    worker: BatchWorker[int, float] = BatchWorker(classify, sample, threaded=threaded)
    worker.submit(1, 1.0)
    assert values(worker.drain()) == [(1, 1.0)]
    worker.submit(2, -1.0)
    with pytest.raises(ValueError, match="negative"):
        worker.drain()
    worker.submit(3, 3.0)
    assert values(worker.drain()) == [(3, 3.0)]
    worker.close()


@pytest.mark.parametrize("threaded", [True, False])
def test_close_ends_at_once_and_twice_and_refuses_more(threaded: bool) -> None:
    before = set(threading.enumerate())
    worker: BatchWorker[int, float] = BatchWorker(Recorder(), sample, threaded=threaded)
    worker.submit(1, 1.0)
    worker.close()
    worker.close()
    with pytest.raises(RuntimeError, match="closed"):
        worker.submit(2, 2.0)
    assert set(threading.enumerate()) <= before
    assert worker.drain() == []


def test_close_drops_what_waits_behind_the_batch_under_way() -> None:
    record = Recorder()
    record.gate.clear()
    worker: BatchWorker[int, float] = BatchWorker(record, sample)
    worker.submit(0, 0.0)
    while worker._waiting:
        time.sleep(0.001)
    worker.submit(1, 1.0)
    threading.Timer(0.05, record.gate.set).start()
    worker.close()
    assert record.sizes == [1]


@pytest.mark.parametrize("threaded", [True, False])
def test_an_answer_carries_the_sample_that_the_model_saw(threaded: bool) -> None:
    seen: list[np.ndarray] = []

    def classify(batch: np.ndarray) -> np.ndarray:
        seen.extend(batch.copy())
        return batch * 2

    worker: BatchWorker[int, float] = BatchWorker(classify, sample, threaded=threaded)
    for i in range(3):
        worker.submit(i, float(i))
    answers = worker.drain()
    assert [key for key, _, _ in answers] == [0, 1, 2]
    for (_, given, _), shown in zip(answers, seen, strict=True):
        np.testing.assert_array_equal(given, shown)
    worker.close()


@pytest.mark.parametrize("threaded", [True, False])
def test_answers_before_a_failed_batch_are_not_lost(threaded: bool) -> None:
    """The error waits for the next call, and the samples behind it for the one after."""

    def classify(batch: np.ndarray) -> np.ndarray:
        if (batch < 0).any():
            raise ValueError("negative")
        return batch

    worker: BatchWorker[int, float] = BatchWorker(classify, sample, threaded=threaded, largest=1)
    for i, value in enumerate((1.0, -1.0, 3.0)):
        worker.submit(i, value)
    assert values(worker.drain()) == [(0, 1.0)]
    with pytest.raises(ValueError, match="negative"):
        worker.drain()
    assert values(worker.drain()) == [(2, 3.0)]
    worker.close()
