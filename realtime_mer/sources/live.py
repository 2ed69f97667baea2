"""What all network streams share: a connection that can be cut from outside, reconnecting, and the sender's clock."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

from realtime_mer.errors import SourceError
from realtime_mer.sources.feed import Counts, Shots

CONNECT_S = 0.8  # for one attempt to reach a host: a local one answers in far less, and close() must not wait for it
FIRST_DELAY_S = 0.25  # before the first attempt to reconnect; doubled at each further one
LONGEST_DELAY_S = 8.0
APART_S = 2.0  # sender's clock and ours may differ by this much before they are matched anew


def without_password(uri: str) -> str:
    """The address as it may be shown and logged."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class Line:
    """Holds a second handle on the socket in use, so that ``cut`` ends a read that is waiting in another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._cut = False

    def watch(self, sock: socket.socket) -> None:
        """Watch ``sock`` in place of the one before; at once cut when the line already is."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
            self._handle = socket.fromfd(sock.fileno(), sock.family, sock.type)
        if self._cut:
            self.cut()

    def drop(self) -> None:
        """Watch nothing any more: the connection is over."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def cut(self) -> None:
        """Shut the connection down, and any that is watched later."""
        with self._lock:
            self._cut = True
            if self._handle is not None:
                with suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)


class SenderClock:
    """Puts the sender's times on our monotonic clock: its intervals are kept, its origin is matched at arrival."""

    def __init__(self) -> None:
        self._offset: float | None = None

    def local(self, sent: float, arrived: float) -> float:
        """``sent`` (s, sender's clock) as monotonic time; matched anew after a jump, as after a restart."""
        if self._offset is None or abs(sent + self._offset - arrived) > APART_S:
            self._offset = arrived - sent
        return sent + self._offset


def keep_connected(
    name: str, connect: Callable[[], Shots], line: Line, counts: Counts, stop: threading.Event, retries: int
) -> Shots:
    """The shots of ``connect()``, called again with growing delays when the connection (``line``) ends or fails.

    Raises SourceError when the very first connection fails, or after ``retries`` failed attempts in a row.
    """
    failures, connected = 0, False
    while not stop.is_set():
        started = time.monotonic()
        try:
            shots = connect()
            try:
                for shot in shots:
                    counts.reconnects += connected and failures > 0
                    failures, connected = 0, True
                    yield shot
            finally:
                shots.close()
                line.drop()
            why = "the sender ended the stream"
        except SourceError as error:
            if not connected:
                raise
            why = str(error)
        if not connected:
            raise SourceError(f"{name}: connected, but no picture came within {time.monotonic() - started:.1f} s")
        failures += 1
        if failures > retries and not stop.is_set():
            raise SourceError(f"{name}: lost, and not regained in {retries} attempts: {why}")
        stop.wait(min(FIRST_DELAY_S * 2 ** (failures - 1), LONGEST_DELAY_S))
