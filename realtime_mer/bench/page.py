"""A live page left open: does it hold its memory and its rate?

    python -m realtime_mer.bench.page --fps 60 --minutes 10 --out page.json            # the browser's camera
    python -m realtime_mer.bench.page --stream --fps 200 --minutes 10 --out page.json  # a stream

The app runs in a process of its own and a real headless Chromium shows it. The camera is Chromium's fake one, the
stream is MJPEG over the loopback; both show the synthetic demo portrait. All of it shares one machine, so the rate is
that of the page, the browser and the sender together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from realtime_mer.bench.results import Result, machine, series
from realtime_mer.console import finish
from realtime_mer.errors import MerError
from realtime_mer.synth import demo_script, portrait, render, write_video

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
                "--enable-precise-memory-info")  # fmt: skip
LAP: Final = 10.0  # s of the portrait that are shown again and again
EVERY: Final = 10.0  # s between two looks at the page
WARM: Final = 10.0  # s before the first look
STARTING: Final = 60.0  # s that the app may take to start
STATE: Final = """(() => { const m = document.querySelector('mer-live'); return {
    frames: m.state.frames, lost: m.state.lost, dropped: m.state.dropped + m.dropped,
    heap: performance.memory.usedJSHeapSize / 1e6 }; })()"""


def run(fps: float, minutes: float, stream: bool) -> Result:
    """Opens the page, starts it, and looks at it every EVERY seconds. Raises MerError when there is no Chromium."""
    if not CHROMIUM.exists():
        raise MerError(f"no Chromium at {CHROMIUM}: install it first (`make system` on Debian and Ubuntu)")
    host = machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        camera = folder / ("camera.mjpeg" if stream else "camera.y4m")
        frames = render(replace(demo_script(fps), duration=LAP), *portrait())
        write_video(frames, camera, camera.suffix[1:], 3, fps)
        address = stack.enter_context(_sender(camera, fps)) if stream else ""
        server, url = stack.enter_context(_app())
        playwright = stack.enter_context(sync_playwright())
        fake = [] if stream else [f"--use-file-for-fake-video-capture={camera}"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS, *fake])
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


def _looks(page: Page, server: psutil.Process, minutes: float) -> Iterator[dict[str, float]]:
    time.sleep(WARM)
    began = time.monotonic()
    while (now := time.monotonic() - began) < minutes * 60:
        look = {"time": now, "memory": server.memory_info().rss / 1e6, **page.evaluate(STATE)}
        yield look
        print(f"{now:.0f} s: {look['frames']:.0f} frames, server {look['memory']:.0f} MB", file=sys.stderr)
        time.sleep(EVERY)


def _result(looks: list[dict[str, float]], settings: dict[str, Any], host: dict[str, Any]) -> Result:
    def column(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([look[name] for look in looks], np.float64)

    rates = np.diff(column("frames")) / np.diff(column("time"))
    hours = column("time") / 3600
    half = len(looks) // 2
    growth = {
        f"{name}, MB per hour in the second half": float(np.polyfit(hours[half:], column(key)[half:], 1)[0])
        for name, key in (("server", "memory"), ("page", "heap"))
    }
    facts = {"lost": looks[-1]["lost"] - looks[0]["lost"], "dropped": looks[-1]["dropped"] - looks[0]["dropped"]}
    return Result(
        "page",
        settings,
        {**facts, **growth},
        (
            series("rate", "frames/s", f"frames measured, mean over {EVERY:g} s", rates),
            series("server", "MB", "resident memory of the app's process", column("memory")),
            series("page", "MB", "JavaScript heap of the page", column("heap")),
        ),
        host,
    )


@contextmanager
def _app() -> Iterator[tuple[psutil.Process, str]]:
    """The app on a free port: its process and its address."""
    command = [sys.executable, "-m", "realtime_mer.cli", "app", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = next((word for line in process.stdout for word in line.split() if word.startswith("http://")), None)
        if url is None:
            raise MerError("the app did not start: run `realtime-mer app` to see why")
        yield psutil.Process(process.pid), url
    finally:
        process.terminate()
        process.wait(STARTING)


@contextmanager
def _sender(video: Path, fps: float) -> Iterator[str]:
    """The pictures of ``video`` as MJPEG on the loopback, ``fps`` a second: the address."""
    capture = cv2.VideoCapture(str(video))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(cv2.imencode(".jpg", read[1])[1].tobytes())
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=cut")
            self.end_headers()
            began, number = time.monotonic(), 0
            with suppress(OSError):
                while not stop.wait(max(began + number / fps - time.monotonic(), 0)):
                    body = pictures[number % len(pictures)]
                    head = f"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                    self.wfile.write(head.encode() + body + b"\r\n")
                    number += 1

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/stream"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


def main() -> int:
    """Runs and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m realtime_mer.bench.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--stream", action="store_true", help="captured by the server, not by the browser")
    parser.add_argument("--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    result = run(arguments.fps, arguments.minutes, arguments.stream)
    result.deliver(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(finish(main, "python -m realtime_mer.bench.page", "interrupted"))
