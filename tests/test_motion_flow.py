"""The onset-to-apex feature on made-up textures whose motion is known."""

import cv2
import numpy as np
import pytest

from realtime_mer.face.regions import SIZE
from realtime_mer.motion import flow as features
from realtime_mer.motion.flow import FEATURES, OVAL, flow_uvs, recognizer_input
from realtime_mer.motion.ring import KeyFrames

CX, CY, A, B = OVAL
GRID = np.arange(SIZE, dtype=np.float32)
INSIDE = np.hypot((GRID[None, :] - CX) / A, (GRID[:, None] - CY) / B) < 0.85
SPOT = (82.0, 88.0)  # where a lip corner lies


def texture(seed=0):
    """Skin-like gray: noise of several sizes."""
    random = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(random.normal(size=(SIZE, SIZE)), (0, 0), s) * s for s in (1.5, 3, 6)]
    picture = sum(layers)
    return (128 + 35 * picture / picture.std()).clip(0, 255).astype(np.uint8)


def moved(picture, dx, dy):
    """``picture`` with the skin at (x, y) shifted by (dx, dy), arrays or numbers, px (good for small smooth shifts)."""
    x, y = np.meshgrid(GRID, GRID)
    return cv2.remap(picture, (x - dx).astype(np.float32), (y - dy).astype(np.float32), cv2.INTER_CUBIC, borderMode=1)


def bump(height, at=SPOT, width=8.0):
    x, y = np.meshgrid(GRID, GRID)
    return height * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * width**2))


def test_the_recognizers_input_is_averaged_to_its_size_and_keeps_the_unit(monkeypatch):
    motion = np.zeros((3, 128, 128), np.float32)
    motion[0, :, :64] = 1.5
    monkeypatch.setitem(FEATURES, "flow-uvs/1", lambda *_: motion)
    still = KeyFrames([texture()], [texture()])
    small = recognizer_input(still, "flow-uvs/1", 32)
    assert small.shape == (3, 32, 32)
    assert small.dtype == np.float32
    np.testing.assert_allclose(small[0], np.repeat([[1.5, 0.0]], 16, axis=1).repeat(32, axis=0))
    assert recognizer_input(still, "flow-uvs/1", 128) is motion


