"""The peers of ``targets`` in their own process, so that their cost is not counted as the sender's.

    python -m realtime_mer.bench.listener WEBSOCKET METRICS STREAM

Prints the address of its webhook, then reads the WebSocket, the signals of the LSL stream and, every 5 s, the metrics,
until its standard input is closed. Then it prints what it received, as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

SCRAPE_S: Final = 5.0
WAIT_S: Final = 0.5
AT_ONCE: Final = 1024  # samples


def main(websocket: str, metrics: str, stream: str) -> None:
    """Runs the peers; see above."""
    got = {"websocket": 0, "webhook": 0, "signals": 0, "metrics": 0}
    over = threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            got["webhook"] += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.daemon_threads = True
    reading = (lambda: _websocket(websocket, got), lambda: _signals(stream, got, over), server.serve_forever)
    for work in (*reading, lambda: _metrics(metrics, got, over)):
        threading.Thread(target=work, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    sys.stdin.read()
    over.set()
    print(json.dumps(got), flush=True)


def _websocket(address: str, got: dict[str, int]) -> None:
    from websockets.sync.client import connect

    with connect(address, open_timeout=30) as socket:
        for _ in socket:
            got["websocket"] += 1


def _signals(name: str, got: dict[str, int], over: threading.Event) -> None:
    from realtime_mer.targets.lsl import library

    lsl = library()
    while not over.is_set():
        if found := lsl.resolve_byprop("name", f"{name}-signals", 1, 1.0):
            inlet = lsl.StreamInlet(found[0], recover=False)
            with suppress(RuntimeError):  # the run is over
                while not over.is_set():
                    got["signals"] += len(inlet.pull_chunk(timeout=WAIT_S, max_samples=AT_ONCE)[1])


def _metrics(address: str, got: dict[str, int], over: threading.Event) -> None:
    while not over.wait(SCRAPE_S):
        with suppress(OSError), urllib.request.urlopen(address, timeout=SCRAPE_S) as answer:
            answer.read()
            got["metrics"] += 1


if __name__ == "__main__":
    main(*sys.argv[1:4])
