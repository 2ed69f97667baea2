"""Regions and directions in FACS terms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from realtime_mer.face.regions import EYE_DISTANCE, NAMES, REGIONS
from realtime_mer.spotting.cues import cues, side
from realtime_mer.synth import MOVEMENTS


def shift(**parts):
    moved = np.zeros((len(REGIONS), 2), np.float32)
    for name, xy in parts.items():
        moved[NAMES.index(name.replace("_", " "))] = xy
    return moved


def scripted(name, peak=1.0):
    moved = np.zeros((len(REGIONS), 2), np.float32)
    for region, dx, dy in MOVEMENTS[name].parts:
        moved[NAMES.index(region)] = peak * dx, peak * dy
    return moved


def mirrored(name):
    return name.replace("left", "?").replace("right", "left").replace("?", "right")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("smile", "AU12"),
        ("left smirk", "AU12"),
        ("lip corners down", "AU15"),
        ("inner brow raise", "AU1"),
        ("brow raise", "AU2"),
        ("brow lower", "AU4"),
        ("upper lip raise", "AU10"),
        ("nose wrinkle", "AU9"),
        ("chin raise", "AU17"),
    ],
)
def test_scripted_movements_are_named(name, unit):
    assert unit in {u for cue in cues(scripted(name)) for u in cue.action_units}


def test_strongest_first_in_per_cent_of_the_distance_between_the_eyes():
    found = cues(shift(upper_lip=(0, -2.2), left_lip_corner=(1.5, 0), chin=(0, 0.5)))
    assert [cue.region for cue in found] == ["upper lip", "left lip corner"]  # the chin moved too little
    assert found[0].dy == pytest.approx(-2.2 / EYE_DISTANCE * 100, abs=0.01)
    assert found[0].dx == 0


def test_nothing_moved_gives_nothing():
    assert cues(np.zeros((len(REGIONS), 2), np.float32)) == ()


@given(arrays(np.float32, (len(REGIONS), 2), elements=st.floats(-5, 5, width=32)))
def test_mirror_symmetry(moved):
    """A mirrored movement gives the same action units on the other side."""
    order = [NAMES.index(mirrored(name)) for name in NAMES]
    there = cues(moved[order] * np.array([-1, 1], np.float32))
    here = cues(moved)
    assert {(mirrored(c.region), -c.dx, c.dy, c.action_units) for c in here} == {
        (c.region, c.dx, c.dy, c.action_units) for c in there
    }


@pytest.mark.parametrize("name", MOVEMENTS)
def test_a_side_is_the_subjects_own_and_swaps_in_the_mirror(name):
    alone = name.split()[0] if name.split()[0] in ("left", "right") else "both"
    moved = scripted(name)
    assert side(moved) == alone
    swapped = [NAMES.index(mirrored(region)) for region in NAMES]
    assert side(moved[swapped] * np.array([-1, 1], np.float32)) == {"left": "right", "right": "left"}.get(alone, "both")
    assert side(moved * 3) == alone


def test_lids_have_no_side():
    assert side(shift(left_eyelid=(0, 3), right_cheek=(0, 0.1), left_cheek=(0, 0.1))) == "both"
