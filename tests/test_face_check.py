"""The light check: says yes to faces that are where they are said to be, and to nothing else."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from realtime_mer.bench.clips import Clip, make
from realtime_mer.errors import ModelError
from realtime_mer.face import FaceCheck, FaceDetector
from realtime_mer.records import Frame
from realtime_mer.sources import open_source


@pytest.fixture(scope="module")
def picture():
    with open_source(make(Clip(seconds=1.0))) as source:
        return next(iter(source)).gray


@pytest.fixture(scope="module")
def parts():
    with FaceDetector(max_faces=2) as detector, FaceCheck(max_faces=2) as checker:
        yield detector, checker


def frame(gray):
    return Frame(0, 0.0, np.ascontiguousarray(gray))


def moved(face, x=0.0, y=0.0, by=1.0):
    """The face, its points moved by so many distances between the eyes and scaled about their mean."""
    points = face.points
    eyes = np.hypot(*(points[263] - points[33])) * 0.7
    there = (points - points.mean(axis=0)) * by + points.mean(axis=0) + np.array([x, y]) * eyes
    return replace(face, points=there.astype(np.float32))


def test_faces_where_they_are_are_confirmed(parts, picture):
    detector, checker = parts
    (face,) = detector.detect(frame(picture))
    assert checker.check(frame(picture), [face])
    assert checker.check(frame(picture), [moved(face, x=0.05)])


@pytest.mark.parametrize("change", [{"x": 0.4}, {"y": -0.4}, {"by": 1.6}, {"by": 0.5}], ids=str)
def test_a_face_that_slipped_is_not_confirmed(parts, picture, change):
    detector, checker = parts
    (face,) = detector.detect(frame(picture))
    assert not checker.check(frame(picture), [moved(face, **change)])


def test_a_turned_head_is_not_confirmed(parts, picture):
    """Its eyes are where they were, its nose is not."""
    detector, checker = parts
    (face,) = detector.detect(frame(picture))
    points = face.points.copy()
    points[1, 0] += 0.5 * np.hypot(*(points[263] - points[33]))
    assert not checker.check(frame(picture), [replace(face, points=points)])


def test_a_face_that_left_or_one_that_came_is_not_confirmed(parts, picture):
    detector, checker = parts
    two = frame(np.hstack([picture, picture]))
    faces = detector.detect(two)
    assert len(faces) == 2
    assert checker.check(two, faces)
    assert not checker.check(two, faces[:1])
    assert not checker.check(frame(np.hstack([picture, np.full_like(picture, 120)])), faces)


def test_more_faces_than_may_be_followed_do_not_matter(picture):
    two = frame(np.hstack([picture, picture]))
    with FaceDetector(max_faces=2) as detector, FaceCheck(max_faces=1) as checker:
        assert checker.check(two, detector.detect(two)[:1])


def test_a_face_that_fills_the_picture_is_confirmed(parts, picture):
    detector, checker = parts
    (face,) = detector.detect(frame(picture))
    x0, y0, x1, y1 = (int(v) for v in face.box)
    close = cv2.resize(picture[y0 + 10 : y1 - 4, x0 + 6 : x1 - 6], None, fx=1.4, fy=1.4)
    seen = detector.detect(frame(close))
    assert len(seen) == 1
    assert checker.check(frame(close), seen)


def test_a_file_without_the_network_is_one_clear_line(tmp_path):
    broken = tmp_path / "face_landmarker.task"
    broken.write_bytes(b"PK")
    with pytest.raises(ModelError, match="is damaged"):
        FaceCheck(broken)
