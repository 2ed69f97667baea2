"""The same clip as another camera would have recorded it: the same movement, changed as asked."""

from __future__ import annotations

from dataclasses import replace

import made_default
import numpy as np
import pytest
from made_default import Known, tree

from realtime_mer.errors import ConfigError
from train import capture, gather, inputs, motion, recipe
from train.models.flow_default import CELLS, cell_means
from train.recipe import Capture, Data, Input
from train.records import THREE

PLAIN = {"name": "x", "data": {"name": "casme2"}, "model": {"name": "flow-default"}, "stage": [{"epochs": 1}]}
HOW = Capture(views=2, rates_fps=(0.0, 100.0), crfs=(0, 23), jpegs=(0, 80), faces_px=(0.0,), rolls_deg=(0.0, 5.0))
MOTION = Input("flow-uvs/1", 128)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[inputs.Prepared, inputs.Prepared]:
    """The clips of one person, without and with further views."""
    folder = tmp_path_factory.mktemp("capture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_default, "FRAMES", 40)
        patch.setattr(made_default, "APEX", 30)
        tree(folder, subjects=1, each=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "FaceDetector", Known)
        found = gather.joined(Data("casme2", complete=True), folder)
        plain = inputs.prepare(found, THREE, "3", MOTION, None, True, keep=cell_means)
        more = capture.added(plain, HOW, MOTION, 0, folder / "cache", True, cell_means)
        again = capture.added(plain, HOW, MOTION, 0, folder / "cache", True, cell_means)
    assert np.array_equal(more.samples.views, again.samples.views)
    return plain, more


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two motions."""
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def test_views_are_added_and_what_is_tested_stays(made) -> None:
    plain, more = made
    assert plain.samples.views is None
    assert more.samples.views.shape == (3, 1 + HOW.views, 2, CELLS, CELLS)
    assert np.array_equal(more.samples.x, plain.samples.x)
    assert np.array_equal(more.samples.views[:, 0], plain.samples.x)
    assert set(more.moved) == {str(variant) for variant in capture.TESTED}


def test_every_recording_shows_the_same_movement_and_none_is_the_original(made) -> None:
    plain, more = made
    views = [more.samples.views[:, 1 + k] for k in range(HOW.views)]
    kinds = [kind for kind in more.moved if "face" not in kind and "rolled" not in kind]
    for view in (*views, *(more.moved[kind] for kind in kinds)):
        for own, other in zip(plain.samples.x, view, strict=True):
            assert 0.7 < alike(own, other) < 0.99999


def test_the_name_of_a_condition_says_what_was_done() -> None:
    assert str(capture.TESTED[0]) == "H.264 crf 23, 30 fps"
    assert len({str(variant) for variant in capture.TESTED}) == len(capture.TESTED)
    assert str(replace(capture.TESTED[3], jpeg=0)) == "raw, 30 fps"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"capture": {"crfs": [60]}}, "capture: crfs is a list of numbers from 0 to 51"),
        ({"capture": {"lights": []}}, "capture: lights is a list"),
        ({"capture": {"views": -1}}, "views must not be negative"),
        ({"head": [{"name": "age", "data": "casme2"}]}, "name must be one of objective, action_units"),
        ({"head": [{"name": "objective", "data": "casme2"}] * 2}, "give each answer only once"),
    ],
)
def test_a_recipe_that_asks_for_something_else_is_refused(table, says) -> None:
    with pytest.raises(ConfigError, match=says):
        recipe.from_table({**PLAIN, **table})
