"""Many recordings: which are meant, the engine in processes and on Ray, equal results, kills, Ctrl-C, shards."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from batch_tools import counting, dying
from cli_media import COMMAND, start

from realtime_mer.batch.engine import TRIES, Done, in_processes, in_turn
from realtime_mer.batch.listing import find, share
from realtime_mer.cli import main
from realtime_mer.errors import ConfigError, MerError
from realtime_mer.progress import Countdown, clock
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.synth import write_video

PLAIN = ("--no-video", "--model", "none")
ROOT = Path(__file__).resolve().parents[1]


# --- which recordings --------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Three people's recordings, results of an earlier run among them, and what is no recording."""
    for name in ("sub-01/rest.mp4", "sub-01/task.MP4", "sub-02/rest.mp4", "sub-02/rest.avi", ".hidden/x.mp4"):
        (tmp_path / "study" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "study" / name).write_bytes(b"")
    (tmp_path / "study" / "notes.txt").write_text("nothing")
    old = tmp_path / "study" / "results" / "rest"
    (old / "clips").mkdir(parents=True)
    for name in ("events.jsonl", "annotated.mp4", "clips/event-1-1.mp4"):
        (old / name).write_bytes(b"")
    return tmp_path / "study"


def names(words: list[str], out: Path) -> dict[str, str]:
    return {str(Path(i.path).name): str(i.folder.relative_to(out)) for i in find(words, out)}


def test_a_folder_is_all_its_videos_each_in_its_place(study: Path, tmp_path: Path) -> None:
    items = find([str(study)], tmp_path / "out")
    places = {str(Path(i.path).relative_to(study)): str(i.folder.relative_to(tmp_path / "out")) for i in items}
    assert places == {
        "sub-01/rest.mp4": "sub-01/rest",
        "sub-01/task.MP4": "sub-01/task",
        "sub-02/rest.avi": "sub-02/rest.avi",
        "sub-02/rest.mp4": "sub-02/rest.mp4",
    }
    assert len(find([str(study)], study / "sub-01")) == 2  # what lies below the results is none


def test_a_pattern_and_a_list(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = find([str(study / "sub-*" / "rest.mp4")], out)
    assert [i.folder.name for i in found] == ["sub-01-rest.mp4", "sub-02-rest.mp4"]
    with pytest.raises(ConfigError, match="no video matches"):
        find([str(study / "*.mov")], out)
    table = study / "list.csv"
    table.write_text("Path,name,rate\nsub-01/rest.mp4,p01/a,\n# left out\nsub-02/rest.mp4,p02/a,120\n")
    items = find([str(table)], out, 60.0)
    assert [(str(i.folder.relative_to(out)), i.rate) for i in items] == [("p01/a", 60.0), ("p02/a", 120.0)]
    assert items[0].path == str(study / "sub-01/rest.mp4")
    plain = study / "list.txt"
    plain.write_text("sub-01/rest.mp4\nsub-01/task.MP4\n")
    assert names([str(plain)], out) == {"rest.mp4": "rest", "task.MP4": "task"}
    for content, told in (
        ("path,rate\na.mp4,fast\n", "recording 1: 'fast' is not a rate"),
        ("path,name\na.mp4,../../x\n", "outside the results folder"),
        ("path,name\na.mp4,x\nb.mp4,x\n", "two recordings would be written to"),
        ("path\n", "lists no recording"),
        ("path,name\n,x\n", "the path is missing"),
    ):
        table.write_text(content)
        with pytest.raises(ConfigError, match=told):
            find([str(table)], out)


def test_folders_of_images_below_a_folder(tmp_path: Path) -> None:
    for name in ("s1/a", "s1/b", "s2/a"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "img1.png").write_bytes(b"")
    found = [str(i.folder.relative_to(tmp_path / "out")) for i in find([str(tmp_path / "data")], tmp_path / "out")]
    assert found == ["s1/a", "s1/b", "s2/a"]
    assert len(find([str(tmp_path / "data" / "s1" / "a")], tmp_path / "out")) == 1


def test_shards_share_out_everything_once(study: Path, tmp_path: Path) -> None:
    items = find([str(study)], tmp_path / "out")
    parts = [share(items, part, 3) for part in (1, 2, 3)]
    assert sorted(i.path for part in parts for i in part) == sorted(i.path for i in items)
    assert [len(part) for part in parts] == [2, 1, 1]


# --- the engine --------------------------------------------------------------------------------------------------


def outcomes(results: list[Done[str, str]]) -> dict[str, str]:
    return {done.task: done.value or done.error for done in results}


def test_one_process_and_several_give_the_same(tmp_path: Path) -> None:
    tasks = ["a", "b", "fail x", "c", "gone", "d"]
    alone = outcomes(list(in_turn(partial(counting, tmp_path), tasks)))
    together = outcomes(list(in_processes(partial(counting, tmp_path), tasks, 3)))
    assert alone == together
    assert alone["a"] == "A"
    assert alone["fail x"] == "fail x is no good"
    assert alone["gone"] == "gone: No such file or directory"


def test_a_killed_worker_costs_nothing_but_time(tmp_path: Path) -> None:
    tasks = ["kill once", *(f"slow {n}" for n in range(6)), "kill"]
    found = list(in_processes(partial(counting, tmp_path), tasks, 2))
    assert len(found) == len(tasks)
    told = outcomes(found)
    assert told["kill once"] == "KILL ONCE"
    assert all(told[f"slow {n}"] == f"SLOW {n}" for n in range(6))
    assert told["kill"].startswith(f"kill: signal 9 ended its process {TRIES} times")
    assert len(list(tmp_path.glob("kill-*"))) == TRIES


def test_tools_that_cannot_be_opened_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MerError, match="there is no such model"):
        list(in_processes(partial(counting, tmp_path, open_error=True), ["a"], 2))
    with pytest.raises(MerError, match="exit code 3 ended 3 processes before they could start"):
        list(in_processes(dying, ["a", "b"], 2))


