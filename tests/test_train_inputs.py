"""From clips to inputs: crops, sizes, the choice of frames, the cache, what is left out. Faces are made-up points."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime_mer.errors import ConfigError, DataError
from realtime_mer.face.regions import LEFT_EYE_CORNERS, REGIONS, RIGHT_EYE_CORNERS
from realtime_mer.records import Face
from train import crop, inputs
from train.recipe import Input
from train.records import THREE, Clip


def found(angle: float = 0.0) -> Face:
    """Points of a made-up face around (100, 100), turned by ``angle`` degrees: eyes 60 px apart, regions in a grid."""
    points = np.full((478, 2), 100.0, np.float32)
    points[list(RIGHT_EYE_CORNERS)] = (70, 80)
    points[list(LEFT_EYE_CORNERS)] = (130, 80)
    for i, region in enumerate(REGIONS):
        free = [p for p in region.points if p not in (*RIGHT_EYE_CORNERS, *LEFT_EYE_CORNERS)]
        points[free] = (60 + 20 * (i % 5), 70 + 30 * (i // 5))
    turn = cv2.getRotationMatrix2D((100, 100), -angle, 1.0)
    points = (points @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    return Face(0, (40.0, 30.0, 160.0, 170.0), points, 1.0, (0.0, 0.0, 0.0))


@pytest.mark.parametrize("angle", [0.0, 12.0, -20.0])
def test_the_eye_line_is_level_after_the_turn(angle: float) -> None:
    detection = found(angle)
    image = np.zeros((200, 200, 3), np.uint8)
    for corners in (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS):
        x, y = detection.points[list(corners)].mean(axis=0)
        cv2.circle(image, (round(float(x)), round(float(y))), 4, (255, 255, 255), -1)
    level = crop.by_eyes(image, detection)
    assert level.shape[:2] == (140, 120)  # the box found before turning
    rows, columns = np.nonzero(level[:, :, 0] > 128)
    left, right = rows[columns < 60].mean(), rows[columns > 60].mean()
    assert abs(left - right) < 1.0


def test_outside_the_regions_all_is_black() -> None:
    cut = crop.regions(np.full((200, 200, 3), 200, np.uint8), found())
    assert cut.shape[:2] == (140, 120)
    assert cut[0, 0].tolist() == [0, 0, 0]
    share = (cut[:, :, 0] > 0).mean()
    assert 0.1 < share < 0.9


def clip_of(folder: Path, name: str, frames: int = 9, apex: int | None = 6, onset: int | None = 2) -> Clip:
    """Frame k is uniform: blue 10 k, green 0, red 250 - 10 k."""
    paths = []
    for k in range(frames):
        path = folder / f"{name}_{k}.png"
        cv2.imwrite(str(path), np.full((20, 16, 3), (10 * k, 0, 250 - 10 * k), np.uint8))
        paths.append(path)
    return Clip("made-up", "s1", name, tuple(paths), onset, apex, frames - 1, 200.0, (), "happiness")


@pytest.mark.parametrize(("apex", "expected"), [("annotated", 6), ("middle", 4)])
def test_the_apex_is_the_frame_asked_for_and_colors_are_rgb(tmp_path, apex: str, expected: int) -> None:
    x, kept, skipped = inputs.build([clip_of(tmp_path, "a")], Input("apex-rgb/1", 8, "none", apex), None, quiet=True)
    assert x.shape == (1, 3, 8, 8)
    assert x[0, :, 0, 0].tolist() == [250 - 10 * expected, 0, 10 * expected]
    assert kept == [0]
    assert not skipped


def test_three_frames_are_onset_middle_and_apex(tmp_path) -> None:
    x, _, _ = inputs.build([clip_of(tmp_path, "a")], Input("frames-gray/1", 8), None, quiet=True)
    grays = [cv2.cvtColor(np.uint8([[[10 * k, 0, 250 - 10 * k]]]), cv2.COLOR_BGR2GRAY)[0, 0] for k in (2, 4, 6)]
    assert x[0, :, 0, 0].tolist() == grays


def test_a_clip_without_its_annotation_is_left_out_and_named(tmp_path) -> None:
    clips = [clip_of(tmp_path, "a"), clip_of(tmp_path, "b", apex=None)]
    _, kept, skipped = inputs.build(clips, Input("apex-rgb/1", 8), None, quiet=True)
    assert kept == [0]
    assert skipped == ["made-up/s1/b: the apex is not annotated"]
    _, kept, _ = inputs.build(clips, Input("apex-rgb/1", 8, apex="annotated-or-middle"), None, quiet=True)
    assert kept == [0, 1]
    with pytest.raises(DataError, match="gives an input"):
        inputs.prepare(clips[1:], THREE, "3", Input("apex-rgb/1", 8), quiet=True)


def test_the_cache_gives_the_same_and_notices_changes(tmp_path) -> None:
    clips, how, cache = [clip_of(tmp_path, "a")], Input("apex-rgb/1", 8), tmp_path / "cache"
    first = inputs.prepare(clips, THREE, "3", how, cache, quiet=True)
    assert len(list(cache.iterdir())) == 1
    again = inputs.prepare(clips, THREE, "3", how, cache, quiet=True)
    assert np.array_equal(first.samples.x, again.samples.x)
    assert first.samples.y.tolist() == [THREE.index("positive")]
    clip_of(tmp_path, "a", frames=9)  # written again: other time stamps
    inputs.prepare(clips, THREE, "3", how, cache, quiet=True)
    assert len(list(cache.iterdir())) == 2


def test_a_feature_nobody_knows_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="unknown feature"):
        inputs.build([clip_of(tmp_path, "a")], Input("smell/1", 8), None)
