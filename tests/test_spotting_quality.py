"""The smallest movement that a recording can show: what is predicted against what the spotter finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from made_observations import face

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import NAMES
from realtime_mer.records import FaceSignal, Kind, Measurement, Observation
from realtime_mer.spotting.detector import MovementDetector
from realtime_mer.spotting.quality import FULL_RATE, HEAD, PULSE_S, SLOW, Quality, Sensitivity, kept
from realtime_mer.typed import convert

SETTLING = ("not watched for 16 % of the time: learning the resting face",)  # 1 s of 6 s
EVERY = 3.0  # s between two movements
PAIRS = ("left lip corner", "right lip corner"), ("left inner brow", "right inner brow"), ("chin", "lower lip")


def measured(
    strength: float, fps: float, noise: float, seconds: float, head: float = 2.0, sway: float = 0.05
) -> Iterator[Measurement]:
    """A face whose regions jitter by ``noise`` px in each frame, and of which two move by ``strength`` px now and then.

    sway: px by which they wander slowly, as those of every face do. head: px/s.
    """
    random = np.random.default_rng(5)
    nothing = np.zeros((1, 1), np.uint8), np.eye(2, 3)
    for index in range(round(seconds * fps)):
        time = index / fps
        slow = sway * np.sin(2.0 * time + np.arange(2 * len(NAMES)).reshape(-1, 2))
        moved = slow + random.normal(0, noise, (len(NAMES), 2))
        into = (time % EVERY) - EVERY / 2
        if abs(into) < PULSE_S / 2:
            pair = PAIRS[int(time / EVERY) % len(PAIRS)]
            moved[[NAMES.index(name) for name in pair]] += (
                0,
                strength * (0.5 + 0.5 * np.cos(2 * np.pi * into / PULSE_S)),
            )
        quality = np.full(len(NAMES), noise, np.float32), head, 1.0, 0.95, False, False
        yield Measurement(index, time, moved.astype(np.float32), *quality, *nothing)


def watched(
    strength: float,
    fps: float,
    noise: float,
    seconds: float = 45.0,
    head: float = 2.0,
    said: float | None = None,
    sway: float = 0.05,
) -> tuple[Sensitivity | None, float]:
    """What is predicted, and the share of the movements that were found. said: the rate as told, if another."""
    detector, quality, found = MovementDetector(), Quality(), 0
    for measurement in measured(strength, fps, noise, seconds, head, sway):
        activity, movements = detector.push(measurement)
        found += sum(m.kind is Kind.MICRO and m.offset is not None for m in movements)
        signal = FaceSignal(face(), activity, "" if detector.settled else "learning the resting face")
        quality.push(Observation(measurement.index, measurement.time, (signal,), (), said or fps))
    return quality.result(), found / (seconds / EVERY)


@pytest.mark.parametrize(("fps", "noise"), [(30, 0.02), (30, 0.08), (100, 0.05)])
def test_movements_are_seen_from_about_the_predicted_strength_on(fps: float, noise: float) -> None:
    predicted, _ = watched(0.0, fps, noise, 20)
    assert predicted is not None
    assert predicted.shift_px is not None
    assert watched(predicted.shift_px / 1.5, fps, noise)[1] < 0.8
    assert watched(predicted.shift_px * 1.5, fps, noise)[1] > 0.8


def test_noise_and_few_frames_raise_it_and_are_named() -> None:
    still, noisy, slow = (watched(0.0, fps, noise, 6)[0] for fps, noise in ((100, 0.01), (100, 0.2), (24, 0.1)))
    assert still is not None
    assert noisy is not None
    assert slow is not None
    assert still.shift_px is not None
    assert noisy.shift_px is not None
    assert slow.shift_px is not None
    assert still.shift_px < 0.25 < noisy.shift_px
    assert still.reasons == SETTLING
    assert noisy.reasons[0].startswith("the face at rest wanders by 0.")
    assert "sensor noise or compression" in noisy.reasons[0]
    # the noise of a frame is half as large, but it is averaged over fewer of them
    assert slow.shift_px > 0.7 * noisy.shift_px
    assert "24 new frames per second" in slow.reasons
    assert not any("new frames" in reason for reason in noisy.reasons)


def test_a_face_that_sways_is_told_from_a_noisy_camera() -> None:
    can, _ = watched(0.0, 60, 0.01, 8, sway=0.3)
    assert can is not None
    assert "slowly: the head sways" in can.reasons[0]
    assert not any("new frames" in reason for reason in can.reasons)


def test_what_frames_take_of_a_movement() -> None:
    settings = SpotConfig()
    shares = [kept(fps, settings) for fps in (20, 30, 100, int(FULL_RATE))]
    assert shares == sorted(shares)
    # the mean of a raised cosine over smoothing_s about its apex, against all of its rise
    half = np.pi * settings.smoothing_s / PULSE_S
    assert shares[-1] == pytest.approx(0.5 + 0.5 * np.sin(half) / half, abs=0.015)


def test_too_few_frames_show_nothing() -> None:
    can, _ = watched(0.0, 60, 0.02, 4, said=12.0)  # four of five frames repeat the one before
    assert can == Sensitivity(None, 0.0, 0.0, can.reasons if can else ())
    assert can is not None
    assert can.reasons[0].endswith(SLOW)
    assert can.line == "no micro-expression can be seen here"


def test_a_fast_head_is_not_watched_and_that_is_said() -> None:
    can, _ = watched(0.0, 60, 0.02, 4, head=40.0)
    assert can is not None
    assert can.shift_px is None
    assert can.share == 0
    assert any(HEAD in reason for reason in can.reasons)


def test_nothing_is_said_without_a_face() -> None:
    quality = Quality()
    for index in range(100):
        quality.push(Observation(index, index / 30, (), (), 30.0))
    assert quality.result() is None


def pushed(gray: np.ndarray, box: tuple[float, float, float, float], noise: float = 0.1) -> tuple[str, ...]:
    detector, quality = MovementDetector(), Quality()
    for measurement in measured(0.0, 60, noise, 4):
        activity, _ = detector.push(measurement)
        signal = FaceSignal(face(box=box), activity, "" if detector.settled else "learning the resting face")
        quality.push(Observation(measurement.index, measurement.time, (signal,), (), 60.0), gray)
    can = quality.result()
    assert can is not None
    return can.reasons


def test_size_light_and_blur_are_named_as_causes() -> None:
    large, small = (40.0, 40.0, 200.0, 200.0), (40.0, 40.0, 110.0, 110.0)
    pattern = np.random.default_rng(1).uniform(0, 255, (24, 24)).astype(np.uint8)
    sharp = np.kron(pattern, np.ones((10, 10), np.uint8))
    (good, *_), (flat, *_), (dark, *_) = (pushed(gray, large) for gray in (sharp, sharp // 64 + 120, sharp // 6))
    assert "flat or blurred" in flat
    assert "flat or blurred" not in good
    assert "too dark" in dark
    assert "too dark" not in good
    assert "too dark" not in flat
    assert "the face is only 70 px wide" in pushed(sharp, small)[0]


def test_a_live_line_forgets() -> None:
    forgetful, faithful = Quality(memory_s=1.0), Quality()
    detector = MovementDetector()
    for index, measurement in enumerate(measured(0.0, 60, 0.02, 12)):
        noisy = dataclasses.replace(measurement, head=40.0) if index > 360 else measurement
        activity, _ = detector.push(noisy)
        for quality in (forgetful, faithful):
            signal = FaceSignal(face(), activity, "" if detector.settled else "learning the resting face")
            quality.push(Observation(index, measurement.time, (signal,), (), 60.0))
    now, always = forgetful.result(), faithful.result()
    assert now is not None
    assert always is not None
    assert now.share < 0.05 < 0.3 < always.share


def test_it_comes_back_from_json() -> None:
    can = Sensitivity(0.4, 1.5, 0.9, ("17 new frames per second",))
    assert convert({**dataclasses.asdict(can), "reasons": list(can.reasons)}, Sensitivity) == can
    assert can.line.endswith("0.40 px, 0.9 % of the distance between the eyes")
    assert "17 new frames per second" in can.text
