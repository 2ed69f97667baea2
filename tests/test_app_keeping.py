"""Live runs are kept: recording, markers, calibration, and a run that is taken up after its connection broke."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from app_server import Served, served, until, working_threads
from made_observations import INFO, event, frame, recording
from test_app_jobs import Viewer as Client
from websockets.sync.client import ClientConnection, connect

from realtime_mer import cli
from realtime_mer.app import workbench
from realtime_mer.app.calibration import Calibration
from realtime_mer.app.job import Job, Options, State
from realtime_mer.app.keeping import Behind, Keeper
from realtime_mer.errors import OutputError
from realtime_mer.records import End, Frame, Marker, Observation
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import header, read_jsonl
from realtime_mer.sources import open_source

RATE = 60.0
EPOCH = 1_790_000_000.0  # s, of the made-up browser's wall clock at time 0


@pytest.fixture(scope="module")
def app() -> Iterator[Served]:
    with served(away_s=3.0) as running:
        yield running


@pytest.fixture(scope="module")
def pictures(request: pytest.FixtureRequest) -> list[bytes]:
    """The synthetic face as a browser would send it, 60 frames/s."""
    drawn = request.getfixturevalue("recording")
    return [cv2.imencode(".jpg", cv2.resize(f.image, (320, 240)))[1].tobytes() for f in drawn.frames[:300]]


class Page:
    """A browser's page without a browser: sends pictures in real time from a thread, and collects what it is told."""

    def __init__(self, app: Served, pictures: list[bytes], client: Client | None = None) -> None:
        self.client = client or Client(app)
        self.client.ask("GET", "/")
        self.app, self.pictures = app, pictures
        self.told: list[dict[str, Any]] = []
        self.sent, self.began = 0, time.monotonic()
        self.line: ClientConnection | None = None
        self.lines = ExitStack()
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._send), threading.Thread(target=self._listen)]

    def connect(self, first: dict[str, Any]) -> None:
        headers = {"Cookie": self.client.cookie}
        address = f"ws://127.0.0.1:{self.app.port}/live"
        self.line = self.lines.enter_context(connect(address, max_size=None, additional_headers=headers))
        self.line.send(json.dumps(first))

    def start(self, **more: Any) -> None:
        self.connect({"type": "start", "source": "browser", "consent": True, "model": "none", "epoch": EPOCH, **more})
        for thread in self.threads:
            thread.start()
        until(lambda: self.last("state"), 30)

    def _send(self) -> None:
        while not self.stop.is_set():
            due = int((time.monotonic() - self.began) * RATE)
            if due <= self.sent or self.line is None:
                time.sleep(0.002)
                continue
            self.sent = due
            at = due % (2 * len(self.pictures))  # there and back again: no jump
            picture = self.pictures[min(at, 2 * len(self.pictures) - 1 - at)]
            try:
                self.line.send(np.float64(due / RATE).tobytes() + picture)
            except Exception:  # the line is cut on purpose
                time.sleep(0.01)

    def _listen(self) -> None:
        while not self.stop.is_set():
            try:
                data = self.line.recv(timeout=0.2) if self.line is not None else b""
            except TimeoutError:
                continue
            except Exception:
                time.sleep(0.05)
                continue
            if isinstance(data, str):
                self.told.append(json.loads(data))

    def order(self, **values: Any) -> None:
        assert self.line is not None
        self.line.send(json.dumps(values))

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.told if m["type"] == kind]

    def last(self, kind: str) -> dict[str, Any]:
        found = self.all(kind)
        return found[-1] if found else {}

    def close(self) -> None:
        self.stop.set()
        for thread in self.threads:
            if thread.is_alive():
                thread.join(5)
        self.lines.close()


@pytest.fixture
def page(app: Served, pictures: list[bytes]) -> Iterator[Page]:
    made = Page(app, pictures)
    yield made
    made.close()
    until(lambda: not app.live.viewers, 20)


