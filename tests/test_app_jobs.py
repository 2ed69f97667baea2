"""Jobs: who owns them, the queue, uploads in pieces, quotas, how long they live, and what a killed server leaves."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app_server import APEXES, Served, draw_clip, served, until

from realtime_mer.app import jobs as jobs_module
from realtime_mer.app.folders import FOLDER, unpack
from realtime_mer.app.job import Job, Options, State
from realtime_mer.app.jobs import Jobs
from realtime_mer.errors import OutputError, SourceError
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.sinks.lock import Lock

ANNA, BEN = "A" * 43, "B" * 43


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Jobs]]:
    """Makes ``Jobs`` in a temporary folder of its own; they are closed at the end."""
    monkeypatch.setattr(jobs_module.tempfile, "tempdir", str(tmp_path))
    made: list[Jobs] = []

    def one(work: Callable[[Job], None] = lambda _: None, **options: Any) -> Jobs:
        made.append(Jobs(work, **options))
        return made[-1]

    yield one
    for jobs in made:
        jobs.close()
    assert not list(tmp_path.glob(f"{FOLDER}*"))


def uploaded(jobs: Jobs, owner: str, name: str) -> Job:
    job = jobs.begin(owner, name, 3, Options())
    job.upload.write_bytes(b"abc")
    jobs.uploaded(job)
    return job


def test_jobs_wait_for_their_turn_and_a_waiting_one_can_be_stopped(make: Callable[..., Jobs]) -> None:
    going = threading.Event()
    jobs = make(lambda _: going.wait(20) and None)
    first, second, third = (uploaded(jobs, ANNA, f"{n}.mp4") for n in "abc")
    until(lambda: first.state is State.RUNNING, 5)
    assert [jobs.position(job) for job in (first, second, third)] == [None, 0, 1]
    jobs.halt(second)
    assert second.state is State.STOPPED
    assert "stopped before it began" in second.error
    assert jobs.position(third) == 0
    going.set()
    until(lambda: third.state is State.DONE, 5)
    assert first.state is State.DONE


def test_one_that_fails_is_told_and_the_others_go_on(make: Callable[..., Jobs]) -> None:
    def work(job: Job) -> None:
        if job.name == "bad.mp4":
            raise SourceError(f"{job.upload} is not a video")
        if job.name == "worse.mp4":
            raise RuntimeError("boom")

    jobs = make(work)
    bad, worse, good = (uploaded(jobs, ANNA, name) for name in ("bad.mp4", "worse.mp4", "good.mp4"))
    until(lambda: good.state is State.DONE, 5)
    assert (bad.state, bad.error) == (State.FAILED, "bad.mp4 is not a video")  # and not where the server keeps it
    assert worse.state is State.FAILED
    assert "RuntimeError" in worse.error
    assert "boom" not in worse.error


def test_the_same_file_of_two_owners_is_two_jobs(make: Callable[..., Jobs]) -> None:
    jobs = make()
    a, b = uploaded(jobs, ANNA, "clip.mp4"), uploaded(jobs, BEN, "clip.mp4")
    until(lambda: b.state is State.DONE, 5)
    jobs.remove(a)
    assert b.upload.read_bytes() == b"abc"
    assert jobs.get(BEN, b.id) is b
    assert jobs.get(ANNA, b.id) is None
    assert [job.id for job in jobs.of(ANNA)] == []


def test_jobs_outlive_their_page_for_a_while(make: Callable[..., Jobs], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "SWEEP_S", 0.05)
    jobs = make(linger_s=0.6)
    job, other = uploaded(jobs, ANNA, "clip.mp4"), uploaded(jobs, BEN, "clip.mp4")
    for _ in range(12):
        jobs.seen(ANNA)  # its page asks
        time.sleep(0.1)
    assert jobs.get(ANNA, job.id) is job
    assert jobs.get(BEN, other.id) is None
    assert not other.folder.exists()
    until(lambda: not len(jobs), 5)
    assert not job.folder.exists()


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("notes.txt", 3, "choose a video"),
        ("clip.mp4", 0, "it is empty"),
        ("clip.mp4", (1 << 30) + 1, "at most 1 GB"),
        ("", 3, "choose a video"),
    ],
)
def test_what_cannot_be_taken_is_told(make: Callable[..., Jobs], name: str, size: int, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        make().begin(ANNA, name, size, Options())


def test_names_are_names_not_paths(make: Callable[..., Jobs]) -> None:
    jobs = make()
    for name in ("../../x.mp4", "C:\\videos\\x.mp4", "/etc/x.mp4"):
        job = jobs.begin(ANNA, name, 3, Options())
        assert job.name == "x.mp4"
        assert job.upload.parent == job.folder
        assert job.folder.parent == jobs.root
        assert job.folder.name.startswith("x-")
    assert jobs.begin(ANNA, "a\nb\x00.mp4", 3, Options()).name == "a b .mp4"


def test_one_owner_has_room_for_so_much(make: Callable[..., Jobs], monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = make()
    monkeypatch.setattr(jobs_module, "OWNER_BYTES", 100)
    jobs.begin(ANNA, "a.mp4", 60, Options())
    with pytest.raises(SourceError, match="delete some recordings first"):
        jobs.begin(ANNA, "b.mp4", 60, Options())
    jobs.begin(BEN, "b.mp4", 60, Options())
    monkeypatch.setattr(jobs_module, "OWNER_BYTES", 1 << 40)
    for n in range(7):
        jobs.begin(ANNA, f"{n}.mp4", 1, Options())
    with pytest.raises(SourceError, match="8 recordings are already waiting"):
        jobs.begin(ANNA, "more.mp4", 1, Options())
    monkeypatch.setattr(jobs_module, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(SourceError, match="disk is full"):
        jobs.begin(BEN, "c.mp4", 1, Options())


def test_folders_of_servers_that_run_are_left_alone(make: Callable[..., Jobs], tmp_path: Path) -> None:
    first = make()
    dead, linked = tmp_path / f"{FOLDER}dead", tmp_path / f"{FOLDER}link"
    dead.mkdir()
    (dead / ".lock").write_text("process 1 since long ago\n")
    (dead / "faces.mp4").write_bytes(b"x")
    linked.symlink_to(tmp_path)
    other = tmp_path / f"{FOLDER}running"
    other.mkdir()
    with Lock(other):
        make()
        assert other.is_dir()
    assert first.root.is_dir()
    assert not dead.exists()
    assert linked.is_symlink()
    linked.unlink()
    other.rmdir()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.slow
def test_what_a_killed_server_has_left_is_gone_after_the_next_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "realtime_mer.cli", "app", "--port", "0", "--model", "none"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    left = None
    for number in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            assert "http://127.0.0.1:" in process.stdout.readline()
            folders = list(tmp_path.glob(f"{FOLDER}*"))
            assert len(folders) == 1
            assert folders[0] != left
            left = folders[0]
            (left / "faces.mp4").write_bytes(b"x")
            time.sleep(1)  # it listens before it serves
            process.send_signal(number)
            process.wait(30)
    assert not list(tmp_path.glob(f"{FOLDER}*"))


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", {"notes.txt": b"x"}, {"../events.jsonl": b"x"}, {"a/b/events.jsonl": b"x"}],
)
def test_a_zip_that_holds_no_results_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content if isinstance(content, bytes) else zipped(content))
    with pytest.raises(SourceError, match=r"x\.zip"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path.parent / "events.jsonl").exists()


def test_only_known_names_come_out_of_a_zip(tmp_path: Path) -> None:
    path, out = tmp_path / "x.zip", tmp_path / "out"
    names = ["events.jsonl", "review-anna.jsonl", "stills/event-1-2.jpg", "coding-ben.eaf"]
    path.write_bytes(zipped({f"clip/{n}": b"x" for n in (*names, ".bashrc", "stills/x.py", "review-../x.jsonl")}))
    out.mkdir()
    unpack(path, out)
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == sorted(names)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def test_what_is_kept_is_found_again_and_what_was_not_done_is_not(make: Callable[..., Jobs], tmp_path: Path) -> None:
    def work(job: Job) -> None:
        job.log.write_text("{}\n")
        job.frames, job.found = 70, 3

    folder = tmp_path / "lab"
    first = make(work, keep=folder, linger_s=0.1)
    job = uploaded(first, ANNA, "subject 7.mp4")
    until(lambda: job.state is State.DONE, 5)
    (job.folder / "review-anna.jsonl").write_text("{}\n")
    cut = first.begin(ANNA, "cut.mp4", 10, Options())
    cut.upload.write_bytes(b"ab")
    with pytest.raises(OutputError, match="is in use by"):
        make(work, keep=folder)
    (folder / "notes-of-mine").mkdir()  # not of this program
    first.close()
    (killed := folder / "killed-abcdefgh").mkdir()
    (killed / "upload.mp4").write_bytes(b"x")

    second = make(work, keep=folder)
    assert [(j.id, j.name, j.state, j.frames, j.found) for j in second] == [
        (job.id, "subject 7.mp4", State.DONE, 70, 3)
    ]
    assert second.get(ANNA, job.id) is not None
    assert second.get(BEN, job.id) is None
    assert (job.folder / "review-anna.jsonl").is_file()
    assert not cut.folder.exists()
    assert not killed.exists()
    assert (folder / "notes-of-mine").is_dir()
    assert job.folder.name.startswith("subject_7-")


# --- over HTTP -------------------------------------------------------------------------------------------------------


class Viewer:
    """A browser without a page: it keeps its cookie."""

    def __init__(self, app: Served) -> None:
        self.app, self.cookie = app, ""

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.app.port, timeout=30)
        connection.request(method, path, body, {"Cookie": self.cookie})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        if given := answer.headers["Set-Cookie"]:
            self.cookie = given.partition(";")[0]
        connection.close()
        return found

    def json(self, method: str, path: str, values: Any = None) -> Any:
        status, body = self.ask(method, path, None if values is None else json.dumps(values).encode())
        assert status < 300, (status, body)
        return json.loads(body) if body else None

    def upload(self, name: str, content: bytes, **options: Any) -> str:
        job = self.json("POST", "/jobs", {"name": name, "size": len(content), "options": options})["id"]
        assert self.json("PUT", f"/jobs/{job}/upload?at=0", None) == {"have": 0}
        self.ask("PUT", f"/jobs/{job}/upload?at=0", content[:1000])
        status, told = self.ask("PUT", f"/jobs/{job}/upload?at=5", b"again")  # a piece that was sent twice
        assert (status, json.loads(told)) == (409, {"have": min(1000, len(content))})
        self.ask("PUT", f"/jobs/{job}/upload?at=1000", content[1000:])
        return str(job)

    def done(self, job: str) -> dict[str, Any]:
        def found() -> dict[str, Any]:
            return next(j for j in self.json("GET", "/jobs")["jobs"] if j["id"] == job)

        until(lambda: found()["state"] in ("done", "failed", "stopped"), 90)
        return found()


@pytest.fixture(scope="module")
def app() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_clip(tmp_path_factory.mktemp("clip"))[1]


@pytest.fixture(scope="module")
def analyzed(app: Served, clip: Path) -> tuple[Viewer, str]:
    """A viewer with one analyzed job."""
    viewer = Viewer(app)
    viewer.ask("GET", "/")
    job = viewer.upload("clip.mp4", clip.read_bytes(), video=False)
    assert viewer.done(job)["state"] == "done"
    return viewer, job


def test_a_job_is_its_owners_alone(app: Served, analyzed: tuple[Viewer, str]) -> None:
    viewer, job = analyzed
    stranger = Viewer(app)
    stranger.ask("GET", "/")
    assert stranger.cookie != viewer.cookie
    for method, path in (
        ("GET", f"/jobs/{job}"), ("GET", f"/jobs/{job}/files/events.jsonl"), ("DELETE", f"/jobs/{job}"),
        ("POST", f"/jobs/{job}/stop"), ("GET", f"/jobs/{job}/everything.zip"), ("GET", f"/jobs/{job}/reviews/x"),
    ):  # fmt: skip
        assert stranger.ask(method, path)[0] == 404
    assert stranger.json("GET", "/jobs") == {"jobs": []}
    assert viewer.ask("GET", f"/jobs/{job}/files/events.jsonl")[0] == 200


def test_the_results_are_those_of_the_command_line(analyzed: tuple[Viewer, str], clip: Path, tmp_path: Path) -> None:
    from realtime_mer import cli

    viewer, job = analyzed
    assert cli.main(["analyze", str(clip), "--out", str(tmp_path), "--no-video"]) == 0
    (here := tmp_path / "here.jsonl").write_bytes(viewer.ask("GET", f"/jobs/{job}/files/events.jsonl")[1])
    assert read_jsonl(here).events == read_jsonl(tmp_path / "clip" / "events.jsonl").events
    result = viewer.json("GET", f"/jobs/{job}")
    found = [e["apex"] for e in result["events"] if e["status"] == "confirmed"]
    assert found == pytest.approx(APEXES, abs=1 / 30)
    assert result["step"] == pytest.approx(1 / 30, rel=0.01)
    assert result["labels"]
    assert result["events"][0]["words"].startswith("micro: ")


def test_a_report_can_do_nothing_on_this_server(app: Served, analyzed: tuple[Viewer, str]) -> None:
    viewer, job = analyzed
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=30)
    connection.request("GET", f"/jobs/{job}/files/report.html", headers={"Cookie": viewer.cookie})
    answer = connection.getresponse()
    assert b"<article" in answer.read()
    policies = answer.headers.get_all("Content-Security-Policy")
    connection.close()
    assert "sandbox allow-scripts allow-popups" in policies
    evil = zipped({"events.jsonl": viewer.ask("GET", f"/jobs/{job}/files/events.jsonl")[1], "report.html": b"<script>"})
    other = viewer.upload("evil.zip", evil)
    viewer.done(other)
    assert viewer.ask("GET", f"/jobs/{other}/files/report.html")[1] != b"<script>"
    viewer.json("DELETE", f"/jobs/{other}")


def test_two_pieces_at_once_do_not_mix(app: Served) -> None:
    viewer = Viewer(app)
    viewer.ask("GET", "/")
    job = viewer.json("POST", "/jobs", {"name": "a.mp4", "size": 8_000_000})["id"]
    pieces = [bytes([n]) * 4_000_000 for n in (1, 2)]
    threads = [threading.Thread(target=viewer.ask, args=("PUT", f"/jobs/{job}/upload?at=0", p)) for p in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = next(j for j in app.jobs if j.id == job).upload.read_bytes()
    assert content in pieces or content == pieces[0][: len(content)] or content == pieces[1][: len(content)]
    viewer.json("DELETE", f"/jobs/{job}")


def test_files_that_are_not_results_are_not_handed_out(analyzed: tuple[Viewer, str]) -> None:
    viewer, job = analyzed
    for name in (".lock", "..", "../" * 6 + "etc/passwd", "%2e%2e/%2e%2e/x", "upload.txt", "stills", ""):
        assert viewer.ask("GET", f"/jobs/{job}/files/{name}")[0] in (404, 405), name


def test_everything_can_be_taken_away_and_opened_again_with_its_reviews(analyzed: tuple[Viewer, str]) -> None:
    viewer, job = analyzed
    event = viewer.json("GET", f"/jobs/{job}")["events"][0]["key"]
    viewer.json("POST", f"/jobs/{job}/reviews/anna", {"event": event, "verdict": "rejected", "comment": "a twitch"})
    archive = viewer.ask("GET", f"/jobs/{job}/everything.zip")[1]
    names = zipfile.ZipFile(io.BytesIO(archive)).namelist()
    assert {"clip/events.jsonl", "clip/signals.csv", "clip/review-anna.jsonl", "clip/report.html"} <= set(names)
    assert not [n for n in names if "upload" in n]
    again = viewer.upload("clip.zip", archive)
    assert viewer.done(again)["state"] == "done"
    result = viewer.json("GET", f"/jobs/{again}?coder=anna")
    assert result["review"]["events"][event]["comment"] == "a twitch"
    assert result["events"] == [{**e} for e in viewer.json("GET", f"/jobs/{job}")["events"]]
    assert result["clips"] is False  # the video was not in it
    status, told = viewer.ask("GET", f"/jobs/{again}/clip?event={event}")
    assert (status, b"no video" in told) == (400, True)
    viewer.json("DELETE", f"/jobs/{again}")


def test_a_log_of_the_command_line_is_opened_too(analyzed: tuple[Viewer, str]) -> None:
    viewer, job = analyzed
    log = viewer.ask("GET", f"/jobs/{job}/files/events.jsonl")[1]
    opened = viewer.upload("events.jsonl", log)
    assert viewer.done(opened)["found"] == 2
    broken = viewer.upload("events.jsonl", b'{"type": "x"}\n' * 100)
    told = viewer.done(broken)
    assert told["state"] == "failed"
    assert "not an event log" in told["error"]
    for each in (opened, broken):
        viewer.json("DELETE", f"/jobs/{each}")


def test_a_clip_is_slow_and_begins_where_it_says(analyzed: tuple[Viewer, str], tmp_path: Path) -> None:
    from realtime_mer.sources import open_source

    viewer, job = analyzed
    event = viewer.json("GET", f"/jobs/{job}")["events"][0]
    (path := tmp_path / "clip.mp4").write_bytes(viewer.ask("GET", f"/jobs/{job}/clip?event={event['key']}&slow=8")[1])
    with open_source(path) as source:
        times = [frame.time for frame in source]
    lasts = 8 * (event["offset"] - event["onset"] + 1.0)
    assert times[-1] == pytest.approx(lasts, abs=8 * 2 / 30)
    for asked in (
        "event=9-9&start=2&end=1",
        "start=0&end=5",
        "start=nan&end=1",
        "event=1-1&magnify=99",
        "start=x&end=1",
    ):
        assert viewer.ask("GET", f"/jobs/{job}/clip?{asked}")[0] == 400, asked


@pytest.mark.parametrize("format", ["csv", "elan", "webvtt", "bids", "boris", "megc", "openface", "report"])
def test_every_format_can_be_exported(analyzed: tuple[Viewer, str], format: str) -> None:
    viewer, job = analyzed
    status, content = viewer.ask("GET", f"/jobs/{job}/export/{format}")
    assert status == 200
    assert len(content) > 50


def test_a_blind_coder_sees_nobody_elses_events(analyzed: tuple[Viewer, str]) -> None:
    viewer, job = analyzed
    viewer.json("GET", f"/jobs/{job}/reviews/ben?blind=yes")
    seen = viewer.json("GET", f"/jobs/{job}?coder=ben")
    assert seen["events"] == []
    assert seen["review"]["blind"] is True
    told = viewer.json(
        "POST", f"/jobs/{job}/reviews/ben", {"event": "new", "onset": 2.5, "offset": 2.8, "verdict": "accepted"}
    )
    assert told["event"] == "new-1"
    report = viewer.ask("GET", f"/jobs/{job}/export/report?coder=ben")[1].decode()
    assert "Agreement of machine and ben" in report
    found = viewer.json("GET", f"/jobs/{job}/agreement?a=machine&b=ben")
    assert (found["in_a"], found["in_b"], found["pairs"]) == (2, 1, 1)
    assert viewer.json("POST", f"/jobs/{job}/reviews/ben/undo")["events"] == {}


def test_a_coding_of_another_tool_is_put_beside(analyzed: tuple[Viewer, str]) -> None:
    viewer, job = analyzed
    made = viewer.ask("PUT", f"/jobs/{job}/codings/coder2.csv", b"onset,offset,label\n2.5,2.8,surprise\n")
    assert json.loads(made[1]) == {"name": "coding-coder2.csv", "events": 1}
    assert viewer.json("GET", f"/jobs/{job}")["codings"] == ["coding-coder2.csv"]
    assert viewer.json("GET", f"/jobs/{job}/agreement?a=machine&b=coding-coder2.csv")["pairs"] == 1
    status, told = viewer.ask("PUT", f"/jobs/{job}/codings/bad.csv", b"begin,end\n1,2\n")
    assert status == 400
    assert told.decode().startswith("bad.csv is not a coding")
    assert viewer.json("GET", f"/jobs/{job}")["codings"] == ["coding-coder2.csv"]


def test_in_privacy_mode_no_picture_stays(app: Served, clip: Path) -> None:
    viewer = Viewer(app)
    viewer.ask("GET", "/")
    job = viewer.upload("clip.mp4", clip.read_bytes(), private=True)
    assert viewer.done(job)["state"] == "done"
    folder = next(j.folder for j in app.jobs if j.id == job)
    assert not [p for p in folder.rglob("*") if p.suffix in (".mp4", ".jpg")]
    assert viewer.json("GET", f"/jobs/{job}")["player"] is None
    viewer.json("DELETE", f"/jobs/{job}")
    assert not folder.exists()
