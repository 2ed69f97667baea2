"""Measures memory and rate of a live page left open.

The app runs in its own process and is shown in a real headless Chromium. The camera is Chromium's fake one, the stream
is MJPEG over the loopback; both show the synthetic demo portrait. Everything shares one machine, so the rate is that of
page, browser and sender together.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from realtime_mer.bench.results import Result, growth, machine, resident, series
from realtime_mer.bench.sender import MjpegSender
from realtime_mer.errors import MerError
from realtime_mer.synth import demo_script, portrait, render, write_video

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM: Final = Path("/usr/bin/chromium")
# No sandbox, no GPU, no network; the camera is a file and needs no permission.
FLAGS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)  # fmt: skip
PRECISE_MEMORY: Final = "--enable-precise-memory-info"
LAP: Final = 10.0  # s of the portrait, repeated
EVERY: Final = 10.0  # s between readings
WARM: Final = 10.0  # s before the first reading
STOPPING: Final = 60.0  # s for the app to end
STATE: Final = """(() => { const m = document.querySelector('mer-live'); return {
    frames: m.state.frames, lost: m.state.lost, dropped: m.state.dropped + m.dropped,
    heap: performance.memory.usedJSHeapSize / 1e6 }; })()"""


def run(fps: float, minutes: float, stream: bool) -> Result:
    """Opens and starts the page, and reads its state every EVERY seconds.

    stream: captured by the server, not by the browser. Raises MerError without Playwright or Chromium.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise MerError("this benchmark needs Playwright: pip install 'realtime-mer[dev]'") from None
    if not CHROMIUM.exists():
        raise MerError(f"no Chromium at {CHROMIUM}: install it first (`make system` on Debian and Ubuntu)")
    host = machine()
    with ExitStack() as stack:
        frames = render(replace(demo_script(fps), duration=LAP), *portrait())
        address, flags = "", [*FLAGS, PRECISE_MEMORY]
        if stream:
            pictures = [cv2.imencode(".jpg", frame.image)[1].tobytes() for frame in frames]
            address = stack.enter_context(MjpegSender(pictures, fps)).uri
        else:
            camera = Path(stack.enter_context(tempfile.TemporaryDirectory()), "camera.y4m")
            write_video(frames, camera, "y4m", rate=fps)
            flags.append(f"--use-file-for-fake-video-capture={camera}")
        server, url = stack.enter_context(_app())
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        stack.callback(browser.close)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        _start(page, url, address)
        looks = list(_looks(page, server, minutes))
    return _result(looks, {"fps": fps, "minutes": minutes, "path": "stream" if stream else "browser's camera"}, host)


def _start(page: Page, url: str, address: str) -> None:
    page.goto(url)
    page.wait_for_selector("mer-live .mer-start")
    if address:
        page.check("[value=server]")
        page.fill(".mer-address", address)
    page.click(".mer-start")
    page.check(".mer-agree")
    page.click("dialog [value=yes]")


def _looks(page: Page, server: int, minutes: float) -> Iterator[dict[str, float]]:
    time.sleep(WARM)
    began = time.monotonic()
    while (now := time.monotonic() - began) < minutes * 60:
        look = {"time": now, "memory": resident(server), **page.evaluate(STATE)}
        yield look
        print(f"{now:.0f} s: {look['frames']:.0f} frames, server {look['memory']:.0f} MB", file=sys.stderr)
        time.sleep(EVERY)


def _result(looks: list[dict[str, float]], settings: dict[str, Any], host: dict[str, Any]) -> Result:
    def column(name: str) -> list[float]:
        return [look[name] for look in looks]

    rates = np.diff(column("frames")) / np.diff(column("time"))
    half = len(looks) // 2
    grown = {
        f"{name}, MB per hour in the second half": growth(column("time")[half:], column(key)[half:])
        for name, key in (("server", "memory"), ("page", "heap"))
    }
    facts = {"lost": looks[-1]["lost"] - looks[0]["lost"], "dropped": looks[-1]["dropped"] - looks[0]["dropped"]}
    return Result(
        "page",
        settings,
        {**facts, **grown},
        (
            series("rate", "frames/s", f"frames measured, mean over {EVERY:g} s", rates),
            series("server", "MB", "resident memory of the app's process", column("memory")),
            series("page", "MB", "JavaScript heap of the page", column("heap")),
        ),
        host,
    )


@contextmanager
def _app() -> Iterator[tuple[int, str]]:
    """The app on a free port: the id of its process and its address."""
    command = [sys.executable, "-m", "realtime_mer.cli", "app", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = next((word for line in process.stdout for word in line.split() if word.startswith("http://")), None)
            if url is None:
                raise MerError("the app did not start: run `realtime-mer app` to see why")
            yield process.pid, url
        finally:
            process.terminate()
            process.wait(STOPPING)
