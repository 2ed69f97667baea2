"""What every spotter must keep. A new one is added to SPOTTERS."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import REGIONS
from realtime_mer.records import Kind, Measurement, Movement, Status
from realtime_mer.spotting import MakeSpotter, Spotter
from realtime_mer.spotting.detector import MovementDetector

DEMO = runpy.run_path(str(Path(__file__).parents[1] / "demos" / "own_spotter.py"))
SPOTTERS = [MovementDetector, DEMO["FixedThreshold"]]
SETTINGS = SpotConfig()


@pytest.fixture(params=SPOTTERS, ids=lambda spotter: spotter.__name__)
def make(request: pytest.FixtureRequest) -> MakeSpotter:
    return request.param


def measurements(seconds: float = 4.0, peak: float = 2.0, seed: int = 0, rate: float = 100.0) -> Iterator[Measurement]:
    """A face at rest whose mouth moves for 0.3 s at 2 s."""
    random = np.random.default_rng(seed)
    for index in range(round(seconds * rate)):
        time = index / rate
        away = random.normal(0, 0.03, (len(REGIONS), 2)).astype(np.float32)
        if 2.0 < time < 2.3:
            away[10:14, 1] -= peak * np.float32(np.sin(np.pi * (time - 2.0) / 0.3) ** 2)
        picture = np.zeros((8, 8), np.uint8)
        yield Measurement(
            index, time, away, np.full(len(away), 0.03, np.float32), 2.0, 1.0, 0.95, False, False, picture, np.eye(2, 3)
        )


def reports(spotter: Spotter, given: Iterator[Measurement]) -> list[tuple[float, Movement]]:
    found = []
    for measurement in given:
        activity, movements = spotter.push(measurement)
        assert activity.displacement.shape == (len(REGIONS), 2)
        assert np.isfinite([activity.level, activity.threshold]).all()
        found += [(measurement.time, movement) for movement in movements]
    return found


def test_a_clear_movement_is_found_once_and_in_order(make: MakeSpotter) -> None:
    found = reports(make(SETTINGS, 5), measurements())
    finals = [movement for _, movement in found if movement.offset is not None]
    assert [movement.id for movement in finals] == [5]
    (movement,) = finals
    assert 1.9 < movement.onset < movement.apex < movement.end < 2.4
    assert abs(movement.apex - 2.15) < 0.04
    assert movement.status is Status.CONFIRMED
    assert movement.displacement is not None
    assert movement.displacement.shape == (len(REGIONS), 2)


def test_nothing_is_reported_before_it_has_happened(make: MakeSpotter) -> None:
    for time, movement in reports(make(SETTINGS, 1), measurements()):
        assert movement.end <= time


def test_it_looks_at_what_was_pushed_only(make: MakeSpotter) -> None:
    """Causal: what comes later changes nothing that was reported before."""
    short = reports(make(SETTINGS, 1), measurements(2.5))
    assert short == [entry for entry in reports(make(SETTINGS, 1), measurements()) if entry[0] < 2.5]


def test_two_spotters_share_nothing(make: MakeSpotter) -> None:
    alone = reports(make(SETTINGS, 1), measurements())
    first, second, found = make(SETTINGS, 1), make(SETTINGS, 1), []
    for mine, other in zip(measurements(), measurements(peak=9.0, seed=3), strict=True):
        found += [(mine.time, movement) for movement in first.push(mine)[1]]
        second.push(other)
    assert found == alone


def test_an_interruption_ends_the_movement_and_says_why(make: MakeSpotter) -> None:
    spotter = make(SETTINGS, 1)
    assert spotter.interrupt("face out of sight") == []
    reports(spotter, measurements(2.15))
    (cut,) = spotter.interrupt("face out of sight")
    assert (cut.kind, cut.status, cut.reason) == (Kind.UNDECIDED, Status.REJECTED, "face out of sight")
    assert spotter.interrupt("face out of sight") == []
    assert not spotter.settled


def test_it_settles_and_is_quiet_at_rest(make: MakeSpotter) -> None:
    spotter = make(SETTINGS, 1)
    states = []
    for measurement in measurements():
        spotter.push(measurement)
        states.append((measurement.time, spotter.settled, spotter.quiet))
    assert not any(settled for time, settled, _ in states if time < 0.9 * SETTINGS.settle_s)
    assert all(settled for time, settled, _ in states if time > 1.1 * SETTINGS.settle_s)
    assert not any(quiet for time, _, quiet in states if 2.1 < time < 2.2)
    assert np.mean([quiet for time, _, quiet in states if time < 1.9]) > 0.9


@pytest.mark.parametrize("make", SPOTTERS, ids=lambda spotter: spotter.__name__)
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_is_pushed_nothing_raises_and_ids_rise(make: MakeSpotter, seed: int) -> None:
    random = np.random.default_rng(seed)
    spotter, ids, time = make(SETTINGS, 1), [], 0.0
    for measurement in measurements(1.5):
        time += float(np.exp(random.uniform(-6, 0.5)))
        away = random.normal(0, 10 ** random.uniform(-2, 1.5), (len(REGIONS), 2)).astype(np.float32)
        eyes, head = float(random.uniform(-1, 1)), float(random.exponential(20))
        _, found = spotter.push(replace(measurement, time=time, displacement=away, eyes=eyes, head=head))
        if random.uniform() < 0.02:
            found = [*found, *spotter.interrupt("lost")]
        for movement in found:
            assert movement.onset <= movement.apex <= movement.end <= time
            assert (movement.reason == "") == (movement.kind is Kind.MICRO)
        ids += [movement.id for movement in found if movement.offset is not None]
    assert ids == list(range(1, len(ids) + 1))