def test_workers_close_their_tools(tmp_path: Path) -> None:
    list(in_processes(partial(counting, tmp_path), ["a", "b", "c"], 2))
    workers = {path.read_text() for path in tmp_path.glob("[abc]-*")}
    assert {path.name.partition("-")[2] for path in tmp_path.glob("closed-*")} >= workers


def test_the_time_left_is_told() -> None:
    progress = Countdown(4)
    progress._began -= 100.0
    assert progress.step() == "1 of 4, about 5:00 left"
    assert progress.step(worked=False) == "2 of 4, about 3:20 left"  # what was done before took no time


# --- recordings --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, recording) -> Path:
    """Four recordings with a face: two short, two with movements; and one that is broken."""
    folder = tmp_path_factory.mktemp("clips")
    write_video(recording.frames[:150], folder / "a.mp4")
    write_video(recording.frames[150:480], folder / "b.mp4")
    write_video(recording.frames[:450], folder / "c.mp4")
    shutil.copy(folder / "a.mp4", folder / "d.mp4")
    (folder / "e.mp4").write_text("this is no video")
    return folder


def log_of(folder: Path) -> list[object]:
    """A log without what tells one run from another."""
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    lines[0].pop("created")
    lines[0]["source"]["details"] = {k: v for k, v in lines[0]["source"]["details"].items() if k == "content"}
    return lines


def table(out: Path, name: str = "batch") -> dict[str, dict[str, str]]:
    with (out / f"{name}.tsv").open(encoding="utf-8") as file:
        return {Path(row["path"]).name: row for row in csv.DictReader(file, delimiter="\t")}


