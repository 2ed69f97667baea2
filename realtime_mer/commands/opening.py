"""Opens a source within a time limit, because a camera or a server may keep the caller waiting forever."""

from __future__ import annotations

import threading
from collections.abc import Callable

from realtime_mer.sources import Source


def open_within(seconds: float | None, opening: Callable[[], Source]) -> Source | None:
    """The source from ``opening``, or None when that takes more than ``seconds`` (None: no limit). A source that opens
    later is closed at once. Raises what ``opening`` raises."""
    if seconds is None:
        return opening()
    lock, ready = threading.Lock(), threading.Event()
    opened: list[Source | BaseException] = []
    late = False

    def work() -> None:
        try:
            result: Source | BaseException = opening()
        except BaseException as error:  # passed to the caller, who raises it
            result = error
        with lock:
            opened.append(result)
            left_alone = late
        ready.set()
        if left_alone and isinstance(result, Source):
            result.close()

    threading.Thread(target=work, name="opening", daemon=True).start()
    ready.wait(seconds)
    with lock:
        late = not opened
    if late:
        return None
    if isinstance(opened[0], BaseException):
        raise opened[0]
    return opened[0]
