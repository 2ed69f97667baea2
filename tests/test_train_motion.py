"""Training sees what the runtime sees: the same face followed through the same frames gives the same input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime_mer.config import Config
from realtime_mer.face.regions import SIZE
from realtime_mer.motion.flow import recognizer_input
from realtime_mer.records import Face
from realtime_mer.spotting.detector import MovementDetector
from realtime_mer.watched import WatchedFace
from train import inputs, maps, motion
from train.models.flow_default import CELLS, cell_means
from train.recipe import Input
from train.records import Clip

FIRST, ONSET, APEX, FPS = 218, 2, 14, 100.0  # of the shared recording: an inner brow raise begins at 2.2 s
HOW = Input("flow-uvs/1", SIZE, onset_moves_s=(0.02,), apex_moves_s=(-0.03,), tested_moves_s=((0.0, 0.03),))


class Known:
    """Finds the face where it is known to be, in pictures of one size only; ``calls`` counts the detections."""

    def __init__(self, face: Face | None, size: tuple[int, int] = (320, 240)) -> None:
        self._face, self._size, self.calls = face, size, 0

    def __call__(self, **_: object) -> Known:
        return self

    def detect(self, frame) -> tuple[Face, ...]:
        self.calls += 1
        return (self._face,) if self._face is not None and frame.size == self._size else ()

    def close(self) -> None:
        pass


def clip_of(folder: Path, grays, **changes) -> Clip:
    paths = []
    for k, gray in enumerate(grays):
        paths.append(folder / f"{k:03d}.png")
        cv2.imwrite(str(paths[-1]), gray)
    made = Clip("made-up", "s1", "a", tuple(paths), ONSET, APEX, len(paths) - 1, FPS, (), "surprise")
    return replace(made, **changes)


@pytest.fixture
def clip(recording, tmp_path) -> Clip:
    return clip_of(tmp_path, [frame.gray for frame in recording.frames[FIRST : FIRST + 24]])


@pytest.fixture
def known(recording, monkeypatch) -> Known:
    detector = Known(recording.detection(FIRST / FPS))
    monkeypatch.setattr(motion, "FaceDetector", detector)
    return detector


def test_the_input_is_that_of_the_pipeline_to_the_last_bit(recording, clip, known) -> None:
    x, kept, skipped = inputs._views([clip], HOW, None, quiet=True)
    assert (kept, skipped, known.calls) == ([0], [], 1)
    frames = [replace(frame, time=k / FPS) for k, frame in enumerate(recording.frames[FIRST : FIRST + 24])]
    face = WatchedFace(recording.detection(FIRST / FPS), frames[0], MovementDetector(Config().spot, 1), Config().faces)
    for frame in frames[: APEX + 6]:
        face.step(frame)
    onset, apex = ONSET / FPS, APEX / FPS
    pairs = [
        (onset, apex),
        (onset, apex - 0.03),
        (onset + 0.02, apex),
        (onset + 0.02, apex - 0.03),
        (onset, apex + 0.03),
    ]
    expected = np.stack([recognizer_input(face.ring.key_frames(*pair), HOW.feature, SIZE) for pair in pairs])
    assert np.array_equal(x[0], expected)
    assert np.ptp(expected[0, 1]) > 0.5  # something moved
    assert not np.array_equal(expected[0], expected[1])


@pytest.mark.usefixtures("known")
def test_the_first_view_is_tested_and_the_moved_key_frames_beside_it(clip) -> None:
    data = inputs.prepare([clip], ("negative", "surprise"), "3", HOW, quiet=True, keep=cell_means)
    assert data.samples.x.shape == (1, 2, CELLS, CELLS)
    assert data.samples.views.shape == (1, 4, 2, CELLS, CELLS)
    assert np.array_equal(data.samples.views[:, 0], data.samples.x)
    assert list(data.moved) == ["onset +0 ms, apex +30 ms"]
    assert data.own.tolist() == [True]


def test_a_face_that_fills_the_picture_is_found_with_a_border(recording, clip, monkeypatch) -> None:
    face = recording.detection(FIRST / FPS)
    margin = int(0.3 * 320)
    bordered = replace(face, points=face.points + np.float32(margin))
    monkeypatch.setattr(motion, "FaceDetector", Known(bordered, (320 + 2 * margin, 240 + 2 * margin)))
    x, _, skipped = inputs._views([clip], HOW, None, quiet=True)
    assert not skipped
    monkeypatch.setattr(motion, "FaceDetector", Known(face))
    assert np.allclose(x, inputs._views([clip], HOW, None, quiet=True)[0], atol=0.05)


@pytest.mark.usefixtures("known")
def test_what_cannot_be_followed_is_left_out_with_the_reason(recording, clip, tmp_path, monkeypatch) -> None:
    def reason(of: Clip) -> str:
        x, kept, skipped = inputs.build([of], HOW, None, quiet=True)
        assert not kept
        assert not len(x)
        return skipped[0].partition(": ")[2]

    grays = [frame.gray for frame in recording.frames[FIRST : FIRST + 24]]
    noise = np.random.default_rng(0).integers(0, 255, grays[0].shape, np.uint8)
    (tmp_path / "lost").mkdir()
    lost = clip_of(tmp_path / "lost", [*grays[:8], *[noise] * 16])
    assert reason(lost) == "the face is lost between onset and apex"
    assert reason(replace(clip, fps=0.0)) == "the frame rate is not known"
    assert reason(replace(clip, fps=5.0)) == "more than 2.5 s from onset to apex"
    assert reason(replace(clip, onset=None)) == "the onset is not annotated"
    assert reason(replace(clip, apex=None)) == "the apex is not annotated"
    assert reason(replace(clip, frames=clip.frames[:1])) == "a single image has no motion"
    monkeypatch.setattr(motion, "FaceDetector", Known(None))
    assert reason(clip) == "no face found at the onset"


@pytest.mark.usefixtures("known")
def test_the_frame_that_has_moved_most_is_the_apex(clip) -> None:
    assert abs(motion.moved_most(clip, motion.Faces()) - APEX) <= 3


def test_a_map_lies_on_the_part_of_the_face_that_it_shows(tmp_path) -> None:
    rgb = np.full((28, 28, 3), 128, np.uint8)
    rgb[20:22, 4:6, 1] = 28  # v: up, in one cell
    placed = maps.on_face(rgb[..., ::-1])
    assert placed.shape == (3, SIZE, SIZE)
    assert not placed[[0, 2]].any()
    assert np.all(placed[1, 26 + 60 : 26 + 66, 29 + 10 : 29 + 15] == -100)
    assert np.count_nonzero(placed) == 6 * 5
    cells = cell_means(placed[None])[0]
    assert cells[1, 10, 2] == -100
    assert np.count_nonzero(cells) == 1
    path = tmp_path / "map.png"
    cv2.imwrite(str(path), rgb[..., ::-1])
    still = Clip("smic", "s1", "a", (path,), None, 0, None, 0.0, (), "positive")
    data = inputs.prepare([still], ("positive", "negative"), "3", HOW, quiet=True, keep=cell_means)
    assert np.array_equal(data.samples.views[0], np.stack([cells] * 4))  # a map has no key frames to be moved
    assert not data.own.any()


def test_a_map_is_sampled_evenly() -> None:
    random = np.random.default_rng(0).integers(0, 255, (28, 28, 3), np.uint8)
    uv = random[:, :, :0:-1].astype(np.float32)
    small = cv2.resize(uv - np.median(uv, axis=(0, 1)), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    assert np.allclose(cell_means(maps.on_face(random)[None])[0], small.transpose(2, 0, 1), atol=1e-4)
