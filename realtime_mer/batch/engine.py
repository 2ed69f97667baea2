"""Runs tasks in worker processes: each worker opens its tools once, then does one task after the other.

Written by hand, because a killed worker must cost only one task, which is tried again; ``ProcessPoolExecutor`` and
joblib give up the whole pool. ``cluster`` does the same on Ray.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, Final, Generic, TypeVar

from realtime_mer.console import STOPPING, Interrupted, handling
from realtime_mer.errors import MerError, SourceError

Task = TypeVar("Task")
Value = TypeVar("Value")

TRIES: Final = 3  # of a task whose worker is killed, since the task may be the reason
OPEN_TRIES: Final = 3  # workers in a row that die before they have opened their tools
END_S: Final = 20.0  # time for a worker to end
POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Done(Generic[Task, Value]):
    """The result of a task. value: the work's return value; None if ``error`` says why.

    code: exit code of the error. seconds, cpu: s of the wall clock, and of all the worker's threads.
    """

    task: Task
    value: Value | None
    error: str = ""
    code: int = 0
    seconds: float = 0.0
    cpu: float = 0.0


# How a worker opens its tools: a context manager that yields the work, a callable for one task. It is pickled for the
# workers, so it is a class or function of a module, or a ``partial`` of one. The work raises MerError for what the user
# can fix: that task fails, and the rest goes on.
Tools = Callable[[], AbstractContextManager[Callable[[Task], Value]]]


def perform(work: Callable[[Task], Value], task: Task) -> Done[Task, Value]:
    """Does one task and times it. A MerError and a vanished file become the task's error."""
    began, cpu = time.monotonic(), time.process_time()

    def spent() -> tuple[float, float]:
        return time.monotonic() - began, time.process_time() - cpu

    try:
        value = work(task)
    except MerError as error:
        return Done(task, None, str(error), error.exit_code, *spent())
    except OSError as error:  # a file or its disk may vanish at any time
        return Done(task, None, f"{task}: {error.strerror or error}", SourceError.exit_code, *spent())
    return Done(task, value, "", 0, *spent())


def in_turn(tools: Tools[Task, Value], tasks: Sequence[Task]) -> Generator[Done[Task, Value], None, None]:
    """Runs the tasks one after the other, in this process."""
    with tools() as work:
        for task in tasks:
            yield perform(work, task)


def in_processes(
    tools: Tools[Task, Value], tasks: Sequence[Task], jobs: int
) -> Generator[Done[Task, Value], None, None]:
    """Runs the tasks in ``jobs`` processes; yields each result as it comes. A task whose process is killed is tried
    again.

    Ctrl-C, SIGTERM and SIGHUP stop the workers, which leave no partial results, and raise Interrupted. Raises MerError
    when workers cannot open their tools.
    """
    pool = _Pool(tools, min(jobs, max(len(tasks), 1)))
    signals: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if signals:
            raise Interrupted(number)  # a second one ends at once
        signals.append(number)

    with handling(interrupt):
        try:
            yield from pool.run(deque((task, 0) for task in tasks), signals)
        finally:
            pool.close()
    if signals:
        raise Interrupted(signals[0])


class _Worker:
    """A process, our end of its pipe, and its current task."""

    def __init__(self, tools: Tools[Any, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(tools, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.ready = False
        self.doing: tuple[Any, int] | None = None  # the task, and how often it was tried before

    def give(self, task: Any, tried: int) -> None:
        self.doing = task, tried
        with suppress(OSError):  # it is dead, which the next check will find
            self.pipe.send(task)


class _Pool:
    def __init__(self, tools: Tools[Any, Any], size: int) -> None:
        self._tools, self._size = tools, size
        self._workers: list[_Worker] = []
        self._unopened = 0  # workers in a row that died while opening

    def run(self, waiting: deque[tuple[Any, int]], signals: list[int]) -> Iterator[Done[Any, Any]]:
        while not signals and (waiting or any(w.doing for w in self._workers)):
            busy = sum(w.doing is not None for w in self._workers)
            while len(self._workers) < min(self._size, busy + len(waiting)):
                self._workers.append(_Worker(self._tools))
            for worker in self._workers:
                if worker.ready and worker.doing is None and waiting:
                    worker.give(*waiting.popleft())
            for pipe in wait([w.pipe for w in self._workers], POLL_S):
                worker = next(w for w in self._workers if w.pipe is pipe)
                done = self._hear(worker, waiting)
                if done is not None:
                    yield done

    def _hear(self, worker: _Worker, waiting: deque[tuple[Any, int]]) -> Done[Any, Any] | None:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            return self._died(worker, waiting)
        if isinstance(message, MerError):
            raise message
        if message is None:
            worker.ready, self._unopened = True, 0
            return None
        worker.doing = None
        assert isinstance(message, Done)
        return message

    def _died(self, worker: _Worker, waiting: deque[tuple[Any, int]]) -> Done[Any, Any] | None:
        """Puts the task of a dead worker back to the front; after TRIES times it has failed."""
        self._workers.remove(worker)
        worker.process.join()
        code, doing = worker.process.exitcode or 0, worker.doing
        how = f"signal {-code} ended" if code < 0 else f"exit code {code} ended"
        if doing is None:
            self._unopened += not worker.ready
            if self._unopened >= OPEN_TRIES:
                raise MerError(f"{how} {OPEN_TRIES} processes before they could start: is there enough memory?")
            return None
        task, tried = doing
        if tried + 1 < TRIES:
            waiting.appendleft((task, tried + 1))
            return None
        return Done(task, None, f"{task}: {how} its process {TRIES} times (too little memory?)", MerError.exit_code)

    def close(self) -> None:
        """Ends the workers: idle ones at once, busy ones with a signal that they handle."""
        for worker in self._workers:
            if worker.doing is not None:
                worker.process.terminate()
            worker.pipe.close()
        end = time.monotonic() + END_S
        for worker in self._workers:
            worker.process.join(max(end - time.monotonic(), 0.1))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _serve(tools: Tools[Any, Any], pipe: Connection) -> None:
    """The worker: sends None when its tools are open, then a Done for each task; ends with the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal: the parent decides
    for number in set(STOPPING) - {signal.SIGINT}:
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    with suppress(EOFError, OSError, Interrupted):
        try:
            opening = tools()
            with opening as work:
                pipe.send(None)
                while (task := _next(pipe)) is not None:
                    pipe.send(perform(work, *task))
        except MerError as error:
            pipe.send(error)


def _next(pipe: Connection) -> tuple[Any] | None:
    """The next task, None when there are no more."""
    try:
        return (pipe.recv(),)
    except (EOFError, OSError):
        return None
