"""What ``bench spotting`` counts, and how sure it is of it: on made-up results, no recording is watched."""

import csv
import json
import math

import numpy as np
import pytest

from realtime_mer.bench import score_file, spotting_tables
from realtime_mer.bench.intervals import Counts, difference, interval
from realtime_mer.bench.others import score_others
from realtime_mer.bench.spotting import Case, Found, Row, StreamResult, halved, in_classes, in_half, worst_tails
from realtime_mer.config import load
from realtime_mer.errors import ConfigError, DataError, SourceError
from realtime_mer.spotting.scores import Movement
from realtime_mer.study.rates import poisson_bounds

NO_MODEL = load(None, ["classify.model=none"])


def found(onset, kind="micro", label=None):
    return Found(onset, onset + 0.1, onset + 0.3, kind, "" if kind == "micro" else "too long", 1.5, label, ("chin",))


def stream(subject, hits=2, missed=1, alarms=1, minutes=0.5, number=0, kind="micro"):
    """Movements of 0.3 s, one every 2 s; the alarms lie between them."""
    name = f"{subject}#{number}"
    truth = tuple(
        Movement(name, 2.0 * n, 2.0 * n + 0.3, 2.0 * n + 0.1, "negative" if n % 2 else "positive")
        for n in range(hits + missed)
    )
    events = [found(2.0 * n + 0.02, kind, truth[n].label) for n in range(hits)]
    return StreamResult(name, subject, minutes, truth, (*events, *(found(2.0 * n + 1) for n in range(alarms))))


def row(*streams, condition="30 frames/s, H.264", tail="hold", negatives=False):
    return Row(condition, "CASME II spliced", tail, negatives, list(streams))


def test_bounds_of_a_rate_are_those_of_the_tables():
    """One-sided 95 % limits of a Poisson mean (Garwood 1936), as printed in tables of the chi-square: 0, 1, 2, 10."""
    for count, low, high in ((0, 0, 2.996), (1, 0.051, 4.744), (2, 0.355, 6.296), (10, 5.425, 16.962)):
        assert poisson_bounds(count, 1.0) == pytest.approx((low, high), abs=6e-4)
    assert poisson_bounds(0, 3.0)[1] == pytest.approx(1.0, abs=0.01)
    assert poisson_bounds(3, 0.0) == (0.0, math.inf)


@pytest.mark.parametrize("count", [0, 1, 7, 40, 400])
def test_a_bound_covers_what_it_says(count):
    low, high = poisson_bounds(count, 1.0)
    random = np.random.default_rng(count)
    assert np.mean(random.poisson(high, 40_000) <= count) == pytest.approx(0.05, abs=0.006)
    if count:
        assert np.mean(random.poisson(low, 40_000) >= count) == pytest.approx(0.05, abs=0.006)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """People differ: some are found easily. 60 made-up studies of 26 people each."""
    random = np.random.default_rng(3)
    right = 0
    for _ in range(60):
        ease = random.beta(4, 2, 26)
        hits = random.binomial(10, ease)
        ends = interval([Counts(int(h), 0, int(10 - h)) for h in hits], draws=1000)
        assert ends is not None
        recall = 4 / 6
        right += ends[0] <= 2 * recall / (1 + recall) <= ends[1]
    assert 50 <= right <= 60


def test_an_interval_needs_people_and_is_the_same_each_time():
    assert interval([Counts(3, 0, 1)]) is None
    people = [Counts(n, 1, 5 - n) for n in range(6)]
    assert interval(people) == interval(people)


def test_a_paired_difference_is_sharper_than_two_intervals():
    a = {f"s{n}": Counts(n % 9, 1, 9 - n % 9) for n in range(26)}
    b = {name: Counts(c.hits + 1, 1, c.missed) for name, c in a.items()} | {"only b": Counts(0, 99, 0)}
    found = difference(a, b)
    assert found is not None
    assert found.people == 26
    assert found.verdict == "better"
    low, high = interval(list(a.values())) or (0, 0)
    assert found.high - found.low < (high - low) / 4
    same = difference(a, a)
    assert same is not None
    assert (same.f1, same.verdict) == (0, "no difference shown")
    assert difference(a, {"s1": Counts(1, 1, 1)}) is None


