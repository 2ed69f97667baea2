"""Reviews: a coder's file beside the log, the log as corrected, codings of other tools, and agreement."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime_mer import cli
from realtime_mer.config import Config
from realtime_mer.errors import ConfigError, SourceError
from realtime_mer.records import Event, Kind, Movement, Prediction, SourceInfo, Status
from realtime_mer.review import decisions
from realtime_mer.review.agreement import Agreement, agree, cohen_kappa, icc
from realtime_mer.review.apply import coded, reviewed
from realtime_mer.review.codings import Coding, Mark, read_coding
from realtime_mer.review.decisions import Decision
from realtime_mer.sinks.convert import convert
from realtime_mer.sinks.event_json import to_json
from realtime_mer.sinks.jsonl import header, read_jsonl

INFO = SourceInfo("clip.mp4", "file", False, (640, 480), 100.0, "container", 500, 5.0)


def event(number: int, onset: float, kind: Kind = Kind.MICRO, label: str = "negative") -> Event:
    movement = Movement(number, onset, onset + 0.1, onset + 0.3, 1.5, kind, "" if kind is Kind.MICRO else "too long")
    frame = round(100 * onset)
    told = Prediction(label, {label: 0.8, "other": 0.2}) if kind is Kind.MICRO else None
    return Event(1, movement, frame, frame + 10, frame + 30, told, (), 100.0, 0.01, 0, "m", "CPU", onset + 0.5)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three micro-expressions at 1, 2 and 3 s and a rejected movement at 4 s."""
    from dataclasses import asdict

    path = tmp_path / "events.jsonl"
    found = [event(1, 1.0), event(2, 2.0), event(3, 3.0), event(4, 4.0, Kind.MACRO)]
    lines = [{"type": "header", **asdict(header(INFO, asdict(Config()), "m", "CPU"))}, *map(to_json, found)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def decide(log: Path, *steps: Decision, coder: str = "anna", blind: bool = False) -> Path:
    path = decisions.begin(log, coder, blind=blind)
    for step in steps:
        decisions.decide(path, step)
    return path


def test_a_review_is_a_file_beside_the_log_and_the_log_stays_as_it_is(log: Path) -> None:
    before = log.read_bytes()
    path = decide(log, Decision("1-1", "accepted"), Decision("1-2", "rejected", comment="a blink"))
    assert path.name == "review-anna.jsonl"
    assert decisions.reviews_beside(log) == [path]
    assert log.read_bytes() == before
    assert path.stat().st_mode & 0o077 == 0
    said = decisions.read_review(path).now()
    assert said["1-1"].verdict == "accepted"
    assert said["1-2"].comment == "a blink"


def test_the_corrected_log_has_the_coders_verdicts_times_and_labels(log: Path) -> None:
    decide(
        log,
        Decision("1-1", "accepted", onset=1.02, apex=1.15, label="positive"),
        Decision("1-2", "rejected", comment="a blink"),
        Decision("1-4", "accepted"),
        Decision("new-1", "accepted", onset=0.2, apex=0.25, offset=0.4, label="", face=1),
    )
    events = {e.movement.id: e for e in reviewed(log, "anna").events}
    first = events[1]
    assert (first.movement.onset, first.movement.apex, first.movement.offset) == (1.02, 1.15, 1.3)
    assert (first.onset_frame, first.apex_frame, first.offset_frame) == (102, 115, 130)
    assert first.prediction == Prediction("positive", {"positive": 1.0})
    assert first.model == "coder anna"
    assert events[2].status is Status.REJECTED
    assert events[2].movement.kind is Kind.DISMISSED
    assert "a blink" in events[2].movement.reason
    assert events[3] == event(3, 3.0)  # not touched
    assert events[4].status is Status.CONFIRMED
    added = events[10**6 + 1]
    assert (added.movement.onset, added.onset_frame, added.prediction) == (0.2, 20, None)
    only = coded(read_jsonl(log), decisions.read_review(log.with_name("review-anna.jsonl")))
    assert sorted(e.movement.id for e in only.events) == [1, 4, 10**6 + 1]


def test_undo_takes_back_the_latest_decision_that_holds_and_loses_no_line(log: Path) -> None:
    path = decide(log, Decision("1-1", "accepted"), Decision("1-1", "rejected"), Decision("1-2", "accepted"))
    assert set(decisions.undo(path).now()) == {"1-1"}
    assert decisions.undo(path).now()["1-1"].verdict == "accepted"
    assert decisions.decide(path, Decision("1-3", "rejected")).now().keys() == {"1-1", "1-3"}
    assert decisions.undo(path).now().keys() == {"1-1"}
    assert decisions.undo(path).now() == {}
    assert decisions.undo(path).now() == {}  # nothing is left to take back
    kinds = [json.loads(line)["type"] for line in path.read_text().splitlines()]
    assert kinds.count("decision") == 4
    assert kinds.count("undo") == 4


def test_a_line_that_a_killed_process_left_unfinished_does_no_harm(log: Path) -> None:
    path = decide(log, Decision("1-1", "accepted"))
    path.write_bytes(path.read_bytes() + b'{"type": "decision", "event": "1-')
    assert decisions.read_review(path).now().keys() == {"1-1"}
    decisions.decide(path, Decision("1-2", "rejected"))
    assert decisions.read_review(path).now().keys() == {"1-1", "1-2"}


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Decision("1-1", apex=0.5, onset=0.9), "follow each other"),
        (Decision("new-1", "accepted", onset=1.0), "an onset and an offset"),
        (Decision("../x", "accepted"), "TRACK-ID"),
        (Decision("1-1", comment="x" * 1001), "at most 1000"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused_and_not_kept(log: Path, step: Decision, words: str) -> None:
    path = decide(log)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=words):
        decisions.decide(path, step)
    assert path.read_bytes() == before


