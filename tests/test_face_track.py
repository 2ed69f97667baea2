"""Identities: stable, independent of the detector's order, never reused. The boxes are made up."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_mer.face import FaceTracks
from realtime_mer.records import Face

POINTS = np.zeros((478, 2), np.float32)


def detection(x: float, y: float = 100.0, size: float = 100.0) -> Face:
    half = size / 2
    return Face(0, (x - half, y - half, x + half, y + half), POINTS, 1.0, (0.0, 0.0, 0.0))


def ids(faces: tuple[Face, ...]) -> list[int]:
    return [face.track for face in faces]


places = st.builds(
    detection,
    st.floats(0, 1000, allow_nan=False),
    st.floats(0, 500, allow_nan=False),
    st.floats(40, 200, allow_nan=False),
)
pictures = st.lists(st.lists(places, max_size=5, unique_by=lambda d: d.box), min_size=1, max_size=8)


def test_a_still_face_keeps_its_id():
    tracks = FaceTracks()
    assert [ids(tracks.update(t / 10, [detection(300)])) for t in range(30)] == [[1]] * 30


def test_no_face_is_an_empty_tuple():
    assert FaceTracks().update(0.0, []) == ()


def test_fields_are_handed_on():
    found = Face(0, (1.0, 2.0, 30.0, 40.0), POINTS, 0.7, (1.0, 2.0, 3.0))
    (face,) = FaceTracks().update(0.0, [found])
    assert (face.box, face.score, face.pose) == (found.box, found.score, found.pose)
    assert face.points is found.points


@pytest.mark.parametrize(("away", "same"), [(1.9, True), (2.1, False)])
def test_a_face_that_returns_in_time_keeps_its_id(away, same):
    tracks = FaceTracks(forget=2.0)
    tracks.update(10.0, [detection(300)])
    tracks.update(10.0 + away / 2, [])
    assert ids(tracks.update(10.0 + away, [detection(320)])) == [1 if same else 2]


@pytest.mark.parametrize("other", [detection(900), detection(300, size=320), detection(300, y=450)])
def test_a_face_elsewhere_or_of_another_size_is_another(other):
    tracks = FaceTracks()
    tracks.update(0.0, [detection(300)])
    assert ids(tracks.update(0.1, [other])) == [2]
    assert ids(tracks.update(0.2, [other, detection(300)])) == [2, 1]


def test_both_faces_step_aside_together():
    """One by one, the nearest pair would swap them; the best assignment of all together does not."""
    tracks = FaceTracks()
    tracks.update(0.0, [detection(100), detection(200)])
    assert ids(tracks.update(0.1, [detection(260), detection(160)])) == [2, 1]


def test_the_one_who_stays_keeps_the_id_when_the_other_is_replaced():
    tracks = FaceTracks()
    tracks.update(0.0, [detection(100), detection(200)])
    assert ids(tracks.update(0.1, [detection(200), detection(290)])) == [2, 3]


def test_follow_moves_the_place_that_is_remembered():
    tracks = FaceTracks(forget=1.0)
    (face,) = tracks.update(0.0, [detection(100)])
    for step in range(1, 31):  # 3 s and 600 px without a detection
        box = detection(100 + 20 * step).box
        tracks.follow(step / 10, [Face(face.track, box, POINTS, 1.0, (0.0, 0.0, 0.0))])
    assert ids(tracks.update(3.1, [detection(700)])) == [1]


def test_follow_ignores_a_forgotten_track():
    tracks = FaceTracks(forget=1.0)
    (face,) = tracks.update(0.0, [detection(100)])
    tracks.follow(5.0, [face])
    assert ids(tracks.update(5.1, [detection(100)])) == [2]


@pytest.mark.parametrize("time", [0.9, -math.inf, math.nan])
def test_time_does_not_go_back(time):
    tracks = FaceTracks()
    tracks.update(1.0, [detection(100)])
    with pytest.raises(ValueError, match="reset"):
        tracks.update(time, [])
    tracks.reset()
    assert ids(tracks.update(0.5, [detection(100)])) == [1]


@given(pictures, st.randoms(use_true_random=False))
def test_order_of_detections_does_not_matter(sequence, random):
    one, other = FaceTracks(), FaceTracks()
    for step, found in enumerate(sequence):
        shuffled = random.sample(found, len(found))
        expected = dict(zip((d.box for d in found), ids(one.update(step / 5, found)), strict=True))
        assert ids(other.update(step / 5, shuffled)) == [expected[d.box] for d in shuffled]


@given(pictures, st.integers(-1000, 1000))
def test_shift_in_time_does_not_matter(sequence, shift):
    # steps of 1/4 s and whole shifts, so that the sums are exact
    one, other = FaceTracks(forget=0.5), FaceTracks(forget=0.5)
    for step, found in enumerate(sequence):
        assert ids(one.update(step / 4, found)) == ids(other.update(step / 4 + shift, found))


@given(pictures)
def test_reset_and_replay(sequence):
    tracks = FaceTracks()
    first = [ids(tracks.update(step / 5, found)) for step, found in enumerate(sequence)]
    tracks.reset()
    assert [ids(tracks.update(step / 5, found)) for step, found in enumerate(sequence)] == first


@given(pictures)
def test_ids_are_unique_and_new_ones_only_grow(sequence):
    tracks, known, last = FaceTracks(forget=0.3), set(), 0
    for step, found in enumerate(sequence):
        now = ids(tracks.update(step / 5, found))
        assert len(set(now)) == len(now)
        fresh = sorted(set(now) - known)
        assert all(id > last for id in fresh)
        known.update(now)
        last = max(known, default=0)


@given(
    st.lists(st.tuples(st.floats(-45, 45), st.floats(-45, 45), st.floats(0.85, 1.15)), min_size=1, max_size=20),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=20, max_size=20),
)
def test_faces_that_do_not_cross_never_swap(steps, seen):
    """Two faces sway within their own halves and are missed now and then, for less than the time of forgetting."""
    tracks = FaceTracks(forget=60.0)
    tracks.update(0.0, [detection(200), detection(400)])
    for index, (left, right, scale) in enumerate(steps):
        pair = [(1, detection(200 + left, size=100 * scale)), (2, detection(400 + right, size=100 * scale))]
        shown = [item for item, visible in zip(pair, seen[index], strict=True) if visible]
        faces = tracks.update((index + 1) / 5, [found for _, found in shown])
        assert ids(faces) == [id for id, _ in shown]


def test_a_crowd_is_quick():
    """32 faces cost about 1 ms; an exponential search would never end."""
    rng = np.random.default_rng(0)
    crowd = [detection(float(x), float(y), 150) for x, y in rng.uniform(0, 600, (32, 2))]
    tracks = FaceTracks()
    first = ids(tracks.update(0.0, crowd))
    assert ids(tracks.update(0.1, crowd)) == first
