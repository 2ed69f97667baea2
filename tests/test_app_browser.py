"""The live page in a real Chromium: its fake camera shows the synthetic clip, with pulses at known times."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from app_pages import (
    EVENTS,
    MARKS,
    analyze,
    check_trouble,
    frames,
    measuring,
    opened,
    says,
    start_camera,
    tab,
    wait_for_micro,
)
from app_server import APEXES, LAP, Served, served, until, working_threads

from realtime_mer.pipeline import Pipeline
from realtime_mer.sinks.jsonl import read_jsonl

pytestmark = MARKS
LIVE = "document.querySelector('mer-live')"


def test_no_camera_starts_without_consent(page: Any, shown_app: Served) -> None:
    page.click(".mer-start")
    page.wait_for_selector(".mer-consent[open]")
    assert page.is_disabled(".mer-consent [value=yes]")
    page.click(".mer-consent [value=no]")
    assert not shown_app.live.viewers
    assert page.evaluate(f"{LIVE}.camera === undefined")


def test_a_missing_face_model_is_told_before_anybody_is_asked(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_MER_CACHE", "/nonexistent")
    page.click(".mer-start")
    page.wait_for_selector(".mer-banner.mer-bad")
    assert "realtime-mer setup" in page.inner_text(".mer-banner")
    assert not page.is_visible(".mer-consent")


def test_the_live_page_reports_the_pulses_that_the_camera_shows(page: Any, shown_app: Served) -> None:
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
    assert page.inner_text(".mer-said").startswith("micro: ")  # read aloud
    assert page.locator(".mer-card").first.get_attribute("aria-label").startswith("micro: ")

    # the overlay lies on the picture, whatever the window's shape
    for width, height in ((1280, 900), (800, 600), (1280, 500)):
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator(".mer-overlay").bounding_box()
        assert box["width"] / box["height"] == pytest.approx(640 / 480, rel=0.01)

    page.click(".mer-stop")
    page.wait_for_selector(".mer-start:enabled")
    until(lambda: not shown_app.live.viewers and not working_threads(), 10)


def test_privacy_mode_sends_no_pictures_and_blurs_the_shown_one(page: Any) -> None:
    page.check(".mer-private")
    start_camera(page)
    found = wait_for_micro(page, 1)
    assert found[0]["pictures"] == {}
    assert "blur" in page.evaluate("getComputedStyle(document.querySelector('mer-live video')).filter")


def test_what_was_found_is_saved_as_a_log_and_never_thrown_away_without_a_question(page: Any, tmp_path: Path) -> None:
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    start_camera(page)
    wait_for_micro(page, 1)
    page.evaluate("location.reload()")  # the browser asks, since the events are not saved, and the person says no
    until(lambda: asked == ["beforeunload"] or page.wait_for_timeout(50), 10)
    assert page.evaluate(f"{LIVE}.unsaved") > 0
    page.click(".mer-stop")
    page.wait_for_selector(".mer-start:enabled")

    page.click(".mer-start")  # a new run would throw them away: asked first
    page.wait_for_selector(".mer-ask")
    assert "not saved" in page.inner_text(".mer-ask")
    page.click(".mer-ask [value='']")
    assert page.is_enabled(".mer-start")
    count = page.evaluate(f"{EVENTS}.filter((e) => e.status !== 'provisional').length")
    with page.expect_download() as download:
        page.click(".mer-save")
    (path := tmp_path / "saved.jsonl").write_bytes(Path(download.value.path()).read_bytes())
    log = read_jsonl(path)
    assert len(log.events) == count
    assert log.header.anchor is not None
    assert abs(time.time() - _seconds(log.header.anchor.wall)) < 120
    assert page.evaluate(f"{LIVE}.unsaved") == 0


def _seconds(wall: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(wall).timestamp()


def test_a_reload_takes_the_run_up_again(page: Any, shown_app: Served) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    start_camera(page)
    first = wait_for_micro(page, 1)[0]
    run = page.evaluate(f"{LIVE}.run.id")
    before = frames(page)
    page.reload()
    page.wait_for_function(f"{LIVE}?.state?.frames > {before}", timeout=40_000)
    assert page.evaluate(f"{LIVE}.run.id") == run
    assert first["key"] in page.evaluate(f"{EVENTS}.map((e) => e.key)")  # its events are there again
    assert len(shown_app.live.viewers) == 1
    assert page.is_visible(".mer-lamp")
    page.click(".mer-stop")
    page.wait_for_selector(".mer-start:enabled")


def test_a_break_of_three_seconds_loses_nothing_but_its_frames(page: Any) -> None:
    page.expected = ("ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION")
    start_camera(page)
    measuring(page)
    run, before = page.evaluate(f"{LIVE}.run.id"), page.evaluate(f"{LIVE}.state")
    page.context.set_offline(True)
    page.evaluate(f"{LIVE}.lost()")  # offline alone leaves open sockets alone: what the page does when none answers
    says(page, "trying again")
    page.wait_for_timeout(3000)
    page.context.set_offline(False)
    page.wait_for_function(f"{LIVE}.state.frames > {before['frames'] + 30}", timeout=30_000)
    assert page.evaluate(f"{LIVE}.run.id") == run
    says(page, "connected again")
    after = page.evaluate(f"{LIVE}.state")
    assert after["time"] > before["time"] + 3
    assert not after["countable"] or after["lost"] > before["lost"] + 30  # what was not seen is counted


def test_a_recording_with_markers_is_opened_on_the_recorded_page(page: Any) -> None:
    start_camera(page)
    measuring(page)
    page.click(".mer-record")
    assert "stored" in page.inner_text(".mer-ask")
    page.click(".mer-ask [value=yes]")
    page.wait_for_selector(".mer-lamp.mer-recording")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.mer-marks').textContent.includes('space')")
    page.keyboard.press("e")
    page.wait_for_function("document.querySelector('.mer-marks').textContent.endsWith(': e')")
    page.fill(".mer-note", "stimulus e 3")
    page.press(".mer-note", "Enter")
    page.wait_for_function("document.querySelector('.mer-marks').textContent.includes('stimulus e 3')")
    tab(page, "About")  # the sign that the camera is on is on every tab
    assert page.is_visible(".mer-lamp")
    assert page.title().startswith("● recording")
    tab(page, "Live")
    wait_for_micro(page, 1)
    page.click(".mer-record")
    says(page, "was recorded", 60)
    assert not page.locator(".mer-lamp.mer-recording").count()
    tab(page, "Recorded")
    page.wait_for_selector(".mer-list button", timeout=30_000)
    assert page.inner_text(".mer-name").startswith("live ")
    markers = page.evaluate("document.querySelector('mer-recorded').bench.result.markers")
    assert [m["text"] or m["key"] for m in markers] == ["space", "e", "stimulus e 3"]
    page.wait_for_function("document.querySelector('.mer-player').duration > 1")


def test_a_camera_that_ends_is_told_and_the_events_stay(page: Any, shown_app: Served) -> None:
    start_camera(page)
    wait_for_micro(page, 1)
    page.evaluate(f"{LIVE}.camera.stream.getVideoTracks()[0].dispatchEvent(new Event('mute'))")
    says(page, "muted")
    page.evaluate(f"{LIVE}.camera.stream.getVideoTracks()[0].dispatchEvent(new Event('unmute'))")
    page.wait_for_function("!document.querySelector('.mer-banner').textContent.includes('muted')")
    page.evaluate(f"{LIVE}.camera.stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    page.wait_for_selector(".mer-start:enabled")
    assert "the camera ended" in page.inner_text(".mer-banner")
    assert page.locator(".mer-card").count() >= 1
    assert page.is_enabled(".mer-save")
    assert page.is_hidden(".mer-lamp")
    until(lambda: not shown_app.live.viewers, 10)


def test_a_hidden_tab_is_told(page: Any) -> None:
    start_camera(page)
    measuring(page)
    hide = """
        Object.defineProperty(document, 'hidden', {{value: {0}, configurable: true}});
        document.dispatchEvent(new Event('visibilitychange'))
    """
    page.evaluate(hide.format("true"))
    page.wait_for_function("document.title.includes('hidden')")
    page.wait_for_timeout(1200)
    page.evaluate(hide.format("false"))
    says(page, r"the tab was hidden for \d+ s")
    assert "hidden" not in page.title()


def test_a_silent_camera_is_told(page: Any) -> None:
    start_camera(page)
    measuring(page)
    page.evaluate(f"{LIVE}.send = () => {{}}")
    says(page, "nothing was measured for", 15)


def test_overload_is_told_and_bounded(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline that is too slow for the camera: the delay stays bounded, and the page says what is left out."""
    push = Pipeline.push

    def slow(self: Pipeline, frame: Any) -> Any:
        time.sleep(0.1)
        return push(self, frame)

    monkeypatch.setattr(Pipeline, "push", slow)
    start_camera(page)
    page.wait_for_function(f"{LIVE}.pace.every > 1", timeout=40_000)
    says(page, r"one frame in \d+ is measured")
    page.wait_for_timeout(4000)
    delay = page.evaluate(f"{LIVE}.pace.delays.slice(-20).sort((a, b) => a - b)[10]")
    assert delay < 600  # ms; of it 100 are one frame, and 150 may wait on either side
    dropped = page.evaluate(f"{LIVE}.dropped + {LIVE}.state.dropped")
    assert dropped > 20
    assert page.evaluate(f"{LIVE}.late ? {LIVE}.late.startsWith('not real time') : true")