@pytest.mark.parametrize("coder", ["", "../anna", "a/b", "anna b", "-a", "a" * 41, "ann\n"])
def test_a_coders_name_cannot_be_a_path(log: Path, coder: str) -> None:
    with pytest.raises(ConfigError, match="a coder's name"):
        decisions.begin(log, coder)


@pytest.mark.parametrize("content", ["", "{}\n", '{"type": "header"}\n', "\xff\n", '{"type": "review", "format": 9}\n'])
def test_a_file_that_is_no_review_is_named(log: Path, content: str) -> None:
    path = log.with_name("review-x.jsonl")
    path.write_text(content, encoding="latin-1")
    with pytest.raises(SourceError, match=r"review-x\.jsonl"):
        decisions.read_review(path)


# --- exports, report and training take a review on request ------------------------------------------------------------


def test_convert_and_report_take_the_review_on_request(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decide(log, Decision("1-1", "accepted", label="positive"), Decision("1-2", "rejected"), Decision("1-3", "rejected"))
    plain, corrected = log.with_name("plain.csv"), log.with_name("corrected.csv")
    assert cli.main(["convert", str(log), "--to", "csv", "--out", str(plain)]) == 0
    assert cli.main(["convert", str(log), "--to", "csv", "--out", str(corrected), "--review", "anna"]) == 0
    assert plain.read_text().count(",confirmed,") == 3
    assert corrected.read_text().count(",confirmed,") == 1
    assert "coder anna" in corrected.read_text()
    other = str(log.with_name("review-anna.jsonl"))
    assert cli.main(["report", str(log), "--review", "anna", "--agree", str(log), other]) == 0
    page = log.with_name("report.html").read_text()
    assert page.count('<article class="event"') == 1
    assert "Agreement of machine and anna" in page
    assert cli.main(["convert", str(log), "--to", "csv", "--review", "bob"]) == SourceError.exit_code
    assert "there is no review review-bob.jsonl" in capsys.readouterr().err


def test_a_review_becomes_rows_of_a_training_table(log: Path, tmp_path: Path) -> None:
    from train.cli import main

    (tmp_path / "clip.mp4").write_bytes(b"")  # the rows only name it
    review = decide(log, Decision("1-1", "accepted", onset=1.02, label="positive"), Decision("1-2", "rejected"))
    assert main(["init", str(tmp_path / "own"), "--from", str(review)]) == 0
    rows = (tmp_path / "own" / "clips.csv").read_text().splitlines()
    assert len(rows) == 2  # the third was not reviewed
    assert "1.0200" in rows[1]
    assert "positive" in rows[1]


# --- codings of other tools -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "suffix"), [("elan", ".eaf"), ("csv", ".csv"), ("boris", ".tsv"), ("bids", ".tsv")])
def test_each_export_reads_back_as_the_same_coding(log: Path, format: str, suffix: str) -> None:
    own = read_coding(log)
    back = read_coding(convert(log, format, log.with_name(f"coding{suffix}")))
    assert own.name == "machine"
    assert back.name == "coding"
    assert len(back.marks) == 3
    for a, b in zip(own.marks, back.marks, strict=True):
        assert (b.onset, b.apex, b.offset) == pytest.approx((a.onset, a.apex, a.offset), abs=0.001)
        assert b.label == a.label


def test_documents_of_other_people_are_read(tmp_path: Path) -> None:
    elan = tmp_path / "coder.eaf"
    elan.write_text(
        "<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID='a' TIME_VALUE='1000'/>"
        "<TIME_SLOT TIME_SLOT_ID='b' TIME_VALUE='1200'/><TIME_SLOT TIME_SLOT_ID='c' TIME_VALUE='1100'/>"
        "<TIME_SLOT TIME_SLOT_ID='d'/></TIME_ORDER>"
        "<TIER TIER_ID='ME'><ANNOTATION><ALIGNABLE_ANNOTATION TIME_SLOT_REF1='a' TIME_SLOT_REF2='b'>"
        "<ANNOTATION_VALUE>disgust (clear)</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>"
        "<TIER TIER_ID='ME apex'><ANNOTATION><ALIGNABLE_ANNOTATION TIME_SLOT_REF1='c' TIME_SLOT_REF2='b'/>"
        "</ANNOTATION></TIER></ANNOTATION_DOCUMENT>"
    )
    assert read_coding(elan).marks == (Mark(1.0, 1.2, 1.1, "disgust (clear)"),)
    assert read_coding(elan, "ME apex").marks == (Mark(1.1, 1.2, 1.1, ""),)
    with pytest.raises(SourceError, match="no tier 'x'; its tiers are ME, ME apex"):
        read_coding(elan, "x")
    table = tmp_path / "coder.csv"
    table.write_text("﻿Onset;Offset;Apex;Emotion\n2.0;2.3;;fear\n1;1.2;1.1;\n", encoding="utf-8")
    assert read_coding(table).marks == (Mark(1.0, 1.2, 1.1, ""), Mark(2.0, 2.3, None, "fear"))
    boris = tmp_path / "aggregated.tsv"
    boris.write_text("Subject\tBehavior\tStart (s)\tStop (s)\nA\tsmile\t1.5\t1.75\n")
    assert read_coding(boris).marks == (Mark(1.5, 1.75, None, "smile"),)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.eaf", "<x/>"),
        ("a.eaf", "<ANNOTATION_DOCUMENT>"),
        ("a.csv", "onset,offset\n2,1\n"),
        ("a.csv", "onset,offset\nnan,1\n"),
        ("a.csv", "onset,offset\nx,1\n"),
        ("a.csv", "begin,end\n1,2\n"),
        ("a.csv", ""),
        ("a.tsv", "onset\toffset\n-1\t2\n"),
    ],
)
def test_what_is_no_coding_gives_one_line(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=f"{name}.* is not a coding") as raised:
        read_coding(tmp_path / name)
    assert "\n" not in str(raised.value)