def test_a_row_counts_hits_alarms_and_misses_of_each_person():
    scored = row(stream("sub01"), stream("sub02", 1, 0, 0), stream("sub01", 0, 2, 3, number=2))
    assert scored.counts() == {"sub01": Counts(2, 4, 3), "sub02": Counts(1, 0, 0)}
    assert scored.scores.hits == 3
    assert scored.minutes == 1.5
    values = scored.to_dict()
    assert values["f1_by_subject"]["sub02"] == 1
    assert values["f1_interval"][0] < values["f1"] < values["f1_interval"][1]
    assert values["onset_error"] == pytest.approx(0.02)


def test_held_expressions_are_counted_apart():
    scored = row(stream("sub01", kind="held", alarms=0), stream("sub02", kind="macro", alarms=0))
    values = scored.to_dict()
    assert (values["f1"], values["rejected"]) == (0, {"held": 2, "macro": 2})
    assert values["f1_with_held"] == pytest.approx(2 * 2 / (2 + 6))
    assert "(F1 0.50 with 2 held)" in spotting_tables.line(scored)


def test_a_second_report_of_one_movement_is_an_alarm():
    once = stream("sub01", 1, 0, 0)
    twice = StreamResult(once.name, "sub01", 1.0, once.truth, (*once.found, found(0.04)))
    assert [alarm.onset for alarm in twice.alarms()] == [0.04]


def test_the_worst_tail_is_the_result():
    rows = [row(stream("a", hits), stream("b"), tail=tail) for tail, hits in (("hold", 5), ("back", 1), ("slow", 3))]
    other = row(stream("a"), condition="200 frames/s", tail="hold")
    assert [(worst.condition, worst.tail) for worst in worst_tails([*rows, other, row(tail="")])] == [
        ("30 frames/s, H.264", "back"),
        ("200 frames/s", "hold"),
    ]
    assert "the worst tail is: back" in spotting_tables.results(rows)[0]
    (line,) = [line for line in spotting_tables.markdown(rows).splitlines() if line.startswith("| CASME")]
    assert "hold 0.78; back 0.60; slow 0.71" in line
    assert f"| {rows[1].scores.f1:.2f} (" in line


def test_halves_share_nobody_and_leave_nobody_out():
    cases = [Case(f"video {n}", lambda: (), subject=f"sub{n % 7:02d}") for n in range(20)]
    a, b = ({case.unit for case in halved(cases, half)} for half in "AB")
    assert a == {"sub00", "sub02", "sub04", "sub06"}
    assert a | b == {case.unit for case in cases}
    assert not a & b
    assert halved(cases, "") == cases
    assert in_half(["b", "a"], "B") == {"b"}
    with pytest.raises(ConfigError, match="A or B"):
        in_half([], "C")


def test_a_score_file_reads_back_and_holds_no_paths(tmp_path):
    rows = [row(stream("sub01"), stream("sub02")), row(stream("t"), negatives=True, tail="")]
    config = load(None, ["classify.model=default"])
    score_file.save(rows, score_file.describe(config, 1, "A"), tmp_path / "a.json")
    assert score_file.is_score_file(tmp_path / "a.json")
    back = score_file.read(tmp_path / "a.json")
    assert list(back.rows) == rows
    assert back.about["half"] == "A"
    assert len(back.about["model"]["sha256"]) == 64
    assert str(tmp_path) not in (tmp_path / "a.json").read_text()
    values = json.loads((tmp_path / "a.json").read_text())
    assert [result["tail"] for result in values["results"]] == ["hold"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"kind": "latency"},
        {"rows": 3},
        {"rows": [{"condition": "x"}]},
    ],
)
def test_what_is_no_score_file_is_one_clear_error(tmp_path, change):
    path = tmp_path / "a.json"
    score_file.save([row(stream("a"))], {}, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SourceError, match="not a score file"):
        score_file.read(path)
    path.write_text("no JSON")
    assert not score_file.is_score_file(path)


def test_a_movement_that_ends_before_it_begins_is_refused(tmp_path):
    path = tmp_path / "a.json"
    score_file.save([row(stream("a"))], {}, path)
    path.write_text(path.read_text().replace('"offset": 0.3', '"offset": -7.5'))
    with pytest.raises(SourceError, match="not an interval"):
        score_file.read(path)


