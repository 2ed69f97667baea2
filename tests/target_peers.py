"""The peers of the targets' tests on loopback: a broker, a server for webhooks, recorders. Not a test."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

WAIT_S = 20.0


def needed(what: str) -> str:
    """The path of a program without which the test cannot run: skipped on a machine that lacks it, failed in CI."""
    path = shutil.which(what, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"{what} is missing (`make system` installs it)")
    return str(path)


def until(true: Callable[[], Any], seconds: float = WAIT_S) -> None:
    """Waits for it. Fails when it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def broker(folder: Path, port: int, more: str = "allow_anonymous true\n") -> Iterator[subprocess.Popen[bytes]]:
    """Mosquitto at the port; killed at the end, without a word to its clients."""
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\n{more}")
    command = [needed("mosquitto"), "-c", str(folder / "mosquitto.conf")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: answers(port))
            yield process
        finally:
            process.kill()


def answers(port: int) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


class Listener:
    """An MQTT client that keeps what it hears under a topic."""

    def __init__(self, port: int, topic: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard: list[tuple[str, str, bool]] = []  # topic, text, retained
        self._client = Client(CallbackAPIVersion.VERSION2)
        ready = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topic}/#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda _c, _d, m: self.heard.append((m.topic, m.payload.decode(), m.retain))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(WAIT_S)

    def messages(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(text) for topic, text, _ in self.heard if topic.endswith(f"/{kind}")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HookServer(ThreadingHTTPServer):
    """Takes POSTs; answers with the next of ``answers``, then with 204. delay: s before it answers."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.taken: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.delay = 0.0
        super().__init__(("127.0.0.1", port), _Hook)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/events"


class _Hook(BaseHTTPRequestHandler):
    server: HookServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay)
        code = self.server.answers.pop(0) if self.server.answers else 204
        if code < 300:
            self.server.taken.append(json.loads(body))
            self.server.headers.append(dict(self.headers))
        self.send_response(code)
        self.send_header("Content-Length", "0")
        if code in (301, 302, 307):
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def hook(port: int = 0) -> Iterator[HookServer]:
    with HookServer(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
