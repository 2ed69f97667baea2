"""A study: who is who, what is left out, Parquet read by DuckDB, BIDS names, the page."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import duckdb
import pytest
from made_observations import INFO, event, play
from scipy.stats import chi2

from realtime_mer.cli import main
from realtime_mer.records import Kind
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines, header
from realtime_mer.study.rates import poisson_interval
from realtime_mer.study.results import Participants, read_participants, read_study

ROOT = Path(__file__).parents[1]
FRAMES = 1500  # 15 s of recording, of which the face is measured in all but the first frames


def analyzed(folder: Path, *, whole: bool = True, frames: int = FRAMES, more: int = 0) -> None:
    """Results of a made-up recording: a micro-expression, a blink, and ``more`` micro-expressions at the end."""
    folder.mkdir(parents=True)
    log = JsonLines(folder / "events.jsonl", header(INFO, {}))
    play(log, SignalsCsv(folder / "signals.csv"), frames=frames, last=tuple(event(3 + i, 3.0 + i) for i in range(more)))
    if not whole:
        lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
        (folder / "events.jsonl").write_text("".join(lines[:-1]))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two people with two recordings each; one was interrupted, one is short, and one has failed."""
    folder = tmp_path / "results"
    analyzed(folder / "sub-01" / "task-rest")
    analyzed(folder / "sub-01" / "task-talk", more=2)
    analyzed(folder / "sub-02" / "task-rest")
    analyzed(folder / "sub-02" / "task-talk", whole=False)
    analyzed(folder / "sub-02" / "task-short", frames=300)
    (folder / "batch.tsv").write_text(
        "path\tresults\tstatus\tevents\tseconds\tprocessor_seconds\terror\n"
        f"v/a.mp4\t{folder / 'sub-01' / 'task-rest'}\tanalyzed\t1\t1.0\t1.0\t\n"
        f"v/b.mp4\t{folder / 'sub-02' / 'task-gone'}\tfailed\t\t1.0\t1.0\tv/b.mp4 is empty\n"
    )
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def participants(folder: Path) -> Path:
    (folder / "participants.tsv").write_text("participant_id\tgroup\nsub-01\tcontrol\nsub-02\tpatient\n")
    return folder / "participants.tsv"


def collected(results: Path, out: Path, *more: str) -> Path:
    assert main(["collect", str(results), "--out", str(out), *more]) == 0
    return out


def test_what_is_left_out_says_why(results: Path) -> None:
    why = {entry.name: entry.excluded for entry in read_study(results, Participants())}
    assert why == {
        "sub-01/task-rest": "",
        "sub-01/task-talk": "",
        "sub-02/task-rest": "",
        "sub-02/task-short": why["sub-02/task-short"],
        "sub-02/task-talk": "interrupted: analyze it again",
        "sub-02/task-gone": "failed: v/b.mp4 is empty",
    }
    assert re.fullmatch(r"a face was watched for only \d\.\d s, less than 10 s", why["sub-02/task-short"])
    shorter = {entry.name: entry.excluded for entry in read_study(results, Participants(), least_s=0.0)}
    assert shorter["sub-02/task-short"] == ""


def test_the_questions_of_the_docs_are_answered(results: Path, tmp_path: Path, monkeypatch) -> None:
    collected(results, tmp_path / "dataset", "--participants", str(participants(tmp_path)))
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    rates, regions, levels = (duckdb.sql(sql).fetchall() for sql in re.findall(r"```sql\n(.*?)```", page, re.S))
    rows = {row["recording"]: row for row in table(tmp_path / "dataset" / "recordings.tsv")}
    watched = float(rows["sub-02/task-rest"]["watched_s"])
    assert 0 < watched <= 15
    assert [(group, events) for group, events, *_ in rates] == [("control", 4), ("patient", 1)]
    assert rates[1][2:] == (pytest.approx(watched / 60, abs=0.006), pytest.approx(60 / watched, abs=0.006))
    assert regions == [("left cheek", 5), ("left lip corner", 5)]
    assert [name for name, _ in levels] == ["sub-01/task-rest", "sub-01/task-talk", "sub-02/task-rest"]
    assert all(level == pytest.approx(10.0, abs=0.01) for _, level in levels)


def test_events_keep_what_the_log_says(results: Path, tmp_path: Path) -> None:
    out = collected(results, tmp_path / "dataset", "--participants", str(participants(tmp_path)), "--no-signals")
    assert not (out / "signals").exists()
    columns = 'participant_id, recording, "group", kind, onset_s, apex_s, duration_s, apex_frame, label, probability'
    found = duckdb.sql(
        f"SELECT {columns}, probabilities['surprise'] FROM read_parquet('{out}/events/*/*.parquet', "
        "hive_partitioning = true) WHERE recording = 'sub-02/task-rest' ORDER BY onset_s"
    ).fetchall()
    assert [row[:4] for row in found] == [("02", "sub-02/task-rest", "patient", kind) for kind in ("micro", "blink")]
    assert found[0][4:] == (1.0, 1.12, pytest.approx(0.3), 112, "negative", 0.7, 0.1)
    assert found[1][8:] == (None, None, None)


def test_bids_derivatives(results: Path, tmp_path: Path) -> None:
    out = collected(results, tmp_path / "dataset")
    made = {str(path.relative_to(out)) for path in out.glob("sub-*/**/*.tsv")}
    assert made == {
        "sub-01/beh/sub-01_task-rest_events.tsv",
        "sub-01/beh/sub-01_task-talk_events.tsv",
        "sub-02/beh/sub-02_task-rest_events.tsv",
    }
    assert [row["trial_type"] for row in table(out / "sub-02/beh/sub-02_task-rest_events.tsv")] == ["micro", "blink"]
    about = json.loads((out / "dataset_description.json").read_text())
    assert (about["DatasetType"], about["GeneratedBy"][0]["Name"]) == ("derivative", "realtime-mer")
    people = {row["participant_id"]: row["recordings"] for row in table(out / "participants.tsv")}
    assert people == {"sub-01": "2", "sub-02": "1"}