def test_results_are_equal_whatever_computes_them(
    clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With one process, four processes, and a Ray cluster of two nodes."""
    outs = [tmp_path / name for name in ("one", "four", "ray")]
    assert main(["analyze", str(clips), "--out", str(outs[0]), *PLAIN]) == 3
    assert main(["analyze", str(clips), "--out", str(outs[1]), "--jobs", "4", *PLAIN]) == 3
    said = capfd.readouterr().err
    assert "5 of 5" in said
    assert "5 recordings: 4 analyzed, 0 done before, 1 failed" in said
    code = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "ray_cluster.py"), "analyze", str(clips), "--out", str(outs[2]), *PLAIN],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert code.returncode == 3, code.stderr
    assert "2 nodes" in code.stdout
    for name in "abcd":
        assert log_of(outs[0] / name) == log_of(outs[1] / name) == log_of(outs[2] / name)
        csvs = [(out / name / "signals.csv").read_bytes() for out in outs]
        assert csvs[0] == csvs[1] == csvs[2]
    assert len(read_jsonl(outs[0] / "c" / "events.jsonl").events) >= 1
    for out in outs:
        rows = table(out)
        assert {name: row["status"] for name, row in rows.items()} == {
            **dict.fromkeys(("a.mp4", "b.mp4", "c.mp4", "d.mp4"), "analyzed"), "e.mp4": "failed",
        }  # fmt: skip
        assert float(rows["c.mp4"]["processor_seconds"]) > 0
        assert "e.mp4" in rows["e.mp4"]["error"]


def test_it_goes_on_where_it_was_stopped(clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(clips / "a.mp4"), "--out", str(tmp_path), *PLAIN]) == 0
    before = (tmp_path / "a" / "events.jsonl").read_bytes()
    assert main(["analyze", str(clips), "--out", str(tmp_path), "--jobs", "2", *PLAIN]) == 3
    assert (tmp_path / "a" / "events.jsonl").read_bytes() == before
    assert table(tmp_path)["a.mp4"]["status"] == "done before"
    assert "already analyzed" in capfd.readouterr().err


def test_ctrl_c_ends_all_in_order_and_the_same_command_goes_on(clips: Path, tmp_path: Path) -> None:
    for name in "fghijklm":
        shutil.copy(clips / "c.mp4", tmp_path / f"{name}.mp4")
    line = ("analyze", tmp_path, "--out", tmp_path / "out", "--jobs", "2", *PLAIN)
    with start(*line) as process:
        end = time.monotonic() + 60
        while len(list((tmp_path / "out").glob("*/signals.csv"))) < 3 and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    logs = list((tmp_path / "out").glob("*/events.jsonl"))
    done = [log for log in logs if (total := read_jsonl(log).summary) is not None and not total.stopped]
    assert 1 <= len(done) < 8
    assert not list((tmp_path / "out").glob("*/.lock"))
    kept = {log: log.read_bytes() for log in done}
    assert main([str(word) for word in line]) == 0
    assert all(log.read_bytes() == content for log, content in kept.items())
    assert sum(row["status"] == "analyzed" for row in table(tmp_path / "out").values()) == 8 - len(done)


def test_the_slurm_array_of_the_docs_does_every_recording_once(clips: Path, tmp_path: Path) -> None:
    script = re.search(r"```sh\n(#!/bin/bash\n#SBATCH.*?)```", (ROOT / "docs" / "cluster.md").read_text(), re.DOTALL)
    assert script is not None
    job = script[1].replace("realtime-mer", " ".join(COMMAND)).replace("/data/study", str(clips))
    job = job.replace("/data/results", str(tmp_path)).replace("--formats bids", "--no-video --model none")
    (tmp_path / "job.sh").write_text(job)
    for number in (1, 2, 3, 4):
        run = subprocess.run(
            ["bash", str(tmp_path / "job.sh")],
            env={**os.environ, "SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": "4",
                 "SLURM_CPUS_PER_TASK": "1"},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert run.returncode in (0, 3), run.stderr
    assert {p.parent.name for p in tmp_path.glob("*/events.jsonl")} == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--shard", "3/2"], "must be I/N"),
        (["--ray", "127.0.0.1:1"], "no Ray cluster at 127.0.0.1:1"),
    ],
)
def test_mistakes_are_told(options: list[str], told: str, clips: Path, tmp_path: Path) -> None:
    line = [*COMMAND, "analyze", str(clips), "--out", str(tmp_path), *PLAIN, *options]
    run = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
    assert told in run.stderr
    assert "Traceback" not in run.stderr


def test_a_clock_reads_like_one() -> None:
    assert [clock(s) for s in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]
