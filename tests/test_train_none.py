"""The answer "none": what it is learned from really is still, and a recipe that asks for it wrongly is refused."""

from __future__ import annotations

import made_default
import numpy as np
import pytest
import torch
from made_default import Known, tree

from realtime_mer.errors import ConfigError
from train import motion, recipe, still
from train.calibration import is_answered
from train.datasets import read_below
from train.models import create
from train.models.flow_default import CELLS
from train.models.none import Gate, WithNone, measures
from train.recipe import Still

PLAIN = {"name": "x", "data": {"name": "casme2"}, "model": {"name": "flow-default"}, "stage": [{"epochs": 1}]}
HOW = Still(gaps_s=(0.01, 0.1), rates_fps=(0.0, 30.0), crfs=(0, 23), drifts_px_s=(0.0, 5.0))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> still.Pairs:
    folder = tmp_path_factory.mktemp("none")
    with pytest.MonkeyPatch.context() as patch:  # slow enough that the first frames are nearly at rest
        patch.setattr(made_default, "FRAMES", 40)
        patch.setattr(made_default, "APEX", 36)
        tree(folder, subjects=1, each=3)
    reading = read_below("casme2", folder)
    assert reading is not None
    clips = [clip for clip in reading.clips if clip.apex is not None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "FaceDetector", Known)
        found = still.make(clips, HOW, 0, folder / "cache", quiet=True)
        again = still.make(clips, HOW, 0, folder / "cache", quiet=True)
    assert np.array_equal(found.cells, again.cells)
    assert found.kinds == again.kinds
    return found


def lengths(cells: np.ndarray) -> np.ndarray:
    return np.sqrt((cells**2).sum(axis=1).mean(axis=(1, 2)))


def test_still_pairs_hardly_move_beside_the_same_recordings_movement(made) -> None:
    assert not made.skipped
    # 8 variants of 3 clips: two gaps at the recording's rate, one at 30 frames/s, and the movement
    assert made.still.sum() == 3 * (4 * 2 + 4 * 1)
    assert (~made.still).sum() == 3 * 8
    strength = lengths(made.cells)
    raw = np.array([kind.startswith("100 ms, raw") for kind in made.kinds])
    assert np.median(strength[raw]) < 0.2 * np.median(strength[~made.still])
    assert strength[made.still].min() > 0  # never the same frame twice


def test_pairs_follow_their_clips(made) -> None:
    taken = made.take([2, 0])
    assert set(taken.clips.tolist()) == {0, 1}
    assert np.array_equal(taken.cells[taken.clips == 0], made.cells[made.clips == 2])


def test_a_gate_sees_px_and_a_mirrored_face_alike() -> None:
    cells = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (4, 2, CELLS, CELLS)).astype(np.float32))
    assert torch.allclose(
        measures(cells), measures(cells.flip(-1) * torch.tensor([-1.0, 1.0])[:, None, None]), atol=1e-5
    )
    assert (measures(3 * cells) > measures(cells)).all()
    assert torch.isfinite(measures(torch.zeros_like(cells))).all()
    wrapped = WithNone(create("flow-default", 3).eval(), Gate())
    x = torch.randn(2, 3, 128, 128)
    assert torch.equal(wrapped(x), wrapped.network(x))


def test_an_answer_is_given_as_the_runtime_gives_it() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.9, 0.1]])
    none = np.array([0.0, 0.6, 0.0, 0.3])
    assert is_answered(probabilities, none, 0.62).tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"gap_s": [0.1]}, "unknown key 'gap_s': did you mean 'gaps_s'"),
        ({"gaps_s": []}, "gaps_s is a list of numbers above 0"),
        ({"gaps_s": [0.0]}, "gaps_s is a list of numbers above 0"),
        ({"gaps_s": [2.0]}, "at most 1"),
        ({"crfs": [-1]}, "crfs is a list of numbers not negative"),
        ({"crfs": [0.5]}, "must be of type int"),
        ({"ridge": 0}, "ridge must be above 0"),
    ],
)
def test_a_none_table_that_makes_no_sense_is_refused(table, says) -> None:
    with pytest.raises(ConfigError, match=says):
        recipe.from_table({**PLAIN, "none": table})


def test_it_needs_motion_in_px() -> None:
    assert recipe.from_table({**PLAIN, "none": {}}).none == Still()
    with pytest.raises(ConfigError, match=r"\[none\] needs the feature"):
        create("efficient-me", 3, none=True)