def test_rows_may_be_about_recordings(results: Path, tmp_path: Path) -> None:
    (tmp_path / "who.csv").write_text(
        "participant_id,recording,task\nanna,sub-01/*rest,rest\nanna,sub-01/*,talk\nbert,sub-02/*,rest\n"
    )
    who = read_participants(tmp_path / "who.csv")
    assert who.of("sub-01/task-rest") == ("anna", {"task": "rest"})
    assert who.of("sub-01/task-talk") == ("anna", {"task": "talk"})
    assert who.of("elsewhere") == ("n/a", {"task": "n/a"})
    out = collected(results, tmp_path / "dataset", "--participants", str(tmp_path / "who.csv"))
    people = {row["participant_id"]: row["task"] for row in table(out / "participants.tsv")}
    assert people == {"sub-anna": "n/a", "sub-bert": "rest"}  # anna's recordings differ


def test_a_second_run_replaces_the_first(results: Path, tmp_path: Path) -> None:
    out = collected(results, tmp_path / "dataset")
    (results / "sub-01" / "task-rest" / "events.jsonl").unlink()
    (results / "sub-01" / "task-talk" / "events.jsonl").unlink()
    collected(results, tmp_path / "dataset")
    assert {path.parent.name for path in out.glob("*/*/*.parquet")} == {"participant_id=02"}
    assert not (out / "sub-01").exists()


def test_what_is_no_data_set_of_ours_is_left_alone(results: Path, tmp_path: Path, capsys) -> None:
    raw = tmp_path / "raw"
    (raw / "sub-01").mkdir(parents=True)
    (raw / "sub-01" / "video.mp4").write_bytes(b"precious")
    (raw / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0", "DatasetType": "raw"}')
    assert main(["collect", str(results), "--out", str(raw)]) == 6
    assert "choose another --out" in capsys.readouterr().err
    assert (raw / "sub-01" / "video.mp4").read_bytes() == b"precious"


def test_the_page_shows_rates_with_exact_intervals(results: Path, tmp_path: Path) -> None:
    out = collected(
        results, tmp_path / "dataset", "--participants", str(participants(tmp_path)), "--title", "A <b> & c"
    )
    page = (out / "summary.html").read_text(encoding="utf-8")
    assert "A &lt;b&gt; &amp; c" in page
    assert "A <b>" not in page
    kept = [entry for entry in read_study(results, Participants()) if not entry.excluded]
    minutes = sum(entry.watched_s for entry in kept) / 60
    low, high = chi2.ppf(0.025, 2 * 5) / 2 / minutes, chi2.ppf(0.975, 2 * 5 + 2) / 2 / minutes
    assert f"{5 / minutes:.2f} ({low:.2f} to {high:.2f})" in page
    for words in ("By group", "control", "patient", "failed: v/b.mp4 is empty", "interrupted: analyze it again"):
        assert words in page


@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_poisson_interval(count: int) -> None:
    low, high = poisson_interval(count, 2.0)
    expected = chi2.ppf(0.025, 2 * count) / 4 if count else 0.0
    assert low == pytest.approx(expected, abs=1e-6)
    assert high == pytest.approx(chi2.ppf(0.975, 2 * count + 2) / 4, abs=1e-6)
    assert poisson_interval(3, 0.0) == (0.0, math.inf)


def test_what_is_wrong_is_one_line(results: Path, tmp_path: Path, capsys) -> None:
    def said(*words: str) -> str:
        assert main(["collect", *words]) in (2, 7)
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "analyze ... --out" in said(str(empty), "--out", str(tmp_path / "o"))
    assert "must not be" in said(str(results), "--out", str(results))
    assert "no recordings are left" in said(str(results), "--out", str(tmp_path / "o"), "--least", "99")
    wrong = tmp_path / "who.tsv"
    wrong.write_text("name\tgroup\nx\ty\n")
    assert "participant_id" in said(str(results), "--out", str(tmp_path / "o"), "--participants", str(wrong))
    wrong.write_text("participant_id\tage group\nx\ty\n")
    assert "'age group'" in said(str(results), "--out", str(tmp_path / "o"), "--participants", str(wrong))


def test_a_condition_may_have_any_name_but_ours(results: Path, tmp_path: Path, capsys) -> None:
    table = tmp_path / "who.tsv"
    table.write_text("participant_id\tage_s\nsub-01\tyoung\nsub-02\told\n")
    out = collected(results, tmp_path / "dataset", "--participants", str(table))
    ages = duckdb.sql(f"SELECT DISTINCT age_s FROM '{out}/recordings.parquet' ORDER BY age_s").fetchall()
    assert ages == [("old",), ("young",)]
    table.write_text("participant_id\tlabel\nsub-01\tyoung\n")
    assert main(["collect", str(results), "--out", str(tmp_path / "o"), "--participants", str(table)]) == 7
    assert "column 'label'" in capsys.readouterr().err


def test_a_kind_of_rejected_movement_is_no_event(results: Path) -> None:
    entry = next(iter(read_study(results, Participants())))
    assert [e.movement.kind for e in entry.events] == [Kind.MICRO, Kind.BLINK]
    assert len(entry.confirmed) == 1
