"""The resting face: averaged measurements, what is learned as noise, and that it does not depend on the frame rate."""

import numpy as np
import pytest

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import EYE_REGIONS, REGIONS
from realtime_mer.spotting.baseline import ACTIVE, UPPER, Baseline
from realtime_mer.spotting.lengths import lengths

STILL = np.zeros((len(REGIONS), 2), np.float32)


def settled(fps, noise, seconds=20.0, seed=0):
    """A baseline that has watched white noise of ``noise`` px."""
    rest, random = Baseline(SpotConfig()), np.random.default_rng(seed)
    for i in range(round(seconds * fps)):
        _, smooth, before = rest.push(i / fps, random.normal(0, noise, STILL.shape).astype(np.float32))
        change = smooth - before
        away = lengths(change)
        rest.learn(1 / fps if i else 0.0, smooth, away, rest.activity(away, True), first=i < fps)
    return rest


@pytest.mark.parametrize("fps", [24, 60, 100, 240, 1000])
def test_averages_over_a_time_not_a_count(fps):
    rest = Baseline(SpotConfig())
    for i in range(fps):
        center, smooth, before = rest.push(i / fps, np.full_like(STILL, i / fps))
    now = (fps - 1) / fps
    assert now - SpotConfig().smoothing_s / 2 - 1e-9 <= center <= now
    assert smooth == pytest.approx(center, abs=1e-4)  # a ramp averaged is the ramp at the middle of the times
    assert before[0, 0] == pytest.approx(now - SpotConfig().change_s, abs=1 / fps + SpotConfig().smoothing_s)


def test_restart_looks_back_no_further():
    rest = Baseline(SpotConfig(smoothing_s=0.0))
    for i in range(20):
        rest.push(i / 100, STILL + i)
    rest.restart()
    _, _, before = rest.push(0.2, STILL + 20)
    assert before[0, 0] >= 18


def test_noise_is_what_the_measurements_show():
    small, large = settled(100, 0.05), settled(100, 0.2)
    ratio = large.noise / small.noise
    np.testing.assert_allclose(ratio, 4.0, rtol=0.35)
    # at 100 frames/s six measurements are averaged, and a change is the difference of two averages
    np.testing.assert_allclose(small.noise, 0.05 * np.sqrt(2 / 6), rtol=0.35)


@pytest.mark.parametrize("fps", [24, 60, 240])
def test_what_rest_looks_like_does_not_depend_on_the_frame_rate(fps):
    """The activity is in units of noise, so that one threshold serves all rates."""
    here, there = settled(fps, 0.1), settled(100, 0.1)
    assert here.level == pytest.approx(there.level, rel=0.25)
    assert here.level_noise == pytest.approx(there.level_noise, rel=0.4)


def test_one_outlier_is_not_noise():
    rest = settled(100, 0.05)
    before = rest.noise.copy()
    change = np.full_like(STILL, 50.0)
    rest.learn(0.01, change, lengths(change), 1000.0, first=False)
    np.testing.assert_allclose(rest.noise, before, rtol=0.02)


def test_activity_is_of_the_skin_and_of_more_than_one_region():
    rest = settled(100, 0.05)
    lids = STILL.copy()
    lids[list(EYE_REGIONS)] = 5.0
    assert rest.activity(lengths(lids), True) == 0
    one, two = STILL.copy(), STILL.copy()
    one[ACTIVE[-1]], two[ACTIVE[-2:]] = 1.0, 1.0
    assert 0 < rest.activity(lengths(one), True) < rest.activity(lengths(two), True)
    upper = STILL.copy()
    upper[list(UPPER)] = 1.0
    assert rest.activity(lengths(upper), False) == 0 < rest.activity(lengths(upper), True)


def test_the_position_follows_slowly():
    rest = Baseline(SpotConfig())
    rest.push(0.0, STILL)
    for i in range(1, 400):
        _, smooth, before = rest.push(i / 100, STILL + 1)
        rest.learn(0.01, smooth, lengths(smooth - before), 0.0, first=False)
        if i == 60:
            assert 0.4 < rest.position.mean() < 0.8
    assert rest.position == pytest.approx(1.0, abs=0.05)