def files(*rows_of_each, half=("A", "B")):
    return [score_file.ScoreFile(tuple(rows), {"half": h}) for rows, h in zip(rows_of_each, half, strict=True)]


def test_two_halves_are_pooled_and_overlap_is_refused():
    a, b = files([row(stream("s1")), row(stream("s1"), tail="back")], [row(stream("s2", 0, 4, 0))])
    both = score_file.pool([a, b])
    assert [r.tail for r in both.rows] == ["hold"]
    assert both.rows[0].counts() == {"s1": Counts(2, 1, 1), "s2": Counts(0, 0, 4)}
    assert both.about["half"] == "both"
    with pytest.raises(ConfigError, match="s1 is in both"):
        score_file.pool([a, a])
    with pytest.raises(ConfigError, match="no condition in common"):
        score_file.pool(files([row(stream("s1"))], [row(stream("s2"), condition="other")]))


def test_better_means_better_with_every_tail():
    def of(hits, tail):
        return row(*(stream(f"s{n}", hits, 6 - hits) for n in range(12)), tail=tail)

    a, b = files([of(2, "hold"), of(2, "back")], [of(4, "hold"), of(2, "back")])
    text = spotting_tables.side_by_side(a, b)
    assert text.count(": better;") == 1
    assert "no difference shown with every tail" in text
    (c,) = files([of(4, "hold"), of(4, "back")], half=("B",))
    assert spotting_tables.side_by_side(a, c).splitlines()[-1] == "CASME II spliced, 30 frames/s, H.264: better"


def test_false_alarms_bought_with_fewer_minutes_are_told():
    a, b = files(
        [row(stream("t", 0, 0, 5, minutes=10), negatives=True, tail="")],
        [row(stream("t", 0, 0, 1, minutes=6), negatives=True, tail="")],
    )
    text = spotting_tables.side_by_side(a, b)
    assert "5 in 10.0 min" in text
    assert "too few minutes watched" in text
    table = spotting_tables.markdown(b.rows)
    assert "| 1 | 6.0 | 0.17 | 0.01 | 0.79 |" in table


def test_events_of_another_program_are_scored(tmp_path):
    truth, answers = tmp_path / "truth.csv", tmp_path / "theirs.csv"
    with truth.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("video_name", "start_frame", "apex_frame", "end_frame", "type_idx"),
                ("casme_015_0401", 10, 12, 19, 2),
                ("casme_015_0401", 50, 55, 59, 2),
                ("casme_015_0401", 80, 85, 99, 1),
                ("casme_016_0102", 5, 6, 0, 2),
            ]
        )
    answers.write_text(
        "vid,pred_onset,pred_offset,type\n15_0401,10,14,me\n15_0401,54,70,me\n15_0401,80,99,mae\n15_0401,9,x,me\n"
    )
    scored, notes = score_others(answers, "casme-sq", truth)
    # 10 to 14 covers 5 of 10 frames, which is half; 54 to 70 shares 6 of 21
    assert (scored.scores.hits, scored.scores.false_alarms, scored.scores.missed) == (1, 1, 1)
    assert len(notes) == 2
    assert "F1 0.500" in spotting_tables.counted(scored)
    answers.write_text("vid,pred_onset,pred_offset,type\nfilm,1,2,me\n")
    with pytest.raises(DataError, match="no video in common"):
        score_others(answers, "casme-sq", truth)


@pytest.mark.parametrize(
    ("emotion", "labels", "expected"),
    [
        ("disgust", (), "negative"),
        ("disgust", ("negative", "positive", "surprise", "none"), "negative"),
        ("disgust", ("disgust", "happiness", "others"), "disgust"),
        ("others", ("disgust", "happiness", "others"), "others"),
        ("others", ("negative", "positive", "surprise"), None),
        ("fear", ("disgust", "happiness", "others"), None),
        ("surprise", ("disgust", "surprise"), "surprise"),
    ],
)
def test_a_model_is_scored_on_the_classes_that_it_knows(emotion, labels, expected):
    assert in_classes(emotion, labels) == expected
