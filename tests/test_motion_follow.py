"""Following a face from frame to frame: alignment, new anchors, losing and finding again."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from realtime_mer.face.align import apply, similarity
from realtime_mer.face.regions import EYES_CENTER, LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from realtime_mer.motion.follow import ANCHOR_AGE, Follower
from realtime_mer.records import Frame


@pytest.fixture
def follower(recording):
    return Follower(recording.detection(0.0), recording.frames[0])


def frame(gray, time):
    return Frame(0, time, gray)


def moved(gray, dx, dy):
    return cv2.warpAffine(gray, np.array([[1, 0, dx], [0, 1, dy]], np.float64), gray.shape[::-1], borderMode=1)


def apart(follower, points):
    """How far the carried landmarks lie from ``points``: the eyes and the nose, px of the picture."""
    steady = [*RIGHT_EYE_CORNERS, *LEFT_EYE_CORNERS, 168, 6, 197]
    return np.hypot(*(follower.carried().points - points)[steady].T).max()


def test_landmarks_are_carried_with_the_head(recording, follower):
    gray, points = recording.frames[0].gray, recording.points(0.0)
    for i in range(60):
        place = 12 * np.sin(i / 10), 8 * np.sin(i / 7)
        followed = follower.step(frame(moved(gray, *place), i / 100))
        assert not followed.lost
        assert apart(follower, points + np.float32(place)) < 0.5
        assert np.abs(followed.displacement).max() < 0.3


def test_the_recording_is_followed_without_a_detection(recording, follower):
    for each in recording.frames[1:700]:
        assert not follower.step(each).lost
    assert apart(follower, recording.points(recording.frames[699].time)) < 2.0


def test_the_speed_of_the_head(recording, follower):
    gray = recording.frames[0].gray
    scale = float(np.hypot(*follower.transform[0, :2]))
    for i in range(40):
        followed = follower.step(frame(moved(gray, i * 0.3, 0), i / 100))
    assert followed.head == pytest.approx(30 * scale, rel=0.1)
    for i in range(40, 80):
        followed = follower.step(frame(moved(gray, 39 * 0.3, 0), i / 100))
    assert followed.head < 2


def test_renewing_the_anchor_changes_neither_landmarks_nor_displacement(recording, follower):
    """Even when the landmarks of the latest detection lie some px from where the first ones were."""
    gray = recording.frames[0].gray
    follower.step(frame(gray, 0.01))
    detection = recording.detection(0.0)
    off = replace(detection, points=detection.points + np.float32((3.0, -2.0)))
    assert follower.agrees(off, follower.transform)
    for turn in range(1, 4):
        time = turn * (ANCHOR_AGE + 0.1)
        before = follower.step(frame(gray, time))
        anchors = follower.anchors
        follower.renew(frame(gray, time))
        assert follower.anchors == anchors + 1
        after = follower.step(frame(gray, time + 0.01))
        assert np.abs(after.displacement - before.displacement).max() < 0.1
        assert apart(follower, off.points) < 0.3
        eyes = apply(follower.transform, follower.carried().points[[*RIGHT_EYE_CORNERS, *LEFT_EYE_CORNERS]])
        np.testing.assert_allclose(eyes.mean(axis=0), EYES_CENTER, atol=0.3)


def test_an_anchor_is_stale_when_it_is_old_or_the_face_looks_different(recording, follower):
    gray = recording.frames[0].gray
    assert not follower.step(frame(gray, 0.5)).stale
    assert follower.step(frame(gray, ANCHOR_AGE + 0.1)).stale
    follower.renew(frame(gray, ANCHOR_AGE + 0.1))
    assert not follower.step(frame(gray, ANCHOR_AGE + 0.2)).stale
    strange = cv2.GaussianBlur(gray, (0, 0), 4)
    different = follower.step(frame(strange, ANCHOR_AGE + 0.3))
    assert different.stale
    assert not different.lost


@pytest.mark.parametrize("level", [0, 255])
def test_a_flash_is_lost_and_the_next_frame_found(recording, follower, level):
    gray = recording.frames[0].gray
    follower.step(frame(gray, 0.01))
    kept = follower.transform.copy()
    for i in range(2, 6):
        assert follower.step(frame(np.full_like(gray, level), i / 100)).lost
        np.testing.assert_array_equal(follower.transform, kept)
    followed = follower.step(frame(gray, 0.06))
    assert not followed.lost
    assert np.abs(followed.displacement).max() < 0.1


def test_a_detection_elsewhere_does_not_agree(recording, follower):
    follower.step(frame(recording.frames[0].gray, 0.01))
    detection, transform = recording.detection(0.0), follower.transform
    assert follower.agrees(detection, transform)
    for change in (lambda p: p + 40, lambda p: p * 1.5, lambda p: p * 0 + 5, lambda p: p * np.nan):
        other = replace(detection, points=change(detection.points).astype(np.float32))
        assert not follower.agrees(other, transform)


def test_a_new_seat_continues_the_displacement(recording, follower):
    moment = recording.frames[232]  # the inner brows are up
    for earlier in recording.frames[1:232]:
        last = follower.step(earlier)
    assert np.abs(last.displacement).max() > 0.5
    follower.reinitialize(recording.detection(moment.time), moment)
    after = follower.step(replace(moment, time=moment.time + 0.01))
    assert np.abs(after.displacement - last.displacement).max() < 0.2


def test_a_face_at_the_border_is_followed(recording):
    """The chin and one cheek lie outside the picture."""
    cut = recording.frames[0].gray[:170, 110:]
    points = recording.points(0.0) - np.float32([110, 0])
    detection = recording.detection(0.0)
    follower = Follower(replace(detection, points=points), frame(cut, 0.0))
    for whole in recording.frames[1:100]:
        followed = follower.step(replace(whole, gray=whole.gray[:170, 110:]))
        assert np.isfinite(followed.displacement).all()
    assert not followed.lost


def test_the_transform_is_near_the_similarity_of_the_landmarks(recording, follower):
    for each in recording.frames[1:150]:
        follower.step(each)
    true = similarity(recording.points(recording.frames[149].time))
    corners = np.array([[120.0, 90.0], [200.0, 90.0], [160.0, 170.0]])
    assert np.abs(apply(follower.transform, corners) - apply(true, corners)).max() < 2.0
