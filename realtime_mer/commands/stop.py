"""Ends a run in order when it is told to stop: the source is closed, so that every output gets its end."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Protocol, Self

from realtime_mer.console import Interrupted, handling


class Closable(Protocol):
    def close(self) -> None: ...


class Stop:
    """Within it, the first Ctrl-C, SIGTERM or SIGHUP closes the source; a second one ends the run at once.

    number: of the signal that came, None when none did.
    """

    def __init__(self, source: Closable) -> None:
        self.number: int | None = None
        self._source, self._handling = source, handling(self._stop)

    def reason(self) -> str:
        """The signal's name, such as "SIGTERM", for the log; "" when none came."""
        return "" if self.number is None else signal.Signals(self.number).name

    def __enter__(self) -> Self:
        self._handling.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handling.__exit__(None, None, None)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            raise Interrupted(number)
        self.number = number
        # the handler must not wait for the capture thread
        threading.Thread(target=self._source.close, name="stop", daemon=True).start()