def test_calibration_sets_the_slider(page: Any) -> None:
    start_camera(page)
    measuring(page)
    page.evaluate(f"{LIVE}.order({{ type: 'calibrate', seconds: 5 }})")
    says(page, "s left")
    says(page, "at rest, the face reached", 30)
    said = page.inner_text(".mer-banner")
    assert f"threshold is now {page.input_value('.mer-enter')} times" in said
    assert page.is_visible(".mer-calibrate")


def test_two_viewers_stay_apart(chromium: Any, shown_app: Served, shown_clip: tuple[Path, Path]) -> None:
    contexts = [chromium.new_context(), chromium.new_context()]
    pages = [opened(context, shown_app) for context in contexts]
    start_camera(pages[0])
    measuring(pages[0])
    assert len(shown_app.live.viewers) == 1
    assert pages[1].evaluate(f"{LIVE}.state === undefined")

    for page in pages[1:]:
        analyze(page, shown_clip[1])
        page.wait_for_selector(".mer-links a", timeout=90_000)
    assert pages[0].locator(".mer-links a").count() == 0
    result = pages[1].locator(".mer-links a").first.get_attribute("href")
    assert contexts[1].request.get(shown_app.url + result).ok
    assert contexts[0].request.get(shown_app.url + result).status == 404  # whoever has the address, it is not theirs

    for context in contexts:
        context.close()
    until(lambda: not shown_app.live.viewers and not working_threads(), 20)  # the run has waited for its page
    for page in pages:
        check_trouble(page)


