"""Which requests are answered: names, origins, methods, sockets, passwords, and what Gradio would fetch."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import random
import socket as sockets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_server import Served, served
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from realtime_mer.app.guard import COOKIE, owner_of
from realtime_mer.app.settings import AppSettings, read_passwords
from realtime_mer.errors import ConfigError

TOKEN = "a" * 43
ODD = (
    "{",
    '{"type": "resume"}',
    '{"type": "start", "consent": true, "source": 3}',
    '{"type": "start", "consent": true, "source": "browser", "epoch": 1e300}',
)


@pytest.fixture(scope="module")
def app() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def public() -> Iterator[Served]:
    """A server for the network, behind a proxy of a name of its own, with a password."""
    settings = AppSettings(
        host="0.0.0.0", port=0, server_cameras=False, allowed_hosts=("lab.example",), passwords={"anna": "söcret:1"}
    )
    with served(settings) as running:
        yield running


def ask(app: Served, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    given = {"Host": f"127.0.0.1:{app.port}", **{key.replace("_", "-"): value for key, value in headers.items()}}
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/jobs", "/live/runs", "/gradio_api/queue/join", "/mer-static/live.js"])
def test_another_sites_page_gets_nothing_by_any_method(app: Served, method: str, path: str) -> None:
    own = f"http://127.0.0.1:{app.port}"
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": own.replace(str(app.port), "1")},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Origin": own},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Host": "evil.example"},
        {"Host": f"127.0.0.1.evil.example:{app.port}"},
        {"Host": ""},
    ):
        status, _, body = ask(app, method, path, b"{}" if method in ("POST", "PUT") else None, **headers)
        assert status == 403, (headers, status)
        assert b"jobs" not in body


def test_a_link_from_elsewhere_may_be_followed_and_a_form_may_not(app: Served) -> None:
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert ask(app, "GET", "/", **link)[0] == 200
    assert ask(app, "POST", "/jobs", b"{}", Origin="https://evil.example", **link)[0] == 403


@pytest.mark.parametrize("options", [{"origin": "https://evil.example"}, {"origin": "null"}])
def test_a_socket_is_checked_as_requests_are(app: Served, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{app.port}/live", **options):
        pass
    with (
        pytest.raises(InvalidStatus),
        connect(f"ws://127.0.0.1:{app.port}/live", additional_headers={"Sec-Fetch-Site": "cross-site"}),
    ):
        pass
    with connect(f"ws://127.0.0.1:{app.port}/live", origin=app.url) as line:
        line.send("{}")
        assert "must agree" in json.loads(line.recv(timeout=10))["text"]


def test_every_answer_has_its_headers(app: Served) -> None:
    for path in ("/", "/jobs", "/mer-static/live.js", "/nonesuch"):
        _, headers, _ = ask(app, "GET", path)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "camera=(self)" in headers["Permissions-Policy"]
        assert "microphone=()" in headers["Permissions-Policy"]
        policy = headers["Content-Security-Policy"]
        assert f"ws://127.0.0.1:{app.port} " in policy
        assert " ws: " not in policy  # no socket to anyone else
        assert "object-src 'none'" in policy


@pytest.mark.parametrize(
    "data",
    [
        [{"path": "http://169.254.169.254/latest/meta-data", "meta": {"_type": "gradio.FileData"}}],
        [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}],
        [[{"x": {"url": "https://evil.example/x.json", "path": None}}]],
    ],
)
@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/run/run", "/gradio_api/call/run"])
def test_addresses_and_paths_in_gradios_queue_are_refused(app: Served, path: str, data: Any) -> None:
    for text in (json.dumps({"data": data, "fn_index": 0}), json.dumps({"data": data}).replace("path", "\\u0070ath")):
        status, _, body = ask(app, "POST", path, text.encode(), Content_Type="application/json")
        assert status == 403
        assert b"does not open files or addresses" in body


def test_gradio_takes_neither_files_nor_floods(app: Served) -> None:
    assert ask(app, "POST", "/gradio_api/upload", b"x" * 100)[0] == 403
    assert ask(app, "POST", "/gradio_api/queue/join", b"not json")[0] == 403
    assert ask(app, "POST", "/gradio_api/queue/join", b" " * (17 << 20))[0] == 403


def test_a_name_that_a_proxy_uses_must_be_allowed(app: Served, public: Served) -> None:
    status, _, body = ask(app, "GET", "/", Host="lab.example")
    assert (status, b"--allowed-host" in body) == (403, True)
    sign_in = {"Authorization": basic("anna", "söcret:1")}
    assert ask(public, "GET", "/", Host="lab.example", **sign_in)[0] == 200
    assert ask(public, "GET", "/", Host="LAB.example.:443", **sign_in)[0] == 200
    assert ask(public, "GET", "/", Host="192.168.1.20:7860", **sign_in)[0] == 200  # an address cannot be rebound
    assert ask(public, "GET", "/", Host="evil.example", **sign_in)[0] == 403
    assert ask(app, "GET", "/", Host="192.168.1.20:7860")[0] == 403  # this one is for this machine only


def test_without_the_password_nothing_is_answered(public: Served) -> None:
    began = time.monotonic()
    for headers in ({}, {"Authorization": basic("anna", "wrong")}, {"Authorization": basic("bob", "")}, {
        "Authorization": "Basic ???"
    }):  # fmt: skip
        for method, path in (("GET", "/"), ("GET", "/jobs"), ("POST", "/jobs"), ("GET", "/mer-static/live.js")):
            status, answer, _ = ask(public, method, path, **headers)
            assert status == 401
            assert answer["WWW-Authenticate"].startswith("Basic")
    assert time.monotonic() - began > 2.0  # wrong passwords are answered slowly
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{public.port}/live"):
        pass


def test_who_has_signed_in_is_known_by_the_cookie_also_on_sockets(public: Served) -> None:
    status, headers, _ = ask(public, "GET", "/jobs", Authorization=basic("anna", "söcret:1"))
    assert status == 200
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert ask(public, "GET", "/jobs", Cookie=cookie)[0] == 200
    with connect(f"ws://127.0.0.1:{public.port}/live", additional_headers={"Cookie": cookie}) as line:
        line.send("{}")
        assert "must agree" in json.loads(line.recv(timeout=10))["text"]
    assert ask(public, "GET", "/jobs", Cookie=f"{COOKIE}={TOKEN}")[0] == 401  # a token that nobody signed in with


def test_the_cookie_is_for_this_server_alone(app: Served) -> None:
    _, headers, _ = ask(app, "GET", "/")
    attributes = headers["Set-Cookie"]
    assert owner_of(attributes.partition(";")[0])
    assert "HttpOnly" in attributes
    assert "SameSite=Strict" in attributes
    assert "Secure" not in attributes  # http on this machine
    assert "; Secure" in ask(app, "GET", "/", X_Forwarded_Proto="https")[1]["Set-Cookie"]
    assert ask(app, "GET", "/", Cookie=f"{COOKIE}={TOKEN}")[1]["Set-Cookie"] is None
    assert ask(app, "GET", "/", Cookie=f"{COOKIE}=short; x=\x01")[1]["Set-Cookie"] is not None


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("anna:x\n", 0o644, "can be read by others"),
        ("anna\n", 0o600, "NAME:PASSWORD"),
        ("", 0o600, "NAME:PASSWORD"),
        ("anna:\n", 0o600, "NAME:PASSWORD"),
    ],
)
def test_a_file_of_passwords_that_does_not_serve_gives_one_line(
    tmp_path: Path, content: str, mode: int, words: str
) -> None:
    path = tmp_path / "passwords"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        read_passwords(path)


def test_passwords_are_read_with_colons(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text("anna:a:b\n\nben: c \n")
    path.chmod(0o600)
    assert read_passwords(path) == {"anna": "a:b", "ben": " c "}
    with pytest.raises(ConfigError, match="cannot read"):
        read_passwords(tmp_path / "none")


def test_no_exception_escapes_whatever_is_sent(app: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes at random to every route and to the socket: an answer, or a closed connection, and no traceback."""
    random.seed(13)
    with caplog.at_level(logging.DEBUG):
        for _ in range(150):
            path = random.choice(["/jobs", "/jobs/x/upload?at=x", "/jobs/x/clip?start=nan", "/jobs/x/reviews/%00"])
            body = random.choice([b"\xff\xfe", b"[" * 5000, b'{"name": 1}', b'{"name": "a.mp4", "size": 1e400}', b""])
            status, _, _ = ask(app, random.choice(["POST", "PUT", "GET", "DELETE"]), path, body)
            assert 400 <= status < 500 or (path, status) == ("/jobs", 200)
        for _ in range(20):
            with connect(f"ws://127.0.0.1:{app.port}/live") as line:
                line.send(random.choice([b"\x00" * 9, *ODD]))
        with sockets.create_connection(("127.0.0.1", app.port)) as raw:
            raw.sendall(b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n{")
    assert "Traceback" not in caplog.text
