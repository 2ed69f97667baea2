"""The meter on pictures whose motion is known: the aligned synthetic face, warped here by known amounts."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_mer.face.align import apply, similarity, warp
from realtime_mer.face.regions import NAMES, REGIONS, SIZE
from realtime_mer.motion.affine import AffineFit
from realtime_mer.motion.follow import FIT_LOST
from realtime_mer.motion.registration import REACH, STEADY, Meter

GRID = np.arange(SIZE, dtype=np.float32)


@pytest.fixture(scope="module")
def face(recording):
    """The aligned resting face and its landmarks."""
    points = recording.points(0.0)
    transform = similarity(points)
    return warp(recording.frames[0].gray, transform), apply(transform, points)


@pytest.fixture
def meter(face):
    meter = Meter()
    meter.anchor(*face)
    return meter


def pulled(gray, center, dx, dy, width=9.0):
    """``gray`` with the skin around ``center`` shifted by (dx, dy) px there, fading out over ``width`` px."""
    x, y = np.meshgrid(GRID, GRID)
    weight = np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * width**2)).astype(np.float32)
    return cv2.remap(gray, x - dx * weight, y - dy * weight, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def shifted(gray, matrix):
    return cv2.warpAffine(gray, np.asarray(matrix, np.float64), (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=1)


def center_of(points, name):
    return points[list(REGIONS[NAMES.index(name)].points)].mean(axis=0)


def test_the_anchor_itself_is_at_rest(face, meter):
    reading = meter.measure(face[0])
    assert np.abs(reading.displacement).max() < 1e-3
    assert reading.eyes == pytest.approx(1.0, abs=1e-4)
    assert reading.fit == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(reading.head, np.eye(2, 3), atol=1e-3)


@pytest.mark.parametrize("name", ["left lip corner", "right inner brow", "upper lip", "left outer brow"])
@pytest.mark.parametrize("size", [0.5, 1.5])
def test_a_moved_region_is_measured(face, meter, name, size):
    gray, points = face
    reading = meter.measure(pulled(gray, center_of(points, name), 0.0, -size))
    moved = reading.displacement[NAMES.index(name)]
    # the pull fades out within the patch, and where patches overlap the head's fit takes a part of it
    assert 0.4 * size < -moved[1] < 1.1 * size
    assert abs(moved[0]) < 0.35 * size
    assert int(np.hypot(*reading.displacement.T).argmax()) == NAMES.index(name)


@pytest.mark.parametrize(
    "matrix",
    [[[1, 0, 1.3], [0, 1, -0.9]], [[0.9999, 0.014, -0.7], [-0.014, 0.9999, 0.8]], [[1.015, 0, -1], [0, 1.015, -1]]],
    ids=["shift", "roll", "nearer"],
)
def test_head_motion_is_not_motion_of_the_face(face, meter, matrix):
    reading = meter.measure(shifted(face[0], matrix))
    assert np.abs(reading.displacement).max() < 0.25
    places = np.array([[64.0, 46.0], [42.0, 90.0], [86.0, 90.0]])
    np.testing.assert_allclose(apply(reading.head, places), apply(np.array(matrix), places), atol=0.25)


def test_head_motion_and_expression_at_once(face, meter):
    gray, points = face
    both = shifted(pulled(gray, center_of(points, "left lip corner"), 0.9, -0.9), [[1, 0, 1.5], [0, 1, 1.0]])
    moved = meter.measure(both).displacement[NAMES.index("left lip corner")]
    alone = meter.measure(pulled(gray, center_of(points, "left lip corner"), 0.9, -0.9))
    np.testing.assert_allclose(moved, alone.displacement[NAMES.index("left lip corner")], atol=0.15)


@pytest.mark.parametrize(("gain", "bias"), [(1.15, 0), (0.85, 0), (1, 12), (1, -12)])
def test_light_is_not_motion(face, meter, gain, bias):
    lit = np.clip(face[0] * np.float32(gain) + bias, 0, 255).astype(np.uint8)
    assert np.abs(meter.measure(lit).displacement).max() < 0.2


def test_left_and_right_are_alike(face):
    gray, points = face
    there = np.column_stack([SIZE - 1 - points[:, 0], points[:, 1]])
    here_meter, there_meter = Meter(), Meter()
    here_meter.anchor(gray, points)
    there_meter.anchor(np.ascontiguousarray(gray[:, ::-1]), there)
    moved = pulled(gray, center_of(points, "left lip corner"), 0.8, -0.6)
    here = here_meter.measure(moved)
    mirror = there_meter.measure(np.ascontiguousarray(moved[:, ::-1]))
    np.testing.assert_allclose(mirror.displacement, here.displacement * (-1, 1), atol=0.02)
    assert mirror.eyes == pytest.approx(here.eyes, abs=1e-3)
    assert mirror.fit == pytest.approx(here.fit, abs=1e-2)


@pytest.mark.parametrize("other", ["black", "white", "noise", "upside down"])
def test_another_picture_does_not_fit_and_is_forgotten(face, meter, other):
    gray = face[0]
    pictures = {
        "black": np.zeros_like(gray),
        "white": np.full_like(gray, 255),
        "noise": np.random.default_rng(0).integers(0, 256, gray.shape).astype(np.uint8),
        "upside down": np.ascontiguousarray(gray[::-1]),
    }
    assert meter.measure(pictures[other]).fit < FIT_LOST
    meter.restart()
    again = meter.measure(gray)
    assert again.fit > 0.95
    assert np.abs(again.displacement).max() < 0.05


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["flat", "noise", "steps"]))
def test_any_pictures_give_finite_numbers(seed, kind):
    random = np.random.default_rng(seed)

    def picture():
        if kind == "flat":
            return np.full((SIZE, SIZE), random.integers(256), np.uint8)
        if kind == "noise":
            return random.integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
        return (255 * (GRID[None, :] > random.integers(SIZE)) * np.ones((SIZE, 1))).astype(np.uint8)

    meter = Meter()
    meter.anchor(picture(), random.uniform(-50, 200, (478, 2)))
    for _ in range(3):
        reading = meter.measure(picture())
        assert np.isfinite(reading.displacement).all()
        assert np.isfinite(reading.head).all()
        assert np.isfinite([reading.eyes, reading.fit]).all()
        assert -1.01 <= reading.eyes <= 1.01
        assert reading.fit <= 1.0 + 1e-5
        meter.follow()


def test_readings_do_not_change_afterwards(face, meter):
    """The meter reuses its buffers; what it handed out must not be one of them."""
    gray, points = face
    first = meter.measure(pulled(gray, center_of(points, "chin"), 1.0, 0.0))
    kept = first.displacement.copy(), first.head.copy()
    meter.follow()
    meter.measure(shifted(gray, [[1, 0, 2.0], [0, 1, 2.0]]))
    np.testing.assert_array_equal(first.displacement, kept[0])
    np.testing.assert_array_equal(first.head, kept[1])


def test_displacement_keeps_within_reach(meter):
    noise = np.random.default_rng(1)
    for _ in range(20):
        meter.measure(noise.integers(0, 256, (SIZE, SIZE)).astype(np.uint8))
    assert np.abs(meter._shift).max() <= REACH


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_the_affine_fit_is_exact_on_points_that_agree(seed):
    random = np.random.default_rng(seed)
    points = random.uniform(20, 110, (len(STEADY), 2))
    truth = np.eye(2, 3) + np.column_stack([random.normal(0, 0.02, (2, 2)), random.normal(0, 2, 2)])
    shift = (apply(truth, points) - points).astype(np.float32)
    fitted = AffineFit(points, random.uniform(0.5, 1, len(points))).fit(shift)
    np.testing.assert_allclose(apply(fitted, points), apply(truth, points), atol=1e-3)


def test_a_minority_that_moves_by_itself_does_not_pull_the_fit(face):
    places, trust = face[1][list(STEADY)], np.ones(len(STEADY))
    shift = np.tile(np.float32([1.0, -0.5]), (len(STEADY), 1))
    shift[[1, 12]] += 3.0
    design = np.column_stack([places, trust])
    plain = np.linalg.lstsq(design, shift.astype(float), rcond=None)[0].T + np.eye(2, 3)
    nose = np.array([[64.0, 60.0]])

    def error(fitted):
        return np.abs(apply(fitted, nose) - nose - (1.0, -0.5)).max()

    assert error(AffineFit(places, trust).fit(shift)) < 0.5 * error(plain)
    trust[[1, 12]] = 0.0  # not trusted, they do not count at all
    assert error(AffineFit(places, trust).fit(shift)) < 1e-3


@pytest.mark.parametrize("gray_levels", [2.0, 6.0])
def test_the_noise_said_is_the_noise_there_is(face, meter, gray_levels):
    random = np.random.default_rng(4)
    noisy = [
        np.clip(face[0] + random.normal(0, gray_levels, face[0].shape), 0, 255).astype(np.uint8) for _ in range(60)
    ]
    readings = [meter.measure(gray) for gray in noisy]
    measured = np.std([reading.displacement for reading in readings], axis=0).mean(axis=1)
    said = np.median([reading.noise for reading in readings], axis=0)
    assert np.median(said / measured) == pytest.approx(1.0, abs=0.2)
    assert ((said / measured > 0.6) & (said / measured < 1.6)).all()
