"""A WebSocket server: every client gets the messages of every run, as JSON text; nothing is read from clients.

A client that falls behind loses messages instead of delaying anyone; its next message has the number in ``skipped``.
Pages of other sites are refused, since a browser would let them listen to this machine. Needs websockets: pip install
'realtime-mer[targets]'.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from realtime_mer.errors import ConfigError, OutputError
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Header
from realtime_mer.targets import ROOM, State, Stats, Target
from realtime_mer.targets.messages import Message, Messages
from realtime_mer.targets.outbox import FAREWELL_S

START_S: Final = 5.0
TAKE_S: Final = 10.0  # time limit for a client to take a message
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class _Reader:
    """One connection, and its waiting messages."""

    def __init__(self) -> None:
        self.waiting: deque[Message] = deque()
        self.ready = asyncio.Event()  # used only by the server's thread
        self.skipped = 0
        self.busy = False  # a message is being sent

    @property
    def behind(self) -> int:
        """Number of messages not sent yet."""
        return len(self.waiting) + self.busy

    def give(self, message: Message) -> int:
        """Queues a message, and returns the number of messages dropped for it."""
        full = len(self.waiting) >= ROOM
        if full:
            self.waiting.popleft()
            self.skipped += 1
        self.waiting.append(message)
        return int(full)


class WebSocketServer(Target):
    """Listens at ws://HOST:PORT; port 0 takes a free one, shown in ``name``.

    ?origin=https://lab.example.org, repeatable, allows the pages of a site; pages of this machine are always allowed.
    """

    def __init__(self, address: SplitResult, *, rejected: bool = False) -> None:
        try:
            import websockets.asyncio.server  # noqa: F401 - used by the thread, which could not tell
        except ImportError:
            raise OutputError("a WebSocket server needs websockets: pip install 'realtime-mer[targets]'") from None
        if address.port is None or address.path.strip("/"):
            raise ConfigError("a WebSocket server listens at ws://HOST:PORT, without a path")
        asked = parse_qs(address.query)
        if set(asked) - {"origin"}:
            raise ConfigError("a WebSocket server takes ?origin=SITE only")
        self._host, self._port = address.hostname or "", address.port
        self._origins, self._rejected = tuple(asked.get("origin", ())), rejected
        self._lock = threading.Lock()  # for the readers' queues, the headers and the counts
        self._readers: set[_Reader] = set()
        self._headers: dict[str, Message] = {}  # of current runs
        self._sent = self._missed = 0
        self._woken = False  # the thread has been woken, and has not checked yet
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._started = threading.Event()
        self._failed: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="to WebSocket readers", daemon=True)
        self._thread.start()
        if not self._started.wait(START_S) or self._failed is not None:
            why = "it takes too long" if self._failed is None else self._failed.strerror or str(self._failed)
            raise OutputError(f"cannot listen at ws://{self._host}:{self._port}: {why}")
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.name = f"ws://{host}:{self._port}"

    def follow(self, head: Header, stats: Stats | None = None) -> Sink:
        return Messages(self._post, head, stats, rejected=self._rejected)

    @property
    def state(self) -> State:
        with self._lock:
            behind = sum(reader.behind for reader in self._readers)
            return State(self._sent, self._missed, behind, peers=len(self._readers))

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(START_S)

    def _post(self, message: Message, passing: bool) -> None:  # noqa: ARG002 - every reader has its own room
        with self._lock:
            if message["type"] == "header":
                self._headers[message["run"]] = message
            elif message["type"] == "end":
                self._headers.pop(message["run"], None)
            self._missed += sum(reader.give(message) for reader in self._readers)
            woken, self._woken = self._woken, True
        if not woken:  # once for a flood of messages; a call for each would keep this thread busy
            with suppress(RuntimeError):  # it was closed in the meantime
                self._loop.call_soon_threadsafe(self._wake)

    # --- the thread -------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._lock:
            self._woken = False
            readers = tuple(self._readers)
        for reader in readers:
            reader.ready.set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        from websockets.asyncio.server import serve

        try:
            server = await serve(
                self._talk, self._host, self._port, process_request=self._admit, max_size=1024, compression=None
            )
        except OSError as error:
            self._failed = error
            return
        async with server:
            self._port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._over.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    while self.state.waiting:
                        await asyncio.sleep(0.02)

    async def _talk(self, socket: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        reader = _Reader()
        reader.ready.set()
        with self._lock:
            for head in self._headers.values():
                self._missed += reader.give(head)
            self._readers.add(reader)
        listening = asyncio.ensure_future(socket.wait_closed())
        try:
            while not listening.done():
                waiting = asyncio.ensure_future(reader.ready.wait())
                await asyncio.wait((listening, waiting), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                reader.ready.clear()
                while reader.waiting and not listening.done():
                    await self._send(socket, reader)
        except (ConnectionClosed, TimeoutError):
            pass
        finally:
            listening.cancel()
            with self._lock:
                self._readers.discard(reader)
                self._missed += reader.behind

    async def _send(self, socket: Any, reader: _Reader) -> None:
        with self._lock:
            skipped, reader.skipped = reader.skipped, 0
            message = reader.waiting.popleft() | ({"skipped": skipped} if skipped else {})
            reader.busy = True  # stays set on failure: the reader is then dropped
        await asyncio.wait_for(socket.send(json.dumps(message, allow_nan=False)), TAKE_S)
        with self._lock:
            reader.busy = False
            self._sent += 1

    def _admit(self, connection: Any, request: Any) -> Any:
        """None to accept a client, or the refusal. Programs send no Origin; browsers always do."""
        origin = request.headers.get("Origin")
        if origin is None or origin in self._origins:
            return None
        host = urlsplit(origin).hostname
        if host == self._host or {host, self._host} <= set(LOOPBACK):
            return None
        return connection.respond(HTTPStatus.FORBIDDEN, f"pages of {origin} are not allowed here: see ?origin=\n")
