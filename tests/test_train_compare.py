"""The table of recognizers on made-up motion: rows are tested on strangers, kept, and compared on the same clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime_mer.errors import ConfigError
from train import compare as table
from train import recipe
from train.commands import default
from train.inputs import Prepared
from train.metrics import score
from train.recipe import Stage
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


RECIPE = """
name = "ours"
seed = 3
[data]
name = "casme2"
[input]
feature = "flow-uvs/1"
size = 28
[model]
name = "ststnet"
[[stage]]
epochs = 1
batch = 16
"""
ENTRIES = (
    table.Entry(table.CASME, "motion", table.LINEAR),
    table.network(table.CASME, "motion", "STSTNet", "ststnet", 28, Stage(epochs=1, batch=16), groups=2),
)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(table, "TIMED", 3)


@pytest.fixture
def ours(tmp_path):
    (tmp_path / "ours.toml").write_text(RECIPE)
    return recipe.load(tmp_path / "ours.toml")


@pytest.mark.usefixtures("quick")
def test_rows_are_trained_once_and_stand_in_one_table(ours, tmp_path):
    inputs = {(table.CASME, "motion"): made_up()}
    entries = [*ENTRIES, *(entry for entry in table.added(ours) if entry.clips == table.CASME)]
    rows = [table.tested(entry, inputs, tmp_path, True) for entry in entries]
    work = [*tmp_path.rglob("folds/*.json"), tmp_path / "casme-ii-motion-linear" / "linear.json"]
    stamps = [file.stat().st_mtime_ns for file in work]
    for first, entry in zip(rows, entries, strict=True):
        again = table.tested(entry, inputs, tmp_path, True)
        assert np.array_equal(first.probabilities, again.probabilities)
        assert first.keys == again.keys == tuple(sorted(clip.key for clip in inputs[table.CASME, "motion"].clips))
    assert len(work) == 2 + SUBJECTS + 1
    assert stamps == [file.stat().st_mtime_ns for file in work]
    linear, _, mine = rows
    assert score(linear.truth, linear.probabilities, THREE).uf1 > 0.9
    assert (mine.network, mine.size, mine.folds) == ("ours", "28", str(SUBJECTS))
    assert all(row.parameters > 0 and row.latency > 0 for row in rows)
    shown = table.render(rows, "ours")
    assert "42 clips of 7 subjects: 14 negative, 14 positive, 14 surprise" in shown
    assert "| none | the most common class | | | 0 | | 0.167 | 0.333 | |" in shown
    assert shown.count("| motion |") == 3
    assert shown.count(" to ") == 2  # the recipe against each other row
    assert "| UF1 of ours minus this |" in shown


@pytest.mark.usefixtures("quick")
def test_other_clips_are_not_answered_from_a_kept_run(tmp_path):
    data = made_up()
    first = table.tested(ENTRIES[0], {(table.CASME, "motion"): data}, tmp_path, True)
    fewer = data.take(range(len(data.clips) - EACH))
    second = table.tested(ENTRIES[0], {(table.CASME, "motion"): fewer}, tmp_path, True)
    assert len(second.keys) == len(first.keys) - EACH


@pytest.mark.parametrize("side", [table.MAP, table.OWN])
def test_the_default_sees_maps_on_the_part_of_the_face_that_they_show(side):
    plan = recipe.load(default.RECIPE)
    data = table.fitting(made_up(side), plan)
    assert data.samples.x.shape == (SUBJECTS * EACH, 2, 14, 14)
    assert np.abs(data.samples.x[:, 1]).max() > 0.5


def test_a_recipe_is_tested_on_the_clips_of_its_kind(ours):
    assert [(row.clips, row.input, row.network) for row in table.added(ours)] == [
        (table.MEGC, "motion", "ours"),
        (table.CASME, "motion", "ours"),
    ]
    apex = replace(ours, input=recipe.Input("apex-rgb/1"), model=recipe.Model("efficient-me-lite"))
    assert [row.input for row in table.added(apex)] == ["static"]
    with pytest.raises(ConfigError, match="not frames-gray/1"):
        table.added(replace(ours, input=recipe.Input("frames-gray/1"), model=recipe.Model("hata-resnet")))
    with pytest.raises(ConfigError, match="pretrain"):
        table.added(replace(ours, pretrain=recipe.Pretrain(ours.data)))


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["--data", "none"], 7, "none is not a folder"),
        (["none.toml"], 2, "recipe none.toml does not exist"),
        (["--against", "nobody"], 2, "no row is named 'nobody'"),
    ],
)
def test_what_cannot_be_compared_is_one_clear_line(words, code, line, tmp_path, monkeypatch, capsys):
    from train.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["compare", *words]) == code
    assert line in capsys.readouterr().err


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
