"""A queue of messages for a peer: one thread delivers them in order, and posting never blocks.

Written by hand: queue.Queue blocks or raises when it is full; here the oldest must be dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from realtime_mer.targets import ROOM, State
from realtime_mer.targets.messages import Message

FAREWELL_S: Final = 3.0  # time for close() to deliver waiting messages
FIRST_DELAY_S: Final = 0.5  # before the second attempt; doubled for each further one
LONGEST_DELAY_S: Final = 15.0


class UndeliveredError(Exception):
    """The peer cannot be reached, or did not accept a message. The text says why, in a few words.

    final: it will not accept this message later either.
    """

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


class Outbox:
    """Calls ``deliver`` for each posted message, repeatedly until it succeeds.

    deliver: returns when the peer has the message, and raises UndeliveredError otherwise; it may take seconds. leave:
    called in the thread at the end, to disconnect.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[Message], None],
        leave: Callable[[], None] | None = None,
        *,
        farewell_s: float = FAREWELL_S,
    ) -> None:
        self._deliver, self._leave, self._farewell_s = deliver, leave, farewell_s
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self._sent = self._missed = 0
        self._trouble = ""
        self._until: float | None = None  # monotonic: when to give up; None while open
        self._thread = threading.Thread(target=self._run, name=f"to {name}", daemon=True)
        self._thread.start()

    def post(self, message: Message, passing: bool) -> None:
        """Queues a message. If the peer is absent, a passing one is left out, and others replace the oldest."""
        with self._changed:
            if self._until is not None or (passing and self._trouble):
                return
            if len(self._waiting) >= ROOM:
                self._waiting.popleft()
                self._missed += 1
            self._waiting.append(message)
            self._changed.notify_all()

    @property
    def closing(self) -> bool:
        """Whether it is time to give up."""
        return self._until is not None and time.monotonic() >= self._until

    @property
    def state(self) -> State:
        with self._changed:
            return State(self._sent, self._missed, len(self._waiting), trouble=self._trouble)

    def trouble(self, why: str) -> None:
        """Sets the trouble that the peer's own thread found; "" when all is well again."""
        with self._changed:
            self._trouble = why
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            if self._until is None:
                self._until = time.monotonic() + self._farewell_s
            self._changed.notify_all()
        self._thread.join(2 * self._farewell_s + 1.0)

    def _run(self) -> None:
        delay = FIRST_DELAY_S
        while (message := self._next()) is not None:
            try:
                self._deliver(message)
            except UndeliveredError as error:
                if self._failed(message, error, delay):
                    delay = min(2 * delay, LONGEST_DELAY_S)
            else:
                delay = FIRST_DELAY_S
                with self._changed:
                    self._sent, self._trouble = self._sent + 1, ""
                    self._drop(message)
        if self._leave is not None:
            self._leave()

    def _next(self) -> Message | None:
        """The oldest message, which stays in the queue until it is delivered; None at the end."""
        with self._changed:
            while not self._waiting and self._until is None:
                self._changed.wait()
            if self._waiting and not self.closing:
                return self._waiting[0]
            self._missed += len(self._waiting)
            self._waiting.clear()
            return None

    def _failed(self, message: Message, error: UndeliveredError, delay: float) -> bool:
        """Records the reason, and waits before the next attempt (True), or drops a message that is not accepted."""
        with self._changed:
            self._trouble = str(error)
            if error.final:
                self._missed += self._drop(message)
                return False
            if not self.closing:
                self._changed.wait_for(lambda: self._until is not None, delay)
            if self._until is not None:  # no time left for growing delays
                self._changed.wait_for(lambda: self.closing, FIRST_DELAY_S / 2)
        return True

    def _drop(self, message: Message) -> bool:
        """Removes a finished message, unless it was already dropped to make room."""
        here = bool(self._waiting) and self._waiting[0] is message
        if here:
            self._waiting.popleft()
        return here
