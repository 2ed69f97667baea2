"""The Recorded page in a real Chromium: uploads, the workbench, reviews by keyboard, exports, access."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from app_pages import MARKS, analyze, check_trouble, opened, start_camera, tab, written
from app_server import APEXES, Served, served, until, working_threads

from realtime_mer.review.codings import read_coding
from realtime_mer.sinks.jsonl import read_jsonl

pytestmark = MARKS
BENCH = "document.querySelector('mer-recorded').bench"


def open_clip(page: Any, shown_clip: tuple[Path, Path]) -> None:
    """Uploads the clip, and waits until its first event is shown."""
    analyze(page, shown_clip[1])
    page.wait_for_selector(".mer-detail .mer-card", timeout=90_000)
    page.wait_for_function("document.querySelector('.mer-plot .main-svg') !== null")


def begin_review(page: Any, coder: str, *, blind: bool = False) -> None:
    page.fill(".mer-who", coder)
    if blind:
        page.check(".mer-blind")
    page.press(".mer-who", "Enter")
    page.wait_for_selector(".mer-verdict", state="visible")


def said(page: Any) -> dict[str, Any]:
    return page.evaluate(f"{BENCH}.said.events")


def reviewed(page: Any, expression: str) -> None:
    """Waits until what the coder has said fulfills an expression of ``s``, the events by name."""
    page.wait_for_function(f"((s) => {expression})({BENCH}.said?.events ?? {{}})")


def saved(page: Any, act: Any, path: Path) -> Path:
    with page.expect_download() as download:
        act()
    return Path(shutil.copy(download.value.path(), path))


def test_from_the_upload_to_a_reviewed_event_in_elan_in_under_ten_interactions(
    page: Any, shown_clip: tuple[Path, Path], tmp_path: Path
) -> None:
    done = 0

    def did(act: Any, *values: Any) -> None:
        nonlocal done
        act(*values)
        done += 1

    did(tab, page, "Recorded")
    did(page.set_input_files, ".mer-files", str(shown_clip[1]))
    did(page.click, ".mer-analyze")
    page.wait_for_selector(".mer-detail .mer-card", timeout=90_000)
    did(page.fill, ".mer-who", "anna")
    did(page.press, ".mer-who", "Enter")
    page.wait_for_selector(".mer-verdict", state="visible")
    did(page.keyboard.press, "a")
    reviewed(page, "Object.values(s)[0]?.verdict === 'accepted'")
    path = saved(page, lambda: did(page.click, ".mer-export"), tmp_path / "anna.eaf")
    assert done < 10
    assert len(read_coding(path).marks) == 2
    assert ElementTree.parse(path).getroot().tag == "ANNOTATION_DOCUMENT"


def test_the_list_the_video_and_the_time_line_are_one_thing(page: Any, shown_clip: tuple[Path, Path]) -> None:
    open_clip(page, shown_clip)
    found = page.evaluate(f"{BENCH}.result.events.filter((e) => e.status === 'confirmed')")
    assert [e["apex"] for e in found] == pytest.approx(APEXES, abs=1 / 30)
    # the first event is chosen, and its slow motion plays
    page.wait_for_function("document.querySelector('.mer-player').duration > 5")
    assert "clip?" in page.get_attribute(".mer-player", "src")
    page.keyboard.press("n")  # the second
    page.wait_for_function("document.querySelectorAll('.mer-list button')[1].getAttribute('aria-current') === 'true'")
    page.wait_for_function(f"{BENCH}.video.readyState >= 2 && {BENCH}.now() > 4.4")
    assert "left lip corner" in page.inner_text(".mer-detail")
    assert page.evaluate("document.querySelector('.mer-still').naturalWidth") > 0
    # step by frames: the playhead moves by one frame, and is drawn on the time line
    page.keyboard.press("k")
    page.wait_for_function(f"{BENCH}.video.paused || {BENCH}.play() || {BENCH}.video.paused")
    page.evaluate(f"{BENCH}.video.pause(), {BENCH}.seek(5.1667)")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{BENCH}.now()") == pytest.approx(5.1667 + 1 / 30, abs=0.005)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(f"{BENCH}.now()") == pytest.approx(5.1667, abs=0.005)
    assert page.is_visible(".mer-playhead")
    # magnified, then the whole recording at the same place
    page.fill(".mer-magnify", "5")
    page.wait_for_function("document.querySelector('.mer-player').src.includes('magnify=5')")
    page.wait_for_function(f"{BENCH}.video.readyState >= 2", timeout=60_000)
    assert page.evaluate(f"{BENCH}.now()") == pytest.approx(5.1667, abs=0.02)
    page.click(".mer-whole")
    page.wait_for_function("document.querySelector('.mer-player').src.endsWith('annotated.mp4')")
    page.wait_for_function(f"{BENCH}.video.readyState >= 2")
    assert page.evaluate(f"{BENCH}.now()") == pytest.approx(5.1667, abs=0.05)
    # a click on the list brings the others along
    page.locator(".mer-list button").first.click()
    page.wait_for_function(f"{BENCH}.video.readyState >= 2 && Math.abs({BENCH}.now() - 2.3) < 0.7")
    assert page.evaluate(f"{BENCH}.timeline.chosen") == found[0]["key"]


def test_a_review_by_keyboard_alone(page: Any, shown_clip: tuple[Path, Path], tmp_path: Path) -> None:
    open_clip(page, shown_clip)
    first, second = page.evaluate(f"{BENCH}.result.events.filter((e) => e.status === 'confirmed').map((e) => e.key)")
    page.focus(".mer-who")
    page.keyboard.type("anna")
    page.keyboard.press("Enter")
    page.wait_for_selector(".mer-verdict", state="visible")
    page.keyboard.press("a")
    reviewed(page, f"s['{first}']?.verdict === 'accepted'")
    page.keyboard.press("2")  # the second label of the model
    reviewed(page, f"s['{first}'].label !== undefined")
    label = page.evaluate(f"{BENCH}.result.labels[1]")
    assert said(page)[first]["label"] == label
    assert f"micro: {label}" in page.inner_text(".mer-detail")
    page.keyboard.press("n")
    page.keyboard.press("x")
    reviewed(page, f"s['{second}']?.verdict === 'rejected'")
    page.keyboard.press("c")
    page.keyboard.type("a twitch of the jaw")
    page.keyboard.press("Enter")
    reviewed(page, f"s['{second}'].comment === 'a twitch of the jaw'")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("z")  # the comment
    reviewed(page, f"s['{second}'].comment === undefined")
    page.keyboard.press("z")  # the rejection
    reviewed(page, f"s['{second}'] === undefined")
    # the onset of the first is moved, and one that was missed is added
    page.keyboard.press("p")
    page.wait_for_function(f"{BENCH}.chosen === '{first}' && {BENCH}.video.readyState >= 2")
    page.evaluate(f"{BENCH}.video.pause(), {BENCH}.seek(2.45)")
    page.keyboard.press("i")
    reviewed(page, f"Math.abs(s['{first}'].onset - 2.45) < 0.005")
    page.evaluate(f"{BENCH}.seek(3.0)")
    page.keyboard.press("v")
    reviewed(page, "s['new-1']?.verdict === 'accepted'")
    assert said(page)["new-1"]["apex"] == pytest.approx(3.0, abs=0.01)
    assert page.locator(".mer-list button").count() == 3
    assert page.inner_text(".mer-reviewed").startswith("anna: 2 of 2")
    # focus is where it was: on the workbench
    assert page.evaluate("document.activeElement.closest('input') === null")

    page.select_option(".mer-format", "csv")
    table = saved(page, lambda: page.click(".mer-export"), tmp_path / "anna.csv").read_text()
    assert table.count(",confirmed,") == 3
    assert "coder anna" in table
    log = saved(page, lambda: page.click("text=events, JSON Lines"), tmp_path / "events.jsonl")
    assert [f"{e.track}-{e.movement.id}" for e in read_jsonl(log).events] == [first, second]  # the log is as it was


def test_a_review_is_there_again_after_a_reload(page: Any, shown_clip: tuple[Path, Path]) -> None:
    open_clip(page, shown_clip)
    begin_review(page, "anna")
    page.keyboard.press("x")
    reviewed(page, "Object.values(s)[0]?.verdict === 'rejected'")
    page.reload()
    tab(page, "Recorded")
    page.wait_for_selector(".mer-detail .mer-card", timeout=30_000)  # the page finds its jobs again
    begin_review(page, "anna")
    reviewed(page, "Object.values(s)[0]?.verdict === 'rejected'")


def test_a_coder_who_is_faster_than_the_server_loses_no_decision(page: Any, shown_clip: tuple[Path, Path]) -> None:
    """The next event stays chosen when the answer to the last decision comes."""
    open_clip(page, shown_clip)
    begin_review(page, "anna")
    page.evaluate(
        """() => {
          const fast = window.fetch;
          window.fetch = async (...words) => {
            if (String(words[0]).includes("/reviews/")) await new Promise((done) => setTimeout(done, 500));
            return fast(...words);
          };
        }"""
    )
    page.keyboard.press("a")
    page.keyboard.press("n")
    reviewed(page, "Object.keys(s).length === 1")
    page.keyboard.press("a")
    reviewed(page, "Object.keys(s).length === 2")


def test_a_second_coder_is_blind_and_then_compared(page: Any, shown_clip: tuple[Path, Path], tmp_path: Path) -> None:
    open_clip(page, shown_clip)
    begin_review(page, "anna")
    for _ in range(2):
        page.keyboard.press("a")
        page.keyboard.press("n")
    reviewed(page, "Object.keys(s).length === 2")
    page.fill(".mer-who", "ben")
    page.check(".mer-blind")
    page.press(".mer-who", "Enter")
    page.wait_for_function(f"{BENCH}.said?.coder === 'ben'")
    assert page.locator(".mer-list button").count() == 0  # neither the machine's events nor anna's
    assert page.is_disabled(".mer-match")
    page.wait_for_function(f"{BENCH}.video.readyState >= 2")
    page.evaluate(f"{BENCH}.seek(2.64)")
    page.keyboard.press("v")
    reviewed(page, "s['new-1'] !== undefined")

    begin_review(page, "anna")
    page.wait_for_function(f"{BENCH}.said?.coder === 'anna'")
    page.click(".mer-compare summary")
    page.select_option(".mer-a", "anna")
    page.select_option(".mer-b", "ben")
    page.click(".mer-match")
    page.wait_for_selector(".mer-agreement", state="visible")
    assert "A = anna: 2 events    B = ben: 1 events" in page.inner_text(".mer-agreement")
    # a coding that was made with another tool
    (tmp_path / "carla.csv").write_text("onset,apex,offset,label\n2.5,2.64,2.84,surprise\n5.0,5.16,5.4,positive\n")
    page.set_input_files(".mer-import", str(tmp_path / "carla.csv"))
    page.wait_for_function("document.querySelector('.mer-b').value === 'coding-carla.csv'")
    page.click(".mer-match")
    page.wait_for_function("document.querySelector('.mer-agreement').textContent.includes('F1 1.00')")


def test_of_two_files_one_broken_both_are_told(page: Any, shown_clip: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video")
    (tmp_path / "more.txt").write_text("no video either")
    analyze(page, tmp_path / "notes.mp4", tmp_path / "more.txt", shown_clip[1])
    page.expected = ("400",)
    page.wait_for_selector(".mer-detail .mer-card", timeout=90_000)
    told = page.inner_text(".mer-status")
    assert "notes.mp4 is text, not a video" in told
    assert "more.txt cannot be used: choose a video" in told
    assert "/" not in told.replace("mer-", "").partition("(")[0]  # no path of the server
    assert page.inner_text(".mer-jobs .mer-done .mer-open") == "clip.mp4"


def test_a_waiting_job_shows_its_place_and_can_be_stopped(
    page: Any, shown_clip: tuple[Path, Path], tmp_path: Path
) -> None:
    videos = [Path(shutil.copy(shown_clip[1], tmp_path / f"{name}.mp4")) for name in ("one", "two", "three", "four")]
    analyze(page, *videos)
    page.wait_for_selector(".mer-jobs .mer-running progress[value]", timeout=30_000)
    page.wait_for_function("document.querySelector('.mer-jobs .mer-running .mer-how').textContent.includes('left')")
    last = page.locator(".mer-jobs li", has_text="four.mp4")
    page.wait_for_function("[...document.querySelectorAll('.mer-jobs .mer-queued')].length >= 2")
    assert "before it" in last.inner_text()
    last.get_by_role("button", name="Stop four.mp4").click()
    page.wait_for_selector(".mer-jobs .mer-stopped")
    assert "stopped before it began" in last.inner_text()
    for name in ("one", "two", "three"):
        row = page.locator(".mer-jobs li", has_text=f"{name}.mp4")
        if row.get_by_role("button", name=f"Stop {name}.mp4").count():
            row.get_by_role("button", name=f"Stop {name}.mp4").click()
    until(lambda: not working_threads() or page.wait_for_timeout(50), 20)


def test_two_viewers_with_the_same_file_do_not_disturb_each_other(
    chromium: Any, shown_app: Served, shown_clip: tuple[Path, Path]
) -> None:
    contexts = [chromium.new_context(), chromium.new_context()]
    pages = [opened(context, shown_app) for context in contexts]
    for each in pages:
        open_clip(each, shown_clip)
    pages[0].get_by_role("button", name="Remove clip.mp4").click()
    pages[0].click(".mer-ask [value=yes]")
    pages[0].wait_for_selector(".mer-none", state="visible")
    contexts[0].close()
    pages[1].locator(".mer-list button").nth(1).click()  # its clip is made of the upload
    pages[1].wait_for_function(f"{BENCH}.video.readyState >= 2 && {BENCH}.now() > 4.4", timeout=30_000)
    contexts[1].close()
    for each in pages:
        check_trouble(each)


def test_a_break_of_three_seconds_does_not_lose_an_upload(page: Any, shown_clip: tuple[Path, Path]) -> None:
    page.expected = ("ERR_INTERNET_DISCONNECTED", "Failed to fetch", "409")
    tab(page, "Recorded")
    page.set_input_files(".mer-files", str(shown_clip[1]))
    broken = []

    def cut(route: Any) -> None:
        broken.append(1)
        route.abort()

    page.route("**/upload?*", cut)
    page.click(".mer-analyze")
    until(lambda: len(broken) > 1 or page.wait_for_timeout(50), 20)
    page.expected = (*page.expected, "ERR_FAILED")
    page.wait_for_timeout(1500)
    page.unroute("**/upload?*")
    page.wait_for_selector(".mer-detail .mer-card", timeout=90_000)


def test_jobs_go_with_their_owner_and_nothing_stays(
    chromium: Any, shown_clip: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_mer.app.jobs.SWEEP_S", 0.2)
    with served(linger_s=6.0) as app:
        context = chromium.new_context()
        page = opened(context, app)
        open_clip(page, shown_clip)
        page.wait_for_timeout(7000)  # longer than jobs live without their page: the page keeps them
        assert len(app.jobs) == 1
        page.reload()
        tab(page, "Recorded")
        page.wait_for_selector(".mer-detail .mer-card", timeout=30_000)
        check_trouble(page)
        context.close()
        until(lambda: not len(app.jobs) and not written(app.root), 30)


# --- access ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(
    chromium: Any, shown_app: Served, shown_clip: tuple[Path, Path], scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = opened(context, shown_app)
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        page.wait_for_timeout(300)
        for fault in Axe().run(page).response["violations"]:
            places = [f"{node['html'][:100]} {node['target']}" for node in fault["nodes"]]
            found[f"{name}: {fault['id']}"] = places

    look("live")
    page.click(".mer-start")
    page.wait_for_selector(".mer-consent[open]")
    look("consent")
    page.click(".mer-consent [value=no]")
    start_camera(page)
    page.check(".mer-rejected")
    page.wait_for_selector(".mer-card.mer-confirmed", timeout=60_000)
    look("running")
    page.click(".mer-stop")
    page.evaluate("document.querySelector('mer-live').unsaved = 0")
    open_clip(page, shown_clip)
    look("recorded")
    begin_review(page, "anna")
    page.keyboard.press("a")
    page.click(".mer-compare summary")
    look("review")
    for name in ("Benchmark", "About"):
        tab(page, name)
        look(name)
    context.close()
    assert not found, "\n".join(f"{key}\n  " + "\n  ".join(nodes) for key, nodes in found.items())
    check_trouble(page)


def test_nothing_is_wider_than_the_window(page: Any, shown_clip: tuple[Path, Path]) -> None:
    open_clip(page, shown_clip)
    begin_review(page, "anna")
    page.click(".mer-compare summary")
    for name in ("Live", "Recorded", "Benchmark", "About"):
        tab(page, name)
        for width in (390, 800, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            page.wait_for_timeout(150)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
    # on a phone the picture comes first
    tab(page, "Live")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.locator(".mer-stage").bounding_box()["y"] < page.locator(".mer-controls").bounding_box()["y"]


def test_who_wants_less_motion_gets_less(chromium: Any, shown_app: Served, shown_clip: tuple[Path, Path]) -> None:
    context = chromium.new_context(reduced_motion="reduce")
    page = opened(context, shown_app)
    open_clip(page, shown_clip)
    page.wait_for_function(f"{BENCH}.video.readyState >= 2")
    page.wait_for_timeout(300)
    assert page.evaluate(f"{BENCH}.video.paused")  # nothing plays by itself
    context.close()
