"""The page in a real Chromium: its fake camera shows the synthetic clip, with pulses at known times."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from app_server import APEXES, LAP, Served, draw_clip, served, until, working_threads

from realtime_mer.bench.page import CHROMIUM, FLAGS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),  # Gradio asks pandas for both
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed at /usr/bin/chromium"),
]
EVENTS = "[...document.querySelector('mer-live').cards.events.values()]"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def app() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def chromium(clip: tuple[Path, Path]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*FLAGS, f"--use-file-for-fake-video-capture={clip[0]}"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, app: Served) -> Iterator[Any]:
    """A page of a viewer of its own. It must ask nobody but the server, and log no error."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = opened(context, app)
    yield page
    context.close()
    assert not page.trouble


def opened(context: Any, app: Served) -> Any:
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.trouble = []
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("console", lambda line: page.trouble.append(line.text) if line.type == "error" else None)
    own = (app.url, app.url.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda asked: None if asked.url.startswith(own) else page.trouble.append(asked.url))
    page.goto(app.url)
    page.wait_for_selector("mer-live .mer-start")
    return page


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


def written(root: Path) -> list[Path]:
    """The files below ``root`` that hold anything; some may be removed while this looks."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                if (path := Path(folder) / name).stat().st_size:
                    found.append(path)
    return found


def analyse(page: Any, *videos: Path) -> None:
    page.get_by_role("tab", name="Recorded").click()
    page.set_input_files("#mer-upload input[type=file]", [str(video) for video in videos])
    page.wait_for_selector("#mer-analyse:enabled")
    page.click("#mer-analyse")


def test_no_camera_starts_without_consent(page: Any, app: Served) -> None:
    page.click(".mer-start")
    assert page.is_visible(".mer-consent")
    assert page.is_disabled(".mer-consent [value=yes]")
    page.click(".mer-consent [value=no]")
    assert not app.live.viewers
    assert page.evaluate("document.querySelector('mer-live').camera === undefined")


def test_the_live_page_reports_the_pulses_that_the_camera_shows(page: Any, app: Served) -> None:
    start_camera(page)
    found = wait_for_micro(page, 2)
    first, second = found[0], found[1]
    # Where the clip was when the page started is not known, but which pulse each event is, its regions tell.
    phases = [APEXES["left lip corner" in {c["region"] for c in e["cues"]}] for e in (first, second)]
    for event, phase in zip((first, second), phases, strict=True):
        moved = {c["region"] for c in event["cues"]}
        assert moved & ({"left inner brow", "right inner brow"} if phase == APEXES[0] else {"left lip corner"}), moved
    apart = (phases[1] - phases[0]) % LAP or LAP
    # On a busy machine Chromium plays the clip slower than it should, never faster; a pulse may be lost then.
    stretched = [(second["apex"] - first["apex"]) / (apart + lap * LAP) for lap in (0, 1)]
    assert any(0.95 < stretch < 1.3 for stretch in stretched), (phases, stretched)
    assert {"onset", "apex", "offset", "motion"} <= set(first["pictures"])
    assert page.is_visible(".mer-card .mer-strip img")
    assert re.search(r"(objective class [IV]+|AU\d+) \d+ %", page.inner_text(".mer-events"))
    assert re.search("below 50 frames/s|cannot be resolved", page.inner_text(".mer-banner"))

    # the overlay lies on the picture, whatever the window's shape
    for width, height in ((1280, 900), (800, 600), (1280, 500)):
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator(".mer-overlay").bounding_box()
        assert box["width"] / box["height"] == pytest.approx(640 / 480, rel=0.01)

    page.click(".mer-stop")
    page.wait_for_selector(".mer-start:enabled")
    until(lambda: not app.live.viewers and not working_threads(), 10)


def test_privacy_mode_sends_no_pictures_and_blurs_the_shown_one(page: Any) -> None:
    page.check(".mer-private")
    start_camera(page)
    found = wait_for_micro(page, 1)
    assert found[0]["pictures"] == {}
    assert "blur" in page.evaluate("getComputedStyle(document.querySelector('mer-live video')).filter")


def test_two_viewers_stay_apart_and_leave_nothing_behind(chromium: Any, app: Served, clip: tuple[Path, Path]) -> None:
    contexts = [chromium.new_context(), chromium.new_context()]
    pages = [opened(context, app) for context in contexts]
    start_camera(pages[0])
    pages[0].wait_for_function("document.querySelector('mer-live').state?.faces.length > 0", timeout=30_000)
    assert len(app.live.viewers) == 1
    assert pages[1].evaluate("document.querySelector('mer-live').state === undefined")

    analyse(pages[1], clip[1])
    pages[1].wait_for_selector(".mer-links a", timeout=90_000)
    assert pages[0].locator(".mer-links a").count() == 0
    result = pages[1].locator(".mer-links a").first.get_attribute("href")
    assert contexts[0].request.get(app.url + result).ok  # only who has the secret address gets it ...

    for context in contexts:
        context.close()
    until(lambda: not app.live.viewers and not working_threads(), 20)
    # ... and nobody any more once the session has ended
    until(lambda: not written(app.root), 20)
    assert not len(app.sessions)
    for page in pages:
        assert page.trouble == []


def test_a_recorded_file_gives_what_the_command_line_gives(page: Any, clip: tuple[Path, Path], tmp_path: Path) -> None:
    from realtime_mer import cli

    assert cli.main(["analyze", str(clip[1]), "--out", str(tmp_path), "--no-video"]) == 0
    expected = events(tmp_path / "clip" / "events.jsonl")
    found = [e["apex"] for e in expected if e["status"] == "confirmed"]
    assert found == pytest.approx(APEXES, abs=1 / 30)  # one frame

    analyse(page, clip[1])
    page.wait_for_selector(".mer-links a", timeout=90_000)
    with page.expect_download() as download:
        page.click("text=events, JSON Lines")
    assert events(Path(download.value.path())) == expected
    assert download.value.suggested_filename == "clip.events.jsonl"

    with page.expect_download() as download:
        page.click("text=HTML report")
    report = page.context.new_page()
    report.goto(Path(download.value.path()).rename(tmp_path / "report.html").as_uri())
    assert report.locator("article.event").count() == 2
    assert report.locator("svg#timeline").count() == 1

    page.wait_for_selector("#mer-timeline .js-plotly-plot")
    assert page.locator("#mer-detail img").count() == 4
    assert "AU1 " in page.inner_text("#mer-detail .mer-coded")  # inner brows up
    page.wait_for_function("document.querySelector('#mer-detail video')?.duration > 4")  # slowed down
    page.wait_for_function("document.querySelector('#mer-player video')?.duration > 6")


def test_an_analysis_can_be_stopped_and_ends_with_its_page(
    chromium: Any, app: Served, clip: tuple[Path, Path], tmp_path: Path
) -> None:
    videos = [Path(shutil.copy(clip[1], tmp_path / f"{name}.mp4")) for name in ("one", "two", "three", "four")]
    context = chromium.new_context()
    page = opened(context, app)
    analyse(page, *videos)
    page.wait_for_selector("#mer-status progress")
    page.click("#mer-halt")
    page.wait_for_selector("#mer-status .mer-bad >> text=stopped")
    until(lambda: not working_threads(), 10)
    page.click("#mer-analyse")
    page.wait_for_selector("#mer-status progress")
    assert working_threads()
    context.close()
    until(lambda: not working_threads() and not len(app.sessions), 20)


def test_a_text_file_named_mp4_gives_a_friendly_line(page: Any, app: Served, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video")
    analyse(page, tmp_path / "notes.mp4")
    page.wait_for_selector("#mer-status .mer-bad")
    said = page.inner_text("#mer-status")
    assert said.startswith("notes.mp4 is text, not a video")
    assert str(app.root) not in said


def test_a_benchmark_is_stopped_by_its_button(page: Any, app: Served) -> None:
    page.get_by_role("tab", name="Benchmark").click()
    page.click("#mer-bench")
    page.wait_for_selector("#mer-bench-status:has-text('Measuring')")
    until(lambda: any(session.benchmark.busy for session in app.sessions), 30)
    page.click("#mer-bench-stop")
    page.wait_for_selector("#mer-bench-status:has-text('Stopped.')")
    assert not any(session.benchmark.busy for session in app.sessions)


def test_addresses_that_are_files_of_the_server_are_refused(page: Any) -> None:
    page.check("[value=server]")
    page.fill(".mer-address", "/etc/passwd")
    start_camera(page)
    page.wait_for_selector(".mer-banner.mer-bad")
    assert "camera number" in page.inner_text(".mer-banner")


def test_the_page_can_be_used_with_the_keyboard(page: Any) -> None:
    page.focus("[value=browser]")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className").startswith("mer-start")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert not page.is_visible(".mer-consent")


def test_nothing_is_wider_than_the_window(page: Any) -> None:
    for name in ("Live", "Recorded", "Benchmark", "About"):
        page.get_by_role("tab", name=name).click()
        for width in (800, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)


def events(log: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["type"] == "event"]