def test_a_server_that_is_killed_and_started_again_is_told(chromium: Any, shown_clip: tuple[Path, Path]) -> None:
    context = chromium.new_context()
    with served() as first:
        port = first.port
        page = opened(context, first)
        page.on("dialog", lambda dialog: dialog.accept())
        start_camera(page)
        wait_for_micro(page, 1)
        page.evaluate("window.stayed = true")
    says(page, "trying again", 20)
    assert page.locator(".mer-card").count() >= 1
    with served(port=port):
        page.wait_for_selector(".mer-start:enabled", timeout=60_000)
        assert page.evaluate("window.stayed")  # no reload was forced
        assert page.locator(".mer-card").count() >= 1  # the events are still there
        assert "has ended" in page.inner_text(".mer-banner")
        page.evaluate(f"{LIVE}.unsaved = 0")
        analyze(page, shown_clip[1])
        page.wait_for_selector(".mer-links a", timeout=90_000)
    context.close()


def test_a_benchmark_is_stopped_by_its_button(page: Any, shown_app: Served) -> None:
    tab(page, "Benchmark")
    page.click("#mer-bench")
    page.wait_for_selector("#mer-bench-status:has-text('Measuring')")
    until(lambda: shown_app.app.benches.busy, 30)
    page.click("#mer-bench-stop")
    page.wait_for_selector("#mer-bench-status:has-text('Stopped.')")
    assert not shown_app.app.benches.busy


def test_a_stored_result_is_read_by_the_page_itself(page: Any, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    tab(page, "Benchmark")
    page.set_input_files("#mer-stored", str(tmp_path / "other.json"))
    page.click("#mer-bench")
    page.wait_for_selector("#mer-bench-status .mer-bad", timeout=30_000)
    assert "the stored result" in page.inner_text("#mer-bench-status")


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
    page.wait_for_selector(".mer-consent[open]")
    page.keyboard.press("Escape")
    assert not page.is_visible(".mer-consent")


def test_every_event_is_kept_however_many_are_hidden(page: Any) -> None:
    """A micro-expression behind 139 blinks: counted, shown and saved."""
    page.evaluate(f"""() => {{
        const live = {LIVE};
        live.fresh();
        const rest = {{ type: "event", track: 1, onset: 1, apex: 1.1, offset: 1.2, reason: "", coded: "", cues: [] }};
        Object.assign(rest, {{ pictures: {{}}, probabilities: null, fps: 30, gap: 0, reported: 1.3, lost: 0 }});
        const event = (key, status, kind) => ({{ ...rest, key, status, kind, words: kind, line: kind }});
        live.takeEvent(event("1-1", "confirmed", "micro"));
        for (let n = 2; n < 141; n++) live.takeEvent(event(`1-${{n}}`, "rejected", "blink"));
    }}""")
    assert page.inner_text(".mer-count") == "1 micro-expression, 139 rejected"
    assert page.locator(".mer-card.mer-confirmed").count() == 1
    assert page.locator(".mer-card.mer-rejected").count() == 100
    assert len(page.evaluate(EVENTS)) == 140
    page.evaluate(f"{LIVE}.unsaved = 0")


def test_a_second_window_that_takes_the_run_up_is_told_of_to_the_first(page: Any, shown_app: Served) -> None:
    start_camera(page)
    measuring(page)
    kept = page.evaluate("sessionStorage.getItem('mer-run')")
    other = page.context.new_page()
    other.add_init_script(f"sessionStorage.setItem('mer-run', {kept!r})")  # as when a tab is duplicated
    other.goto(shown_app.url)
    measuring(other)
    says(page, "shown in another window")
    page.wait_for_timeout(1500)
    assert len(shown_app.live.viewers) == 1
    before = frames(other)
    other.wait_for_function(f"{LIVE}.state.frames > {before}")  # and the first does not take it back
