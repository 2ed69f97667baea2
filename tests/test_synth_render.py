"""Drawn frames: what moves, how far, when; noise; blinks; injection. Needs scikit-image and the face model."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from realtime_mer.errors import SourceError
from realtime_mer.face.align import similarity
from realtime_mer.face.detect import FaceDetector
from realtime_mer.face.regions import REGIONS
from realtime_mer.records import Floats, Frame, Gray
from realtime_mer.synth import (
    MOVEMENTS,
    Blink,
    Camera,
    Pulse,
    Script,
    Sway,
    Turn,
    clear,
    inject,
    landmarks,
    portrait,
    render,
)
from realtime_mer.synth.render import DrawnFace
from realtime_mer.synth.warp import LIDS

STILL = Sway(shift=0, roll=0, yaw=0, pitch=0, scale=0)
CLEAN = Camera(noise=0, shot=0, drift=0)
POINTS = {region.name: list(region.points) for region in REGIONS}


def frames(script: Script, *times: float) -> list[Frame]:
    return list(render(script, *portrait(), times=np.array(times)))


def flow(before: Gray, after: Gray) -> Floats:
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    return dis.calc(before, after, None)


def moved(measured: Floats, points: Floats, region: str) -> np.ndarray:
    """Mean measured displacement of a region's landmarks, px of the aligned face."""
    at = points[POINTS[region]].round().astype(int)
    return similarity(points)[:, :2] @ measured[at[:, 1], at[:, 0]].mean(axis=0)


@pytest.mark.parametrize("name", sorted(MOVEMENTS))
def test_the_regions_move_as_far_as_the_pulse_says(name: str) -> None:
    script = Script(1, 100, pulses=(Pulse(MOVEMENTS[name], 2.0, 0.2, 0.4, 0.6),), sway=STILL, camera=CLEAN)
    onset, apex = frames(script, 0.2, 0.4)
    measured = flow(onset.gray, apex.gray)
    for region, dx, dy in script.truth()[0].regions:
        asked = np.array([dx, dy])
        along = moved(measured, portrait()[1], region) @ asked / (asked @ asked)
        assert along == pytest.approx(1, abs=0.1), region


@pytest.mark.parametrize("peak", [0.3, 1.0, 3.0])
def test_landmarks_arrive_exactly_where_the_pulse_sends_them(peak: float) -> None:
    script = Script(1, 100, pulses=(Pulse(MOVEMENTS["brow raise"], peak, 0.2, 0.4, 0.6),), sway=STILL)
    _, points = portrait()
    arrived = DrawnFace(*portrait()).points_at(script, 0.4)
    for region, dx, dy in script.truth()[0].regions:
        shift = similarity(points)[:, :2] @ (arrived - points)[POINTS[region]].mean(axis=0)
        np.testing.assert_allclose(shift, [dx, dy], atol=0.06 * peak)


def test_a_pulse_begins_and_ends_exactly_on_time() -> None:
    script = Script(1, 100, pulses=(Pulse(MOVEMENTS["smile"], 2.0, 0.2, 0.4, 0.6),), sway=STILL, camera=CLEAN)
    rest, onset, early, late, offset = (f.gray for f in frames(script, 0.0, 0.2, 0.23, 0.57, 0.6))
    np.testing.assert_array_equal(rest, onset)
    np.testing.assert_array_equal(rest, offset)
    assert (early != rest).any()
    assert (late != rest).any()


def test_a_one_sided_pulse_leaves_the_other_side_at_rest() -> None:
    script = Script(1, 100, pulses=(Pulse(MOVEMENTS["left smirk"], 2.0, 0.2, 0.4, 0.6),), sway=STILL, camera=CLEAN)
    measured = flow(*(f.gray for f in frames(script, 0.2, 0.4)))
    _, points = portrait()
    assert np.linalg.norm(moved(measured, points, "left lip corner")) > 1.8
    assert np.linalg.norm(moved(measured, points, "right lip corner")) < 0.1
    assert np.linalg.norm(moved(measured, points, "right inner brow")) < 0.1


