"""What the server grants and refuses, over real sockets but without a browser: paths, hosts, origins, consent."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from app_server import Served, served, until, working_threads
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from realtime_mer.app.browser import HEAD, jpeg_size, read
from realtime_mer.app.server import create_app
from realtime_mer.app.settings import AppSettings, address, viewer_config
from realtime_mer.bench.sender import MjpegSender
from realtime_mer.errors import ConfigError, ModelError, OutputError, SourceError
from realtime_mer.pipeline import Pipeline

LOCAL = AppSettings()
START = {"type": "start", "source": "browser", "consent": True, "model": "none"}


@pytest.fixture(scope="module")
def app() -> Iterator[Served]:
    with served(away_s=0.5) as running:
        yield running


def get(app: Served, path: str, host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{app.port}"})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def socket(app: Served, **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{app.port}/live", max_size=None, open_timeout=20, **options)


def hear(line: Any, kind: str, seconds: float = 40.0) -> dict[str, Any]:
    """The next message of a kind; an error ends the wait."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = line.recv(timeout=seconds)
        if isinstance(data, str):
            message = json.loads(data)
            if message["type"] in (kind, "error"):
                return message
    raise AssertionError(f"no {kind} within {seconds} s")


# --- what may be asked for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0", "12", " 1 ", "rtsp://cam/1", "http://10.0.0.1:8080/video", "HTTPS://cam/x"])
def test_cameras_and_streams_may_be_opened_from_this_machine(text: str) -> None:
    assert address(text, LOCAL) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["/etc/passwd", "file:///etc/passwd", "../x.mp4", "clip.mp4", "", "-1", "1234", "/dev/video0", "ftp://x/y",
     "http://", "rtsp:///etc/passwd", "http:///etc/passwd", "https://[", "²", None, {"a": 1}, "concat:/etc/passwd"],
)  # fmt: skip
def test_nothing_else_may_be_opened(text: object) -> None:
    with pytest.raises(SourceError, match="camera number"):
        address(text, LOCAL)


@pytest.mark.parametrize(
    ("settings", "lends"),
    [
        (AppSettings(host="localhost"), True),
        (AppSettings(host="::1"), True),
        (AppSettings(host="0.0.0.0"), False),
        (AppSettings(host="192.168.1.5"), False),
        (AppSettings(host="example.org"), False),
        (AppSettings(share=True), False),
        (AppSettings(host="0.0.0.0", server_cameras=True), True),
        (AppSettings(server_cameras=False), False),
    ],
)
def test_cameras_of_the_server_are_lent_to_who_sits_at_it_or_when_allowed(settings: AppSettings, lends: bool) -> None:
    assert settings.may_capture is lends
    if not lends:
        with pytest.raises(SourceError, match="allows uploads and browser cameras only"):
            address("0", settings)


def test_a_viewer_chooses_models_by_name_and_thresholds_within_bounds() -> None:
    config = viewer_config({"enter": 9, "model": "none"}, LOCAL)
    assert (config.spot.onset_noise, config.classify.model) == (9.0, "none")
    for model in ("/etc/passwd", "../default", "nosuch", ["default"]):
        with pytest.raises(ModelError, match="unknown model"):
            viewer_config({"model": model}, LOCAL)
    for enter in ("much", 1, 1e9, float("nan"), [6]):
        with pytest.raises(ConfigError, match="sensitivity"):
            viewer_config({"enter": enter}, LOCAL)


# --- files and hosts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        f"/gradio_api/file={Path(__file__).resolve().parents[1] / 'pyproject.toml'}",
        "/gradio_api/file=pyproject.toml",
        "/gradio_api/file=http://127.0.0.1:1/x",
        "/gradio_api/proxy=http://127.0.0.1:1/x",
        "/file=/etc/passwd",
        "/gradio_api/upload",
        "/jobs/x/files/events.jsonl",
        "/jobs/../../etc/passwd",
        "/jobs/x/files/..%2f..%2fetc%2fpasswd",
        "/live/runs/x/events.jsonl",
        "/mer-static/../settings.py",
        "/mer-static/%2e%2e/settings.py",
    ],
)
def test_no_file_of_the_server_can_be_read(app: Served, path: str) -> None:
    status, body = get(app, path)
    assert status in (403, 404, 405), (path, status)
    assert b"root:" not in body
    assert b"realtime" not in body


