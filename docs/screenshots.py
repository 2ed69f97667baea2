"""Makes the pictures in docs/images: the app in a headless Chromium, showing the synthetic clip only.

python docs/screenshots.py [--out docs/images]

The face is the generator's public-domain portrait; nobody else is ever shown. Needs the [dev] extra and Chromium.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the tests have the clip and the server

from app_server import draw_clip, served  # noqa: E402

from realtime_mer.bench.page import CHROMIUM, FLAGS  # noqa: E402

WIDTHS = {"wide": 1280, "narrow": 800}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, served() as app, sync_playwright() as playwright:
        camera, video = draw_clip(Path(folder))
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"]
        )
        for scheme, width in (("light", "wide"), ("dark", "narrow")):
            context = browser.new_context(
                viewport={"width": WIDTHS[width], "height": 900}, color_scheme=scheme, reduced_motion="reduce"
            )
            page = context.new_page()
            page.goto(app.url)
            name = f"{scheme}-{width}"
            live(page, out / f"app-live-{name}.jpg")
            recorded(page, video, out / f"app-recorded-{name}.jpg")
            context.close()
        page = browser.new_page(viewport={"width": WIDTHS["wide"], "height": 900}, color_scheme="light")
        page.goto(app.url)
        page.get_by_role("tab", name="About").click()
        shoot(page, out / "app-about.jpg")
        benchmark(page, out / "app-benchmark.jpg")
        browser.close()


def live(page: Any, file: Path) -> None:
    page.click(".mer-start")
    if file.name.endswith("light-wide.jpg"):
        page.screenshot(path=file.with_name("app-consent.jpg"), type="jpeg", quality=82)
    page.check(".mer-agree")
    page.click(".mer-consent [value=yes]")
    page.wait_for_function("document.querySelector('mer-live').cards.count('confirmed') > 1", timeout=90_000)
    page.click(".mer-record")
    page.click(".mer-ask [value=yes]")
    page.wait_for_selector(".mer-recording")
    page.fill(".mer-note", "stimulus 3")
    page.press(".mer-note", "Enter")
    time.sleep(0.3)
    shoot(page, file)
    page.click(".mer-stop")
    page.wait_for_selector(".mer-start:enabled", timeout=60_000)
    page.evaluate("document.querySelector('mer-live').unsaved = 0")


def recorded(page: Any, video: Path, file: Path) -> None:
    page.get_by_role("tab", name="Recorded").click()
    page.set_input_files(".mer-files", str(video))
    page.click(".mer-analyze")
    page.wait_for_function("document.querySelector('.mer-name')?.textContent === 'clip.mp4'", timeout=120_000)
    page.wait_for_selector(".mer-plot .main-svg")
    page.fill(".mer-who", "anna")
    page.press(".mer-who", "Enter")
    page.wait_for_selector(".mer-verdict", state="visible")
    page.keyboard.press("a")
    page.fill(".mer-magnify", "4")
    bench = "document.querySelector('mer-recorded').bench"
    page.wait_for_function(f"{bench}.video.src.includes('magnify=4') && {bench}.video.readyState >= 2", timeout=60_000)
    page.evaluate(f"{bench}.video.pause(), {bench}.seek(2.65)")
    time.sleep(2)
    shoot(page, file)


def benchmark(page: Any, file: Path) -> None:
    page.get_by_role("tab", name="Benchmark").click()
    for label, value in (("Frames per second", "100"), ("Seconds", "10")):
        field = page.get_by_label(f"number input for {label}")
        field.fill(value)
        field.press("Enter")
    page.click("#mer-bench")
    page.wait_for_selector("#mer-bench-table table", timeout=300_000)
    time.sleep(1)
    shoot(page, file)


def shoot(page: Any, file: Path) -> None:
    page.screenshot(path=file, type="jpeg", quality=82, full_page=True)
    print(file)


if __name__ == "__main__":
    main()
