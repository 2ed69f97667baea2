"""The table of recognisers on made-up motion: rows are tested on strangers, kept, and compared on the same clips."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import recognisers as table
from train.inputs import Prepared
from train.metrics import score
from train.recipe import Stage
from train.recogniser.network import Fitting
from train.records import THREE, Clip
from train.samples import Samples

SUBJECTS, EACH = 7, 6


def made_up(side: int = table.OWN, seed: int = 0) -> Prepared:
    """Each class moves another part of the face upwards."""
    random = np.random.default_rng(seed)
    clips, x = [], []
    for s in range(SUBJECTS):
        for k in range(EACH):
            flow = random.normal(0, 0.02, (3, side, side)).astype(np.float32)
            top = side // 4 + (k % 3) * side // 6
            flow[1, top : top + side // 8, side // 3 : 2 * side // 3] -= 1
            x.append(flow)
            clips.append(Clip("casme2", f"s{s}", f"c{k}", (Path("none"),), 0, 0, 0, 200.0, (), THREE[k % 3]))
    y = np.array([k % 3 for _ in range(SUBJECTS) for k in range(EACH)])
    return Prepared(tuple(clips), Samples(np.stack(x), y, tuple(clip.group for clip in clips)), THREE, ())


ENTRIES = (
    table.Entry(table.CASME, "motion", table.LINEAR),
    table.Entry(table.CASME, "motion", "STSTNet", "ststnet", 28, Stage(epochs=1, batch=16), groups=2),
    table.Entry(table.CASME, "motion", table.DEFAULT),
)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(table, "Fitting", partial(Fitting, members=1, hidden=8, steps=30))
    monkeypatch.setattr(table, "TIMED", 3)


@pytest.mark.usefixtures("quick")
def test_rows_are_trained_once_and_stand_in_one_table(tmp_path):
    inputs = {(table.CASME, "motion"): made_up()}
    rows = [table.tested(entry, inputs, tmp_path, True) for entry in ENTRIES]
    work = [
        *tmp_path.rglob("folds/*.json"),
        *(tmp_path / f"casme-ii-motion-{n}" / "run.json" for n in ("linear", "default")),
    ]
    stamps = [file.stat().st_mtime_ns for file in work]
    for first, entry in zip(rows, ENTRIES, strict=True):
        again = table.tested(entry, inputs, tmp_path, True)
        assert np.array_equal(first.probabilities, again.probabilities)
        assert first.keys == again.keys == tuple(sorted(clip.key for clip in inputs[table.CASME, "motion"].clips))
    assert len(work) == 4
    assert stamps == [file.stat().st_mtime_ns for file in work]
    linear, _, default = rows
    assert score(linear.truth, linear.probabilities, THREE).uf1 > 0.9
    assert score(default.truth, default.probabilities, THREE).uf1 > 0.9
    assert all(row.parameters > 0 and row.latency > 0 for row in rows)
    shown = table.render(rows)
    assert "42 clips of 7 subjects: 14 negative, 14 positive, 14 surprise" in shown
    assert "| none | the commonest class | | | 0 | | 0.167 | 0.333 | |" in shown
    assert shown.count("| motion |") == 3
    assert shown.count(" to ") == 2  # the default against each other row


@pytest.mark.usefixtures("quick")
def test_other_clips_are_not_answered_from_a_kept_run(tmp_path):
    data = made_up()
    first = table.tested(ENTRIES[0], {(table.CASME, "motion"): data}, tmp_path, True)
    fewer = data.take(range(len(data.clips) - EACH))
    second = table.tested(ENTRIES[0], {(table.CASME, "motion"): fewer}, tmp_path, True)
    assert len(second.keys) == len(first.keys) - EACH


def test_both_is_the_mean_of_probabilities_of_the_same_clips():
    half = table.Row(table.MEGC, "static", "", ("a",), np.array([0]), np.array([[1.0, 0, 0]]), ("s",), parameters=5)
    rows = [replace(half, network=first) for first, _ in table.PAIRS]
    rows += [
        replace(half, input="motion", network=second, probabilities=np.array([[0, 1.0, 0]]))
        for _, second in table.PAIRS
    ]
    found = list(table.both(rows))
    assert [row.input for row in found] == ["both"] * len(table.PAIRS)
    assert all(np.allclose(row.probabilities, [[0.5, 0.5, 0]]) and row.parameters == 10 for row in found)
    other = [replace(row, keys=("b",)) if row.input == "motion" else row for row in rows]
    with pytest.raises(AssertionError, match="same clips"):
        list(table.both(other))


def test_what_a_linear_row_sees_does_not_depend_on_how_far_the_skin_moves():
    data = made_up()
    near, far = table.features(data.samples.x[:3]), table.features(5 * data.samples.x[:3])
    assert near.shape == (3, 2 * 7 * 7 + 9 * table.ORIENTATIONS)
    assert np.allclose(near, far, atol=1e-2)
    pictures = np.random.default_rng(0).integers(0, 255, (2, 3, table.PICTURE, table.PICTURE), np.uint8)
    assert table.features(pictures).shape == (2, 1764)


def test_a_histogram_keeps_all_motion_and_its_direction():
    up = np.zeros((9, 9)), -np.ones((9, 9))
    found = table._histograms(*up).reshape(9, table.ORIENTATIONS)
    assert np.allclose(found.sum(), 81)
    assert np.allclose(found[:, 6], 9)  # three quarters of the turn: y runs down


def test_a_missing_folder_is_one_line(tmp_path, capsys):
    assert table.main(["--data", str(tmp_path / "no"), "--out", str(tmp_path)]) == 7
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
