"""Spotting scores: matching one to one, pooled over videos, and the files they are read from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_mer.errors import DataError
from realtime_mer.spotting.scores import Movement, match, overlap, recognition_f1, spotting, strs
from train.spotting import read_annotations, read_answers


def at(onset: float, offset: float, video: str = "v", apex: float | None = None, label: str | None = None) -> Movement:
    return Movement(video, onset, offset, apex, label)


def test_overlap_in_time_and_in_frames() -> None:
    assert overlap(at(0, 10), at(5, 15)) == pytest.approx(5 / 15)
    assert overlap(at(0, 9), at(5, 14), sample=1) == pytest.approx(5 / 15)
    assert overlap(at(0, 1), at(2, 3)) == 0
    assert overlap(at(2, 2), at(2, 2)) == 1
    assert overlap(at(2, 2), at(3, 3)) == 0


def test_one_finding_for_each_annotation() -> None:
    truth = [at(0, 10), at(20, 30)]
    found = [at(0, 9), at(0, 10), at(21, 30), at(50, 60), at(0, 10, "other")]
    assert match(truth, found) == [(0, 1), (1, 2)]
    got = spotting(truth, found, minutes=2)
    assert (got.hits, got.false_alarms, got.missed) == (2, 3, 0)
    assert got.precision == pytest.approx(0.4)
    assert got.f1 == pytest.approx(4 / 7)
    assert got.false_alarms_per_minute == 1.5
    assert spotting(truth, found).false_alarms_per_minute is None


def test_half_an_overlap_is_a_hit_and_less_is_not() -> None:
    assert spotting([at(0, 10)], [at(0, 5)]).hits == 1
    assert spotting([at(0, 10)], [at(0, 4.9)]).hits == 0


def test_pooled_not_averaged() -> None:
    truth = [at(0, 1, "a"), at(0, 1, "b"), at(5, 6, "b"), at(9, 10, "b")]
    found = [at(0, 1, "a"), at(20, 21, "b")]
    assert spotting(truth, found).f1 == pytest.approx(2 / 6)


def test_errors_of_the_hits() -> None:
    got = spotting([at(0, 10, apex=4), at(20, 30)], [at(1, 10, apex=6), at(20, 29, apex=25)])
    assert (got.onset_error, got.apex_error, got.offset_error) == (0.5, 2, 0.5)
    empty = spotting([], [])
    assert (empty.f1, empty.precision, empty.recall, empty.apex_error) == (0, 0, 0, None)


def test_strs_is_the_product_on_hits_only() -> None:
    truth = [at(0, 1, label="n"), at(5, 6, label="n"), at(10, 11, label="p"), at(15, 16, label="p")]
    found = [at(0, 1, label="n"), at(5, 6, label="p"), at(10, 11, label="p"), at(40, 41, label="n")]
    assert recognition_f1(truth, found) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert strs(truth, found) == pytest.approx(spotting(truth, found).f1 * 2 / 3)
    abstained = [at(0, 1), *found[1:]]
    assert recognition_f1(truth, abstained) == pytest.approx((0 + 2 / 3) / 2)
    assert recognition_f1(truth, []) == 0


movements = st.lists(
    st.builds(
        lambda start, length, video: at(start, start + length, video),
        st.integers(0, 50),
        st.integers(0, 10),
        st.sampled_from("ab"),
    ),
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(movements, movements, st.floats(0, 100))
def test_matching_is_one_to_one_and_ignores_a_time_shift(
    truth: list[Movement], found: list[Movement], shift: float
) -> None:
    pairs = match(truth, found, sample=1)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(truth[i].video == found[j].video and overlap(truth[i], found[j], 1) >= 0.5 for i, j in pairs)
    whole = round(shift)
    moved = [[at(m.onset + whole, m.offset + whole, m.video) for m in side] for side in (truth, found)]
    assert match(moved[0], moved[1], sample=1) == pairs
    assert 0 <= spotting(truth, found).f1 <= 1
    assert spotting(truth, truth, sample=1).missed == 0


def test_no_interval_is_refused() -> None:
    with pytest.raises(DataError, match="not an interval"):
        at(3, 2)
    with pytest.raises(DataError, match="not an interval"):
        at(float("nan"), 2)


def test_reads_the_annotation_list(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "subject,video_name,start_frame,apex_frame,end_frame,type_idx,au\n"
        "s,v1,10,20,30,2,4\ns,v1,40,50,0,2,4\ns,v1,60,-1,70,2,4\ns,v1,5,6,7,1,4\ns,v1,9,9,9,3,4\ns,v2,30,31,20,2,4\n"
    )
    found, problems = read_annotations(path)
    assert found == [at(10, 30, "v1", 20), at(60, 70, "v1")]
    assert [problem.where for problem in problems if problem.skipped] == [
        "list.csv row 3",
        "list.csv row 6",
        "list.csv row 7",
    ]
    assert [problem.where for problem in problems if not problem.skipped] == ["list.csv row 4"]
    assert read_annotations(path, "macro")[0] == [at(5, 7, "v1", 6)]


def test_reads_a_submission(tmp_path: Path) -> None:
    path = tmp_path / "pred.csv"
    path.write_text("vid,pred_onset,pred_offset,type\nv1,10,30,me\nv1,40,60,mae\n")
    assert read_answers(path) == ([at(10, 30, "v1")], [])
    path.write_text("vid,pred_onset,type\nv1,10,me\n")
    with pytest.raises(DataError, match="no column 'pred_offset'"):
        read_answers(path)