def test_a_recording_is_a_log_as_any_other(page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recorded in the middle of a run; read by report and convert, and by the Recorded page."""
    page.start()
    time.sleep(1.5)
    page.order(type="record", video=True, name="session 7")
    until(lambda: page.last("recording"), 10)
    job = page.last("recording")["job"]
    time.sleep(1.0)
    stamped = page.sent / RATE
    page.order(type="marker", key="space", text="", time=stamped)
    page.order(type="marker", key="", text="stimulus 3")
    time.sleep(3.5)
    assert page.last("state")["recording"]["frames"] > 100
    page.order(type="record-stop")
    until(lambda: page.last("recorded"), 60)
    assert page.last("recorded")["error"] == ""
    page.order(type="stop")
    until(lambda: page.last("stopped"), 20)

    archive = page.client.ask("GET", f"/jobs/{job}/everything.zip")[1]
    import io
    import zipfile

    zipfile.ZipFile(io.BytesIO(archive)).extractall(tmp_path)
    folder = tmp_path / "session_7"
    log = read_jsonl(folder / "events.jsonl")
    assert log.header.source.live
    assert log.header.start > 1.0  # the run began before the recording
    assert log.summary is not None
    assert log.summary.frames > 200
    # the clock of a stimulus: the browser said what its wall clock showed at time 0
    assert log.header.anchor is not None
    assert (log.header.anchor.time, log.header.anchor.by) == (0.0, "page")
    assert datetime.fromisoformat(log.header.anchor.wall) == datetime.fromtimestamp(EPOCH, UTC)
    assert [(m.key, m.text) for m in log.markers] == [("space", ""), ("", "stimulus 3")]
    assert log.markers[0].time == pytest.approx(stamped)
    assert log.markers[1].time == pytest.approx(stamped, abs=1.0)

    with open_source(folder / "video.mp4") as source:
        times = [f.time for f in source]
    missing = page.last("state")["recording"]["missing"] if page.last("state")["recording"] else 0
    assert len(times) >= log.summary.frames - missing - 1
    assert times[-1] == pytest.approx(log.summary.duration, abs=0.1)

    assert cli.main(["report", str(folder / "events.jsonl")]) == 0
    assert "stimulus 3" in (folder / "report.html").read_text()
    assert cli.main(["convert", str(folder / "events.jsonl"), "--to", "elan,bids"]) == 0
    assert "markers" in (folder / "events.eaf").read_text()
    capsys.readouterr()

    result = page.client.json("GET", f"/jobs/{job}")
    assert result["player"] == "video.mp4"
    assert [m["text"] for m in result["markers"]] == ["", "stimulus 3"]
    start = result["start"] + 0.5
    assert page.client.ask("GET", f"/jobs/{job}/clip?start={start}&end={start + 1}")[0] == 200


def test_without_its_video_a_recording_has_a_clip_of_each_event(tmp_path: Path) -> None:
    job, keeper = made_job(tmp_path / "job"), Keeper()
    live = dataclasses.replace(INFO, kind="camera", live=True)
    keeper.begin(job, header(live, {}), lambda: None, video=False)
    for seen in recording(300):
        keeper.write(seen, frame(seen.index, seen.time))
    keeper.finish()
    event = next(e for e in read_jsonl(job.log).events if e.status == "confirmed")
    assert [p.name for p in (job.folder / "clips").iterdir()] == ["event-1-1.mp4"]
    assert not (job.folder / "video.mp4").exists()
    with open_source(workbench.clip(job, "1-1", slow=4)) as source:
        lasts = max(f.time for f in source)
    assert lasts == pytest.approx(4 * (event.movement.duration + 1.0), abs=0.2)


def test_in_privacy_mode_a_recording_has_no_pictures(page: Page) -> None:
    page.start(private=True)
    page.order(type="record", video=True)
    until(lambda: page.last("recording"), 10)
    job = page.last("recording")["job"]
    time.sleep(1.5)
    page.order(type="stop")  # ends the recording too
    until(lambda: page.last("stopped"), 20)
    folder = next(j.folder for j in page.app.jobs if j.id == job)
    until(lambda: page.client.done(job)["state"] == "done", 20)
    assert read_jsonl(folder / "events.jsonl").summary is not None
    assert not [p for p in folder.rglob("*") if p.suffix in (".mp4", ".jpg")]


def test_a_run_is_taken_up_after_a_break_and_what_was_not_seen_counts_as_lost(page: Page) -> None:
    page.start()
    started = page.last("started")
    time.sleep(1.0)
    before = page.last("state")
    assert page.line is not None
    page.line.socket.shutdown(2)  # the network is gone, without a word
    time.sleep(1.5)
    page.connect({"type": "resume", "id": started["id"]})
    until(lambda: len(page.all("started")) == 2, 10)
    assert page.last("started")["id"] == started["id"]
    assert page.last("started")["zero"] is not None
    until(lambda: page.last("state")["frames"] > before["frames"] + 60, 20)
    after = page.last("state")
    assert after["time"] - before["time"] > 1.5
    assert after["lost"] >= 0.5 * 1.0 * RATE  # of the break
    assert len(page.app.live.viewers) == 1


def test_only_its_owner_can_take_a_run_up_and_in_time(page: Page, app: Served, pictures: list[bytes]) -> None:
    page.start()
    run = page.last("started")["id"]
    stranger = Page(app, pictures)
    stranger.connect({"type": "resume", "id": run})
    assert stranger.line is not None
    told = json.loads(stranger.line.recv(timeout=10))
    assert told["type"] == "error"
    stranger.close()
    assert stranger.client.ask("GET", f"/live/runs/{run}/events.jsonl")[0] == 404
    assert not page.last("stopped")

    assert page.line is not None
    page.line.socket.shutdown(2)
    until(lambda: not app.live.viewers and not working_threads(), 20)  # it waited for so long, and no longer
    page.connect({"type": "resume", "id": run})
    until(lambda: page.last("error"), 10)
    assert "has ended" in page.last("error")["text"]
    # what it found can still be saved, as a log
    runs = page.client.json("GET", "/live/runs")["runs"]
    assert [(r["id"], r["running"]) for r in runs] == [(run, False)]
    status, log = page.client.ask("GET", f"/live/runs/{run}/events.jsonl")
    assert status == 200
    assert json.loads(log.splitlines()[0])["type"] == "header"
    assert json.loads(log.splitlines()[-1])["type"] == "summary"
    assert page.client.json("GET", "/live/runs")["runs"] == []  # saved, so it need not be kept


def test_calibration_chooses_a_sensitivity_that_the_resting_face_does_not_reach(page: Page) -> None:
    page.start()
    time.sleep(1.0)
    page.order(type="calibrate", seconds=5)
    until(lambda: page.last("state").get("calibrating"), 10)
    until(lambda: page.last("calibrated"), 30)
    told = page.last("calibrated")
    assert told["enter"] is None or 3 <= told["enter"] <= 20
    assert told["text"]


def test_orders_that_make_no_sense_end_nothing(page: Page) -> None:
    page.start()
    for order in (
        {"type": "marker", "time": "soon"}, {"type": "record-stop"}, {"type": "nonesuch"},
        {"type": "calibrate", "seconds": 1}, {"type": "recalibrate", "enter": 99},
    ):  # fmt: skip
        page.order(**order)
    until(lambda: page.last("refused"), 10)
    frames = page.last("state")["frames"]
    until(lambda: page.last("state")["frames"] > frames + 30, 10)


# --- the parts -------------------------------------------------------------------------------------------------------


class Slow(Sink):
    """Takes a while for each frame."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.seen, self.events = seconds, 0, 0

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002
        time.sleep(self.seconds)
        self.seen += 1
        self.events += len(observation.events)

    def end(self, end: End) -> None:
        self.events += len(end.events)

    def close(self) -> None:
        pass


def test_a_slow_sink_misses_frames_and_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_mer.app.keeping.WAITING_BYTES", 1)
    sink = Slow(0.01)
    behind = Behind([sink])
    began = time.monotonic()
    for seen in recording(300):
        behind.write(seen, frame(seen.index, seen.time))
    assert time.monotonic() - began < 1.0  # the thread that measures does not wait
    behind.end(End(3.0, (event(9, 2.9),)))
    behind.close()
    assert behind.missing > 100
    assert sink.seen + behind.missing == 300
    assert sink.events == 4


def made_job(folder: Path) -> Job:
    folder.mkdir()
    return Job("x", "A" * 43, "live", folder, 0, Options(), State.RECORDING)


def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, keeper = made_job(tmp_path / "job"), Keeper()
    keeper.begin(job, header(INFO, {}), lambda: None, video=False)
    for seen in recording(60):
        if seen.index == 30:
            monkeypatch.setattr(
                "realtime_mer.sinks.csv.SignalsCsv.write", lambda *_: (_ for _ in ()).throw(OutputError("disk full"))
            )
        keeper.write(seen, frame(seen.index, seen.time))
    assert (job.state, job.error) == (State.FAILED, "disk full")
    assert keeper.job is None
    assert read_jsonl(job.log).summary is None  # and it does not claim to be complete
    keeper.close()


def test_recordings_follow_each_other_on_one_time_line(tmp_path: Path) -> None:
    keeper, jobs = Keeper(), [made_job(tmp_path / name) for name in "ab"]
    keeper.mark(Marker(0.0, "e"))  # nothing is recorded yet
    for seen in recording(300):
        if seen.index in (20, 180):
            keeper.begin(jobs[seen.index > 100], header(INFO, {}), lambda: None, video=False)
        if seen.index == 150:
            assert keeper.finish() is jobs[0]
            assert keeper.finish() is None
        keeper.write(seen, frame(seen.index, seen.time))
    keeper.end(End(3.0, ()))
    keeper.close()
    first, second = (read_jsonl(job.log) for job in jobs)
    assert [job.state for job in jobs] == [State.DONE, State.DONE]
    assert first.summary is not None
    assert second.summary is not None
    assert (first.summary.frames, second.summary.frames) == (130, 120)
    assert second.header.start == pytest.approx(1.8)


def test_a_calibration_without_a_face_says_so() -> None:
    without = Calibration(1.0)
    for seen in recording(200):
        if without.push(Observation(seen.index, seen.time, (), (), 100.0)):
            break
    assert without.result().enter is None
    assert without.left_s == 0
    still = Calibration(0.9)
    for seen in recording(95):
        still.push(seen)
    found = still.result()
    assert found.enter is not None
    assert 3.0 <= found.enter <= 20.0
    assert math.isclose(found.enter * 2, round(found.enter * 2))
