"""Shared by all network streams: opening, a connection that can be cancelled from outside, and reconnecting. ``sender``
handles the sender's clock, ``rtsp`` and ``mjpeg`` the protocols."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from realtime_mer.errors import SourceError
from realtime_mer.records import SourceInfo
from realtime_mer.sources.feed import Counts, Feed, RawFrames, Source
from realtime_mer.sources.sender import SenderClock

CONNECT_S = 0.8  # for one attempt to reach a host; a local one answers in far less, and close() must not wait for it
FIRST_DELAY_S = 0.25  # before the first attempt to reconnect; doubled for each further one
LONGEST_DELAY_S = 8.0


def without_password(uri: str) -> str:
    """The address as it may be shown and logged."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class CancellableSocket:
    """Holds a second handle on the socket in use, so that ``cut`` ends a read that is waiting in another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._cut = False

    def watch(self, sock: socket.socket) -> None:
        """Watch ``sock`` in place of the previous one; cut at once if already cancelled."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
            self._handle = socket.fromfd(sock.fileno(), sock.family, sock.type)
        if self._cut:
            self.cut()

    def drop(self) -> None:
        """Watch nothing anymore, because the connection has ended."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def cut(self) -> None:
        """Shut down the connection, and any that is watched later."""
        self._cut = True
        self.hang_up()

    def hang_up(self) -> None:
        """Shut down the connection; the next one may be used."""
        with self._lock:
            if self._handle is not None:
                with suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class Stream:
    """One network stream: its address, and the state shared by its connections.

    timeout_s: a sender silent for this long is considered lost, s. rate: stated frames/s, 0 if unknown.
    clock:     clock of the frames' times, "sender" or "monotonic"; None until known.
    sender:    the sender's clock as far as known, kept over reconnections.
    """

    uri: str
    timeout_s: float
    details: dict[str, str]
    clock: str | None = None
    rate: float = 0.0
    sender: SenderClock = field(default_factory=SenderClock)
    counts: Counts = field(default_factory=Counts)
    stop: threading.Event = field(default_factory=threading.Event)
    socket: CancellableSocket = field(default_factory=CancellableSocket)

    @property
    def name(self) -> str:
        """The address as it may be shown and logged."""
        return without_password(self.uri)


def open_stream(stream: Stream, connect: Callable[[Stream], RawFrames], *, buffer_s: float, retries: int) -> Source:
    """Start capturing: ``connect`` gives the raw frames of one connection, and is called again when that is lost.

    Raises SourceError when no frame arrives.
    """
    raw_frames = keep_connected(stream, connect, retries)
    first = next(raw_frames)
    height, width = first.gray.shape
    clock = stream.clock or "monotonic"
    info = SourceInfo(
        uri=stream.name,
        kind="stream",
        live=True,
        size=(width, height),
        rate=stream.rate,
        clock=clock,
        details=stream.details,
    )
    return Feed(info, first, raw_frames, stream.counts, stream.stop, abort=stream.socket.cut, buffer_s=buffer_s)


def keep_connected(stream: Stream, connect: Callable[[Stream], RawFrames], retries: int) -> RawFrames:
    """The raw frames of ``connect(stream)``, called again with growing delays when the connection ends or fails.

    The first raw frame of a new connection has a hole before it.
    Raises SourceError when the very first connection fails, or after ``retries`` failed attempts in a row.
    """
    name, stop = stream.name, stream.stop
    failures, connected, last = 0, False, None
    while not stop.is_set():
        started = time.monotonic()
        try:
            stream.sender.reconnected()
            raw_frames = connect(stream)
            try:
                for raw in raw_frames:
                    if connected and failures > 0:
                        stream.counts.reconnects += 1
                        if last is not None and raw.time is not None:
                            raw = raw._replace(hole=max(raw.time - last, raw.hole))
                    failures, connected, last = 0, True, raw.time or last
                    yield raw
            finally:
                raw_frames.close()
                stream.socket.drop()
            why = "the sender ended the stream"
        except SourceError as error:
            if not connected:
                raise
            why = str(error)
        if not connected:
            raise SourceError(f"{name}: connected, but no frame arrived within {time.monotonic() - started:.1f} s")
        failures += 1
        if failures > retries and not stop.is_set():
            raise SourceError(f"{name}: could not reconnect after {retries} attempts: {why}")
        stop.wait(min(FIRST_DELAY_S * 2 ** (failures - 1), LONGEST_DELAY_S))
