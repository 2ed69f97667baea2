"""Behind a proxy with TLS, as docs/app.md lays it out: Caddy, at a name of its own, at the root and below a path."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from app_pages import MARKS, analyze, check_trouble, start_camera, tab, wait_for_micro
from app_server import served, until

from realtime_mer.app.settings import AppSettings

CADDY = shutil.which("caddy")
pytestmark = [
    *MARKS,
    pytest.mark.skipif(CADDY is None and not os.environ.get("CI"), reason="Caddy is not installed"),
]
DOCS = Path(__file__).resolve().parents[1] / "docs" / "app.md"
NAME = "lab.localhost"  # browsers know that this is the same machine
GLOBAL = "{\n admin off\n auto_https disable_redirects\n local_certs\n skip_install_trust\n}\n"


def layouts() -> list[str]:
    """The Caddyfiles of the documentation."""
    return re.findall(r"^    (lab\.example\.org \{\n(?:    .*\n)+?)    \}$", DOCS.read_text(), re.MULTILINE)


@contextmanager
def proxied(layout: str, port: int, folder: Path) -> Iterator[str]:
    """Caddy in front of 127.0.0.1:port; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    text = layout.replace("lab.example.org", f"https://{NAME}:{own}").replace("7860", str(port)) + "}\n"
    (folder / "Caddyfile").write_text(GLOBAL + text)
    environment = {**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    command = [str(CADDY), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:

            def answers() -> bool:
                with socket.socket() as line:
                    return line.connect_ex(("127.0.0.1", own)) == 0

            until(answers, 20)
            yield f"https://{NAME}:{own}"
        finally:
            process.kill()  # asked nicely, it waits for the browser's open connections


def test_the_documentation_has_both_layouts() -> None:
    assert len(layouts()) == 2
    assert "handle_path /mer/*" in layouts()[1]


@pytest.mark.parametrize("number", [0, 1], ids=["at the root", "below a path"])
def test_all_works_behind_caddy(number: int, chromium: Any, shown_clip: tuple[Path, Path], tmp_path: Path) -> None:
    root = ["", "/mer"][number]
    settings = AppSettings(port=0, allowed_hosts=(NAME,), root_path=root)
    with served(settings) as app, proxied(layouts()[number], app.port, tmp_path) as address:
        context = chromium.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.trouble, page.expected = [], ()
        page.on("pageerror", lambda error: page.trouble.append(str(error)))
        page.on("console", lambda line: page.trouble.append(line.text) if line.type == "error" else None)
        page.on("requestfailed", lambda asked: page.trouble.append(asked.url) if "clip?" not in asked.url else None)
        page.goto(f"{address}{root}/")
        page.wait_for_selector("mer-live .mer-start")
        cookie = next(c for c in context.cookies() if c["name"] == "mer-owner")
        assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, root or "/")
        start_camera(page)
        wait_for_micro(page, 1)
        page.click(".mer-stop")
        page.evaluate("document.querySelector('mer-live').unsaved = 0")
        analyze(page, shown_clip[1])
        page.wait_for_selector(".mer-detail .mer-card", timeout=90_000)
        page.wait_for_function("document.querySelector('.mer-player').duration > 5")
        with page.expect_download() as download:
            page.click(".mer-export")
        assert Path(download.value.path()).read_text().startswith("<?xml")
        tab(page, "About")
        page.wait_for_selector(".mer-about h2", timeout=10_000)
        assert asked(address, f"{root}/jobs")[0] == 200
        assert asked(address, f"{root}/jobs", Origin="https://evil.example")[0] == 403
        context.close()
        check_trouble(page)


def asked(address: str, path: str, **headers: str) -> tuple[int, str]:
    """The answer to a request that comes from no browser."""
    port = int(address.rpartition(":")[2])
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        anyone.wrap_socket(plain, server_hostname=NAME) as line,
    ):
        lines = [f"GET {path} HTTP/1.1", f"Host: {NAME}:{port}", "Connection: close"]
        line.sendall("\r\n".join([*lines, *(f"{k}: {v}" for k, v in headers.items()), "", ""]).encode())
        answer = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    return int(answer.split()[1]), answer


def test_without_its_name_the_server_says_what_to_do(tmp_path: Path) -> None:
    with served(AppSettings(port=0)) as app, proxied(layouts()[0], app.port, tmp_path) as address:
        status, text = asked(address, "/")
        assert status == 403
        assert "--allowed-host" in text
