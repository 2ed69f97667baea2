"""For the tests of the app in a real Chromium: opens pages, and does what people do on them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from app_server import Served

from realtime_mer.bench.page import CHROMIUM, FLAGS

EVENTS = "[...document.querySelector('mer-live').cards.events.values()]"
MARKS = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),  # Gradio asks pandas for both
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
    # in continuous integration a missing browser is an error
    pytest.mark.skipif(
        not CHROMIUM.exists() and not os.environ.get("CI"), reason=f"there is no Chromium at {CHROMIUM}"
    ),
]


@contextmanager
def started_chromium(camera: Path) -> Iterator[Any]:
    """Chromium, whose fake camera shows ``camera``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
        )
        yield browser
        browser.close()


def opened(context: Any, app: Served) -> Any:
    """A page that must ask nobody but the server; ``trouble`` collects what it does wrong."""
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.trouble = []
    page.expected = ()  # parts of messages that a test provokes
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("console", lambda line: page.trouble.append(line.text) if line.type == "error" else None)
    own = (app.url, app.url.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda asked: None if asked.url.startswith(own) else page.trouble.append(asked.url))
    page.goto(app.url)
    page.wait_for_selector("mer-live .mer-start")
    return page


def check_trouble(page: Any) -> None:
    found = [line for line in page.trouble if not any(part in line for part in page.expected)]
    assert not found, found


def start_camera(page: Any) -> None:
    page.click(".mer-start")
    page.check(".mer-agree")
    page.click(".mer-consent [value=yes]")


def micro(page: Any) -> list[dict[str, Any]]:
    return page.evaluate(f"{EVENTS}.filter((e) => e.status === 'confirmed' && e.kind === 'micro')")


def wait_for_micro(page: Any, count: int) -> list[dict[str, Any]]:
    page.wait_for_function(
        f"{EVENTS}.filter((e) => e.status === 'confirmed').length >= {count}", timeout=60_000, polling=200
    )
    return micro(page)


def measuring(page: Any) -> None:
    page.wait_for_function("document.querySelector('mer-live')?.state?.faces.length > 0", timeout=40_000)


def says(page: Any, pattern: str, seconds: float = 30.0) -> None:
    """Waits for the live page's banner to say what matches ``pattern``."""
    check = f"RegExp({json.dumps(pattern)}).test(document.querySelector('.mer-banner')?.textContent ?? '')"
    page.wait_for_function(check, timeout=1000 * seconds)


def frames(page: Any) -> int:
    return page.evaluate("document.querySelector('mer-live').state.frames")


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def analyze(page: Any, *videos: Path) -> None:
    tab(page, "Recorded")
    page.set_input_files(".mer-files", [str(video) for video in videos])
    page.click(".mer-analyze")


def written(root: Path) -> list[Path]:
    """The files below ``root`` that hold anything; some may be removed while this looks."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                if (path := Path(folder) / name).stat().st_size and name != ".lock":
                    found.append(path)
    return found
