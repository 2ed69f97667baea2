"""Work for the tests of the engine, in a module of its own because workers import it. Not a test."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from realtime_mer.errors import DataError, ModelError


@contextmanager
def counting(folder: Path, open_error: bool = False) -> Iterator[Callable[[str], str]]:
    """Notes in ``folder`` who worked on what. A task is what is to happen: "kill", "kill once", "fail", "slow", ..."""
    if open_error:
        raise ModelError("there is no such model")

    def work(task: str) -> str:
        mark = folder / f"{task}-{time.monotonic_ns()}"
        mark.write_text(str(os.getpid()))
        tried = len(list(folder.glob(f"{task}-*")))
        if task.startswith("kill") and ("once" not in task or tried == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if task.startswith("fail"):
            raise DataError(f"{task} is no good")
        if task.startswith("gone"):
            (folder / "nothing" / "here").read_text()
        if task.startswith("slow"):
            time.sleep(0.3)
        return task.upper()

    yield work
    (folder / f"closed-{os.getpid()}").write_text("")


@contextmanager
def dying() -> Iterator[Callable[[str], str]]:
    """Ends the process before it could begin."""
    os._exit(3)
    yield str.upper