def test_the_frame_rate_does_not_change_the_pictures() -> None:
    slow = Script(1, 25, seed=3, camera=CLEAN, pulses=(Pulse(MOVEMENTS["smile"], 2.0, 0.2, 0.4, 0.6),))
    fast = list(render(replace(slow, fps=200), *portrait()))
    for frame in render(slow, *portrait()):
        assert fast[frame.index * 8].time == pytest.approx(frame.time)
        np.testing.assert_array_equal(fast[frame.index * 8].gray, frame.gray)


def test_the_same_seed_gives_the_same_frames_and_another_does_not() -> None:
    script = Script(0.1, 60, seed=3)
    first, again = list(render(script, *portrait())), list(render(script, *portrait()))
    other = list(render(replace(script, seed=4), *portrait()))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.gray, b.gray)
        np.testing.assert_array_equal(a.image, b.image)
        assert (a.gray != c.gray).mean() > 0.3


def test_the_head_moves_as_a_whole_and_the_background_rests() -> None:
    script = Script(1, 100, sway=STILL, camera=CLEAN, turns=(Turn(0.0, 0.5, 1.0, roll=3.0, shift=(4.0, 2.0)),))
    rest, apex = frames(script, 0.0, 0.5)
    measured = flow(rest.gray, apex.gray)
    _, points = portrait()
    arrived = DrawnFace(*portrait()).points_at(script, 0.5)
    for region in ("right inner brow", "left lip corner", "chin"):
        at = points[POINTS[region]].round().astype(int)
        expected = (arrived - points)[POINTS[region]].mean(axis=0)
        np.testing.assert_allclose(measured[at[:, 1], at[:, 0]].mean(axis=0), expected, atol=0.5)
    np.testing.assert_array_equal(rest.gray[:, :20], apex.gray[:, :20])


def test_a_turn_moves_the_nose_more_than_the_temples() -> None:
    script = Script(1, 100, sway=STILL, turns=(Turn(0.0, 0.5, 1.0, yaw=5.0),))
    arrived, points = DrawnFace(*portrait()).points_at(script, 0.5), portrait()[1]
    dx = (arrived - points)[:, 0]
    assert dx[1] > 2 * dx[127] > 0  # nose tip, right temple: to the subject's left is the picture's right


def test_a_blink_covers_the_eyes_with_skin() -> None:
    script = Script(1, 100, sway=STILL, camera=CLEAN, blinks=(Blink(0.2, 0.3, 0.5),))
    opened, shut, after = frames(script, 0.2, 0.3, 0.5)
    np.testing.assert_array_equal(opened.gray, after.gray)
    _, points = portrait()
    for iris in (468, 473):
        x, y = points[iris].round().astype(int)
        eye = np.s_[y - 2 : y + 3, x - 2 : x + 3]
        assert shut.gray[eye].mean() > opened.gray[eye].mean() + 30  # a dark iris becomes lid
    with FaceDetector(max_faces=1) as detector:
        heights = [_opening(detector.detect(frame)[0].points) for frame in (opened, shut)]
    assert heights[1] < 0.5 * heights[0]


def _opening(points: Floats) -> float:
    return float(np.mean([(points[low[4]] - points[up[4]])[1] for up, low in LIDS]))


def test_noise_has_the_level_asked_for_and_is_never_repeated() -> None:
    script = Script(1, 100, sway=STILL, camera=Camera(noise=3.0, shot=0, drift=0))
    clean = frames(replace(script, camera=CLEAN), 0.0)[0].gray.astype(int)
    noisy = [f.gray.astype(int) for f in frames(script, *np.arange(6) / 100)]
    inside = (clean > 20) & (clean < 235)  # away from clipping
    errors = np.array([(n - clean)[inside] for n in noisy])
    assert np.abs(errors.mean(axis=1)).max() < 0.05
    np.testing.assert_allclose(errors.std(axis=1), np.hypot(3.0, np.sqrt(1 / 6)), rtol=0.05)  # rounding twice
    assert np.abs(np.corrcoef(errors) - np.eye(6)).max() < 0.02