def test_other_names_for_this_machine_are_refused(app: Served) -> None:
    assert get(app, "/")[0] == 200
    assert get(app, "/", f"localhost:{app.port}")[0] == 200
    assert get(app, "/", f"evil.example:{app.port}")[0] == 403


def test_the_page_asks_nobody_else(app: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    page = answer.read().decode()
    connection.close()
    assert "fonts.googleapis" not in page
    assert '"analytics_enabled":false' in page


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(OutputError, match=r"gradio: pip install 'realtime-mer\[app\]'"):
        create_app(LOCAL)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_command_ends_on_a_signal_and_leaves_no_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "realtime_mer.cli", "app", "--port", "0", "--model", "none"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        assert list(tmp_path.glob("realtime-mer-*"))
        time.sleep(1)  # it listens before it serves
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not list(tmp_path.glob("realtime-mer-*"))


def test_a_taken_port_is_told_in_one_line(app: Served) -> None:
    from realtime_mer.app.server import listen

    with pytest.raises(OutputError, match="--port"):
        listen("127.0.0.1", app.port)


# --- the live socket ------------------------------------------------------------------------------------------------


def test_scripts_of_other_sites_get_no_connection(app: Served) -> None:
    with pytest.raises(InvalidStatus), socket(app, origin="https://evil.example"):
        pass
    with socket(app, origin=app.url) as line:
        line.send("{}")
        assert "must agree" in hear(line, "error")["text"]


@pytest.mark.parametrize(
    "message",
    ["", "no json", "[]", "7", "{}", json.dumps({**START, "consent": "yes"}), json.dumps({**START, "consent": False})],
)
def test_nothing_starts_without_consent_or_sense(app: Served, message: str) -> None:
    with socket(app) as line:
        line.send(message)
        assert hear(line, "error")["type"] == "error"
    until(lambda: not app.live.viewers, 10)


def test_rubbish_in_place_of_pictures_is_counted_and_does_no_harm(app: Served) -> None:
    with socket(app) as line:
        line.send(json.dumps(START))
        good = cv2.imencode(".jpg", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()
        for packet in (b"", b"x", HEAD.pack(float("nan")) + good, HEAD.pack(0.5) + b"\xff\xd8rubbish", good[:40]):
            line.send(packet)
        for number in range(12):
            line.send(HEAD.pack(1 + number / 30) + good)
            time.sleep(1 / 30)
        assert hear(line, "started")["size"] == [160, 120]
        state = hear(line, "state")
        assert state["faces"] == []
    until(lambda: not app.live.viewers and not working_threads(), 15)


def test_a_picture_too_large_is_not_decoded() -> None:
    head = b"\xff\xd8\xff\xc0\x00\x11\x08" + (60000).to_bytes(2, "big") * 2 + b"\x03" + bytes(64)
    assert jpeg_size(head) == (60000, 60000)
    assert read(HEAD.pack(1.0) + head) is None
    assert jpeg_size(b"\x89PNG" + bytes(50)) == (0, 0)


def test_a_camera_that_the_server_has_not_gives_one_line(app: Served) -> None:
    with socket(app) as line:
        line.send(json.dumps({**START, "source": "server", "address": "97"}))
        assert "camera 97" in hear(line, "error")["text"]
    until(lambda: not app.live.viewers and not working_threads(), 15)


@pytest.fixture
def stream() -> Iterator[str]:
    """An MJPEG stream of gray pictures at about 100 frames/s."""
    picture = cv2.imencode(".jpg", np.full((480, 640, 3), 90, np.uint8))[1].tobytes()
    with MjpegSender([picture], 100) as sender:
        yield sender.uri


def test_a_stream_is_captured_by_the_server_and_shown_at_a_lower_rate(app: Served, stream: str) -> None:
    with socket(app) as line:
        line.send(json.dumps({**START, "source": "server", "address": stream, "private": True}))
        assert hear(line, "started")["kind"] == "stream"
        pictures, state, began = [], {}, time.monotonic()
        while time.monotonic() - began < 2.0:
            data = line.recv(timeout=20)
            if isinstance(data, bytes):
                pictures.append(data)
            elif json.loads(data)["type"] == "state":
                state = json.loads(data)
        assert state["frames"] > 3 * len(pictures) > 0  # every frame is measured, few are shown
        assert len(pictures) <= 2.0 * 16
        assert cv2.imdecode(np.frombuffer(pictures[-1], np.uint8), cv2.IMREAD_COLOR).shape == (480, 640, 3)
        line.send(json.dumps({"type": "recalibrate", "enter": 9}))
        line.send(json.dumps({"type": "stop"}))
        assert hear(line, "stopped")["type"] == "stopped"
    until(lambda: not app.live.viewers and not working_threads(), 15)


def test_a_viewer_who_vanishes_leaves_no_thread(app: Served, stream: str) -> None:
    with socket(app) as line:
        line.send(json.dumps({**START, "source": "server", "address": stream}))
        hear(line, "state")
        assert working_threads()
        line.socket.shutdown(2)  # without a word, as when the computer is switched off
        until(lambda: not app.live.viewers and not working_threads(), 20)


def test_a_server_that_is_too_slow_drops_evenly_and_says_how_late_it_is(
    app: Served, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Pipeline.push

    def slow(self: Pipeline, frame: Any) -> Any:
        time.sleep(0.06)
        return push(self, frame)

    monkeypatch.setattr(Pipeline, "push", slow)
    with socket(app) as line:
        line.send(json.dumps({**START, "source": "server", "address": stream}))
        began, state, times = time.monotonic(), {}, []
        while time.monotonic() - began < 6.0:
            data = line.recv(timeout=20)
            if isinstance(data, str) and json.loads(data)["type"] == "state":
                state = json.loads(data)
                times.append(state["time"])
        assert state["dropped"] > 100
        assert state["delay"][1] < 450  # ms: what waits is 150 ms old at most, and the frame itself takes 60
        assert (state["delay"][0] > 150) == any(note.startswith("not real time") for note in state["notes"])
        steps = np.diff([t for t in times[len(times) // 2 :] if t])
        steps = steps[steps > 0]
        assert np.percentile(steps, 90) < 3 * np.median(steps)


def test_a_connection_that_says_nothing_is_closed(app: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_mer.app.live.FIRST_S", 0.3)
    with socket(app) as line, pytest.raises(ConnectionClosed):
        line.recv(timeout=10)


def test_an_upload_that_falls_silent_is_cut_off_and_can_go_on(app: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_mer.app.routes.SILENT_S", 0.3)
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    connection.request("POST", "/jobs", json.dumps({"name": "a.mp4", "size": 10}))
    answer = connection.getresponse()
    job, cookie = json.loads(answer.read())["id"], answer.headers["Set-Cookie"].partition(";")[0]
    connection.putrequest("PUT", f"/jobs/{job}/upload?at=0")
    connection.putheader("Cookie", cookie)
    connection.putheader("Content-Length", "10")
    connection.endheaders(b"abc")  # and no more
    assert json.loads(connection.getresponse().read()) == {"have": 3}
    connection.close()


def test_no_more_viewers_than_the_server_can_serve(app: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_mer.app.live.VIEWERS", 0)
    with socket(app) as line:
        line.send(json.dumps(START))
        assert "try again later" in hear(line, "error")["text"]
