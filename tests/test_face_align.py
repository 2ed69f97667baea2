"""Alignment: where the eyes come to lie, and that neither size, roll nor place of the face in the picture is seen."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_mer.face.align import alignable, apply, inverse, similarity, warp
from realtime_mer.face.regions import EYE_DISTANCE, EYES_CENTER, LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS, SIZE


def points_at(right, left):
    """478 landmarks of which only the corners of the eyes matter."""
    points = np.zeros((478, 2), np.float32)
    points[list(RIGHT_EYE_CORNERS)] = np.add(right, [[-3, 0], [3, 0]])
    points[list(LEFT_EYE_CORNERS)] = np.add(left, [[-3, 0], [3, 0]])
    return points


def eyes(points):
    return points[list(RIGHT_EYE_CORNERS)].mean(axis=0), points[list(LEFT_EYE_CORNERS)].mean(axis=0)


@settings(max_examples=50)
@given(
    st.tuples(st.floats(-500, 4000), st.floats(-500, 4000)),
    st.floats(2, 2000),
    st.floats(-np.pi, np.pi, exclude_min=True),
)
def test_the_eyes_come_to_their_places(center, distance, roll):
    half = distance / 2 * np.array([np.cos(roll), np.sin(roll)])
    points = points_at(np.array(center) - half, np.array(center) + half)
    transform = similarity(points)
    right, left = eyes(apply(transform, points))
    tolerance = 1e-3 * (1 + np.abs(center).max() / distance * EYE_DISTANCE)  # landmarks are float32
    np.testing.assert_allclose(right, np.subtract(EYES_CENTER, (EYE_DISTANCE / 2, 0)), atol=tolerance)
    np.testing.assert_allclose(left, np.add(EYES_CENTER, (EYE_DISTANCE / 2, 0)), atol=tolerance)
    assert np.linalg.det(transform[:, :2]) > 0  # never mirrored


def test_eyes_that_coincide_cannot_be_aligned():
    points = points_at((50, 50), (50.3, 50.2))
    assert not alignable(points)
    with pytest.raises(ValueError, match="coincide"):
        similarity(points)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_landmarks_that_are_not_finite_cannot_be_aligned(bad):
    points = points_at((50, 50), (90, 50))
    assert alignable(points)
    points[33] = bad
    assert not alignable(points)
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.full((478, 2), np.nan, np.float32))


def test_size_and_roll_of_the_face_are_not_seen(recording):
    """The same picture enlarged eightfold (then averaged in the warp), and turned."""
    gray, points = recording.frames[0].gray, recording.points(0.0)
    reference = warp(gray, similarity(points)).astype(float)
    middle = np.s_[20:110, 25:103]
    for factor in (2, 3, 8):
        large = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        seen = warp(large, similarity(recording.points(0.0, factor)))
        assert np.abs(seen - reference)[middle].mean() < 2.0, factor
    turn = cv2.getRotationMatrix2D((160.0, 120.0), 20, 1.0)
    turned = cv2.warpAffine(gray, turn, (320, 240), flags=cv2.INTER_LINEAR)
    seen = warp(turned, similarity(apply(turn, points).astype(np.float32)))
    assert np.abs(seen - reference)[middle].mean() < 3.0
    assert reference[middle].std() > 20  # there is something to see


def test_a_moving_large_face_does_not_shimmer(recording):
    """Sub-pixel steps of a face that is shrunk in the warp: aligned, it stands still."""
    large = cv2.resize(recording.frames[0].gray, None, fx=5, fy=5, interpolation=cv2.INTER_LINEAR)
    points = recording.points(0.0, 5.0)
    reference = warp(large, similarity(points)).astype(float)
    for dx in (0.3, 1.0, 3.7):
        shift = np.array([[1, 0, dx], [0, 1, -dx]], np.float64)
        there = cv2.warpAffine(large, shift, large.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        seen = warp(there, similarity(np.add(points, (dx, -dx)).astype(np.float32)))
        assert np.abs(seen - reference)[20:110, 25:103].mean() < 1.0


@settings(max_examples=60)
@given(
    st.sampled_from([(1, 1), (2, 500), (37, 41), (480, 640), (2400, 3200)]),
    st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000)),
    st.floats(1.5, 3000),
    st.floats(-3.1, 3.1),
)
def test_any_face_in_any_picture_gives_a_picture(shape, center, distance, roll):
    """At the border, outside the picture, far larger than it: always uint8 (128, 128)."""
    half = distance / 2 * np.array([np.cos(roll), np.sin(roll)])
    points = points_at(np.array(center) - half, np.array(center) + half)
    gray = np.full(shape, 77, np.uint8)
    seen = warp(gray, similarity(points))
    assert seen.shape == (SIZE, SIZE)
    assert seen.dtype == np.uint8
    assert (seen == 77).all()  # the border is continued


@pytest.mark.parametrize("seed", range(5))
def test_the_way_back_is_opencvs(seed):
    there = np.random.default_rng(seed).normal(0, 3, (2, 3))
    np.testing.assert_allclose(inverse(there), cv2.invertAffineTransform(there), rtol=1e-9)


def test_what_maps_everything_to_a_line_has_no_way_back_and_raises_nothing():
    flat = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0]])
    assert np.isfinite(inverse(flat)).all()
    np.testing.assert_array_equal(inverse(flat), cv2.invertAffineTransform(flat))