# --- agreement --------------------------------------------------------------------------------------------------------


def test_the_icc_is_that_of_shrout_and_fleiss() -> None:
    """Table 2 and 4 of Shrout & Fleiss (1979): four judges, six targets, ICC(2,1) = 0.29."""
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    assert icc(ratings) == pytest.approx(0.29, abs=0.005)
    assert icc(np.array([[1.0, 1.0]])) is None
    assert icc(np.full((3, 2), 2.0)) is None
    assert icc(np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]]) + 1e6) == pytest.approx(1.0)


def test_kappa_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    random = np.random.default_rng(5)
    for _ in range(20):
        a = [str(v) for v in random.integers(0, 3, 30)]
        b = [x if random.random() < 0.6 else str(random.integers(0, 3)) for x in a]
        assert cohen_kappa(a, b) == pytest.approx(cohen_kappa_score(a, b))
    assert cohen_kappa([], []) is None
    assert cohen_kappa(["x", "x"], ["x", "x"]) is None


def test_two_codings_are_compared_in_what_they_found_called_and_timed() -> None:
    a = Coding("a", tuple(Mark(t, t + 0.4, t + 0.2, label) for t, label in ((1, "x"), (2, "y"), (3, "x"), (5, "x"))))
    b = Coding(
        "b",
        (Mark(1.02, 1.42, 1.3, "x"), Mark(2.0, 2.4, 2.2, "x"), Mark(3.0, 3.4, None, "x"), Mark(8.0, 8.4, None, "y")),
    )
    found = agree(a, b, duration=10.0)
    assert (found.in_a, found.in_b, found.pairs, found.f1) == (4, 4, 3, 0.75)
    assert found.labeled == 3
    assert found.kappa == pytest.approx(0.0)
    assert found.by_class.keys() == {"x", "y"}
    assert found.times["onset"].n == 3
    assert found.times["onset"].mean_s == pytest.approx(0.02 / 3)
    assert found.times["onset"].within == 1.0
    assert found.times["apex"].n == 2
    assert found.times["apex"].within == 0.5
    assert found.times["duration"].icc is None or math.isfinite(found.times["duration"].icc)
    # 1000 units of 10 ms: 160 in each, 118 of them in both
    assert found.presence_kappa == pytest.approx((0.916 - (0.16**2 + 0.84**2)) / (1 - (0.16**2 + 0.84**2)), abs=1e-6)
    same = agree(a, replace(a, name="c"))
    assert (same.f1, same.kappa, same.presence_kappa) == (1.0, 1.0, 1.0)
    nothing = agree(Coding("a", ()), Coding("b", ()))
    assert (nothing.f1, nothing.kappa, nothing.presence_kappa, nothing.times) == (None, None, None, {})
    assert isinstance(nothing, Agreement)


def test_agree_compares_a_coder_with_the_machine_and_a_blind_one_with_the_first(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = decide(log, Decision("1-1", "accepted"), Decision("1-2", "rejected"), Decision("1-3", "accepted"))
    second = decide(log, Decision("new-1", "accepted", onset=1.0, offset=1.3), coder="ben", blind=True)
    assert cli.main(["agree", str(log), str(first)]) == 0
    said = capsys.readouterr().out
    assert "A = machine: 3 events    B = anna: 2 events" in said
    assert "F1 0.80" in said
    assert cli.main(["agree", str(first), str(second), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["a"], figures["b"], figures["pairs"]) == ("anna", "ben", 1)
    assert figures["f1"] == pytest.approx(2 / 3)