def test_a_still_face_has_no_motion():
    assert np.abs(flow_uvs([texture()], [texture()])).max() < 0.02


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0, 1.7], [0, 1, -1.2]],
        [[0.9998, -0.02, 1.5], [0.02, 0.9998, -1.0]],
        [[1.02, 0, -1.3], [0, 1.02, -1.3]],
    ],
    ids=["shift", "roll", "nearer"],
)
def test_head_motion_is_removed(matrix):
    face = texture()
    there = cv2.warpAffine(face, np.array(matrix, np.float64), (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=1)
    u, v, _ = flow_uvs([face], [there])
    assert np.hypot(u, v)[INSIDE].mean() < 0.1


def test_a_local_movement_is_found_in_px_and_where_it_is():
    face = texture()
    u, v, strain = flow_uvs([face], [moved(face, bump(0.8, width=12), bump(-1.5, width=12))])
    there = bump(1.0, width=12) > 0.5
    true_mean = bump(1.0, width=12)[there].mean()
    # The flow smooths and the head's affine takes a share: a spot comes out at about half its size.
    assert 0.4 < u[there].mean() / (0.8 * true_mean) < 1.1
    assert 0.4 < v[there].mean() / (-1.5 * true_mean) < 1.1
    far = INSIDE & (bump(1.0, width=20) < 0.05)
    assert np.hypot(u, v)[far].mean() < 0.1
    assert strain[INSIDE & ~far].mean() > 2.5 * strain[far].mean()


def test_a_local_movement_survives_head_motion():
    face = texture()
    still = flow_uvs([face], [moved(face, bump(0.8), bump(-1.5))])
    swayed = flow_uvs([face], [moved(face, bump(0.8) + 1.3, bump(-1.5) - 0.9)])
    assert np.abs(still - swayed)[:2, INSIDE].mean() < 0.1


def test_brighter_light_is_not_motion():
    face = texture()
    brighter = (face.astype(np.float32) * 1.1 + 8).clip(0, 255).astype(np.uint8)
    u, v, _ = flow_uvs([face], [brighter])
    assert np.hypot(u, v)[INSIDE].mean() < 0.1


def test_a_mirrored_face_moves_as_in_a_mirror():
    face = texture()
    apex = moved(face, bump(0.8), bump(-1.5))
    straight = flow_uvs([face], [apex])
    mirrored = flow_uvs([np.ascontiguousarray(face[:, ::-1])], [np.ascontiguousarray(apex[:, ::-1])])[:, :, ::-1]
    difference = np.stack([straight[0] + mirrored[0], straight[1] - mirrored[1]])
    assert np.abs(difference)[:, INSIDE].mean() < 0.05


def test_averaging_frames_lowers_the_noise():
    random = np.random.default_rng(1)
    face = texture()

    def shots(count):
        return [(face + random.normal(0, 6, face.shape)).clip(0, 255).astype(np.uint8) for _ in range(count)]

    def level(count):
        return np.abs(flow_uvs(shots(count), shots(count))[:2, INSIDE]).mean()

    assert level(5) < 0.75 * level(1)


def test_outside_the_face_is_nothing():
    random = np.random.default_rng(2)
    pictures = [random.integers(0, 256, (SIZE, SIZE), np.uint8) for _ in range(2)]
    feature = flow_uvs([pictures[0]], [pictures[1]])
    assert feature.shape == (3, SIZE, SIZE)
    assert feature.dtype == np.float32
    assert np.isfinite(feature).all()
    assert not feature[:, :, :20].any()
    assert not feature[:, :10].any()


def test_the_same_pictures_give_the_same_numbers():
    face, apex = texture(), texture(5)
    assert np.array_equal(flow_uvs([face], [apex]), flow_uvs([face], [apex]))


@pytest.mark.parametrize(
    ("onset", "apex"),
    [
        ([], [texture()]),
        ([texture()], []),
        ([texture()], [texture()[:64, :64]]),
        ([texture(), texture()[:64]], [texture()]),
        ([texture()[:64]], [texture()[:64]]),
    ],
    ids=["no onset", "no apex", "two sizes", "two sizes in one", "not square"],
)
def test_what_is_not_one_face_is_refused(onset, apex):
    with pytest.raises(ValueError, match="image"):
        flow_uvs(onset, apex)


def test_the_head_motion_taken_away_is_what_the_shipped_recognizer_was_trained_with():
    """Affine motion, a wavy disturbance and a spot of its own. When these numbers change, the feature needs a new id:
    the fit is shared with the motion of every frame, and may be tuned there."""
    y, x = np.indices((SIZE, SIZE), dtype=np.float64)
    flow = np.stack([0.3 + 0.004 * x - 0.002 * y, -0.5 + 0.003 * x + 0.001 * y], axis=-1)
    flow += 0.1 * np.stack([np.sin(0.7 * x + 0.3 * y), np.cos(0.4 * x - 0.9 * y)], axis=-1)
    flow[85:105, 50:75] += (1.5, -0.7)
    head = features._head(flow.astype(np.float32), features.oval(SIZE))
    assert "flow-uvs/1" in FEATURES
    np.testing.assert_allclose(head[0, 0], (0.290053, -0.494659), atol=2e-6)
    np.testing.assert_allclose(head[0, 127], (0.799719, -0.108204), atol=2e-6)
    np.testing.assert_allclose(head[127, 0], (0.057460, -0.386620), atol=2e-6)


def test_feature_ids_carry_a_version():
    assert all(name.rpartition("/")[2].isdigit() for name in FEATURES)
