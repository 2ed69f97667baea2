"""What the tests of the command line share: a camera on loopback that plays pictures once, and running the command."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2

COMMAND = (sys.executable, "-m", "realtime_mer.cli")


def start(*arguments: str | Path, **options) -> subprocess.Popen:
    """The command in a process of its own, with text pipes; Ctrl-C reaches it.

    A shell that starts a job in the background has it ignore SIGINT, and so do the tests' own children then.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([*COMMAND, *map(str, arguments)], **options)
    finally:
        signal.signal(signal.SIGINT, ignored)


def encoded(pictures) -> list[bytes]:
    """Each picture as JPEG."""
    return [cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for picture in pictures]


class Player:
    """Sends JPEG pictures to each client from the first on, at ``fps``, with their times; then stays connected."""

    def __init__(self, pictures: Sequence[bytes], fps: float = 100.0) -> None:
        stop = self._stop = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=cut")
                self.end_headers()
                began = time.monotonic()
                with suppress(OSError):
                    for number, picture in enumerate(pictures):
                        if stop.wait(max(began + number / fps - time.monotonic(), 0)):
                            return
                        head = f"Content-Length: {len(picture)}\r\nX-Timestamp: {1e9 + number / fps:.6f}\r\n"
                        self.wfile.write(
                            f"--cut\r\nContent-Type: image/jpeg\r\n{head}\r\n".encode() + picture + b"\r\n"
                        )
                    stop.wait()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}/stream"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
