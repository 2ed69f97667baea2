"""Runs of the app are sent to its targets, and a page of another program in a real browser listens to them."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from app_pages import MARKS, check_trouble, opened, start_camera, wait_for_micro
from app_server import served
from target_peers import free_port, until

from realtime_mer.app.settings import AppSettings
from realtime_mer.targets import open_target

pytestmark = MARKS
DOCS = Path(__file__).resolve().parents[1] / "docs" / "live-output.md"


def example(port: int) -> str:
    """The page of docs/live-output.md, which keeps what it hears."""
    text = DOCS.read_text(encoding="utf-8").split("```html\n")[1].split("```")[0]
    return text.replace("8765", str(port)).replace("</script>", "window.heard = [];\n" + KEEP + "</script>")


KEEP = "socket.addEventListener('message', ({ data }) => window.heard.push(JSON.parse(data)));\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    handler = partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_page_of_another_program_hears_of_events_while_they_happen(chromium: Any, site: tuple[Path, str]) -> None:
    folder, address = site
    port = free_port()
    (folder / "index.html").write_text(example(port), encoding="utf-8")
    with open_target(f"ws://127.0.0.1:{port}") as target, served(AppSettings(port=0, targets=(target,))) as app:
        context = chromium.new_context()
        listener = context.new_page()
        listener.goto(address)
        until(lambda: target.state.peers == 1)
        page = opened(context, app)
        page.click(".mer-start")
        page.wait_for_selector(".mer-consent[open]")
        assert f"The events are also sent to ws://127.0.0.1:{port}." in page.inner_text(".mer-consent")
        page.click(".mer-consent [value=no]")
        start_camera(page)
        shown = wait_for_micro(page, 1)[0]
        heard = listener.evaluate("window.heard")
        ends = [m for m in heard if m.get("report") == "end" and m["status"] == "confirmed"]
        assert heard[0]["type"] == "header"
        assert ends[0]["apex"] == pytest.approx(shown["apex"], abs=1e-6)
        assert "micro" in listener.inner_text("#events")
        page.click(".mer-stop")
        listener.wait_for_function("window.heard.at(-1).type === 'end'", timeout=20_000)
        context.close()
        check_trouble(page)
