"""A camera on the loopback that sends MJPEG at an exact rate, to measure and test readers of a stream."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

POLL_S: Final = 0.05  # time within which the server's thread notices that it should end
STAMP: Final = 1e9  # s: stamp of the first frame of a stamped stream, like a camera's wall clock


class MjpegSender:
    """Sends JPEG images to each client from the first on, at ``fps`` frames/s in real time.

    repeat: without end; otherwise once, and the connection stays open. stamped: each part carries its time. Three
    methods determine what is sent and when, so that a test can override them.
    """

    boundary = "cut"  # as in the header

    def __init__(
        self, pictures: Sequence[bytes], fps: float, *, port: int = 0, repeat: bool = True, stamped: bool = False
    ) -> None:
        self.pictures, self.fps, self.repeat, self.stamped = pictures, fps, repeat, stamped
        self.stop = threading.Event()
        sender = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                sender.answer(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.uri = f"http://127.0.0.1:{self.port}/stream"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="sender", daemon=True)
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers one request with the stream."""
        request.send_response(200)
        request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={self.boundary}")
        request.end_headers()
        with suppress(OSError):  # the client has gone
            for number in self.due():
                request.wfile.write(self.part(number))

    def due(self) -> Iterator[int]:
        """The numbers of the frames, each when it is due, until the sender is closed."""
        began = time.monotonic()
        for number in itertools.count() if self.repeat else range(len(self.pictures)):
            if self.stop.wait(max(began + number / self.fps - time.monotonic(), 0)):
                return
            yield number
        self.stop.wait()

    def part(self, number: int) -> bytes:
        """One frame with its headers."""
        body = self.pictures[number % len(self.pictures)]
        stamp = f"X-Timestamp: {STAMP + number / self.fps:.6f}\r\n" if self.stamped else ""
        head = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n{stamp}\r\n"
        return head.encode() + body + b"\r\n"

    def close(self) -> None:
        """Ends the server and its connections."""
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