def test_shot_noise_grows_with_brightness() -> None:
    script = Script(1, 100, sway=STILL, camera=Camera(noise=0, shot=0.05, drift=0))
    a, b = (f.gray.astype(int) for f in frames(script, 0.0, 0.01))
    dark, bright = (a > 15) & (a < 40), (a > 180) & (a < 235)
    assert (b - a)[bright].std() == pytest.approx(np.sqrt(2 * 0.05 * a[bright].mean()), rel=0.1)
    assert (b - a)[bright].std() > 1.5 * (b - a)[dark].std()


def test_light_drifts_and_flickers() -> None:
    script = Script(1, 400, camera=Camera(drift=0, flicker=0.1, flicker_rate=100))
    assert script.light(0.0025) == pytest.approx(1.1)
    assert script.light(0.0075) == pytest.approx(0.9)
    bright, dark = (f.gray.mean() for f in frames(replace(script, sway=STILL), 0.0025, 0.0075))
    assert bright / dark == pytest.approx(1.1 / 0.9, rel=0.05)


def test_color_agrees_with_gray() -> None:
    frame = next(iter(render(Script(1, 100), *portrait())))
    again = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY).astype(int)
    assert np.median(np.abs(again - frame.gray)) <= 1
    difference = np.abs(frame.image.astype(int) - portrait()[0]).mean(axis=(0, 1))
    assert (difference < 10).all()  # the right colors in the right places


def test_an_injected_pulse_moves_a_moving_face_by_what_was_asked() -> None:
    script = Script(1.2, 60, seed=2, camera=CLEAN)
    source = list(render(script, *portrait()))
    face = DrawnFace(*portrait())
    jitter = np.random.default_rng(0)
    track = [
        (f.time, (face.points_at(script, f.time) + jitter.normal(0, 0.5, (478, 2))).astype(np.float32)) for f in source
    ]
    pulse = Pulse(MOVEMENTS["inner brow raise"], 2.0, 0.45, 0.6, 0.8)
    result = list(inject(source, track, [pulse]))
    for before, after in zip(source, result, strict=True):
        assert (before.index, before.time) == (after.index, after.time)
        if not pulse.onset < before.time < pulse.offset:
            assert after is before
    apex = min(range(len(source)), key=lambda i: abs(source[i].time - 0.6))
    points = face.points_at(script, source[apex].time)
    measured = flow(source[apex].gray, result[apex].gray)
    for region in ("right inner brow", "left inner brow"):
        shift = moved(measured, points, region)
        assert shift[1] == pytest.approx(-pulse.at(source[apex].time), rel=0.1)
    assert (result[apex].image != source[apex].image).any()


def test_nothing_is_injected_where_no_face_was_seen() -> None:
    source = list(render(Script(0.5, 30), *portrait()))
    points = portrait()[1]
    pulse = Pulse(MOVEMENTS["smile"], 1.0, 0.1, 0.2, 0.3)
    late = Pulse(MOVEMENTS["smile"], 1.0, 0.3, 0.4, 0.9)
    seen = [(f.time, points) for f in source]
    assert clear(seen, [pulse, late]) == [pulse]
    assert clear([(t, None if 0.15 < t < 0.2 else p) for t, p in seen], [pulse]) == []
    with pytest.raises(SourceError, match="no face"):
        list(inject(source, [(t, None) for t, _ in seen], [pulse]))


def test_landmarks_follow_the_drawn_face() -> None:
    script = Script(0.1, 30, seed=5)
    found = landmarks(render(script, *portrait()))
    face = DrawnFace(*portrait())
    for time, points in found:
        assert points is not None
        assert np.abs(points - face.points_at(script, time)).mean() < 2.0
