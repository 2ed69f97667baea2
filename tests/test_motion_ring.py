"""The ring of aligned pictures: what it keeps, and what it tells about the times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_mer.motion.ring import SPAN, Ring
from realtime_mer.records import Measurement


def measured(time, index=0):
    gray = np.full((1, 1), round(time * 100) % 256, np.uint8)
    return Measurement(
        index,
        time,
        np.zeros((15, 2), np.float32),
        np.zeros(15, np.float32),
        0.0,
        1.0,
        1.0,
        False,
        False,
        gray,
        np.eye(2, 3),
    )


def filled(times, lost=None):
    ring = Ring()
    for index, time in enumerate(times):
        ring.push(measured(time, 1000 + index), (lost or {}).get(time, 0))
    return ring


def test_rate_and_gap_of_even_times():
    rate, gap, lost = filled(np.arange(200) / 100).rate(0.5, 1.0)
    assert rate == pytest.approx(100)
    assert gap == pytest.approx(0.01)
    assert lost == 0


def test_a_gap_inside_or_across_the_onset_is_seen():
    times = [*np.arange(0, 100) / 100, *(np.arange(0, 50) / 100 + 1.2)]
    for start in (0.9, 1.1, 1.2):  # before, in and just after the gap
        rate, gap, _ = filled(times).rate(start, 1.4)
        assert gap == pytest.approx(0.21)
        assert rate < 90
    assert filled(times).rate(1.25, 1.4)[1] == pytest.approx(0.01)


def test_lost_frames_inside_are_counted():
    ring = filled([0.0, 0.1, 0.2, 0.3, 0.4], lost={0.1: 2, 0.3: 5})
    assert ring.rate(0.15, 0.35)[2] == 5
    assert ring.rate(0.05, 0.4)[2] == 7
    assert ring.rate(0.35, 0.4)[2] == 0


def test_a_gap_longer_than_the_ring_is_seen():
    ring = filled([0.0, 0.01, 0.02, 0.03 + 2 * SPAN])
    rate, gap, _ = ring.rate(0.02, 0.03 + 2 * SPAN)
    assert gap == pytest.approx(0.01 + 2 * SPAN)
    assert 0 < rate < 1


def test_one_frame_has_no_rate():
    assert filled([3.0]).rate(2.9, 3.1) == (0.0, 0.0, 0)


def test_the_frame_nearest_to_a_time():
    ring = filled([0.0, 0.5, 0.75])
    assert [ring.frame(t) for t in (-1, 0.125, 0.25, 0.375, 0.7, 9)] == [1000, 1000, 1000, 1001, 1002, 1002]


def test_key_frames_are_those_around_the_onset_and_the_apex():
    ring = filled(np.arange(200) / 100)
    onset, apex = ring.key_frames(0.5, 0.715)  # the second lies between two frames
    assert [int(g[0, 0]) for g in onset] == [49, 50, 51]
    assert [int(g[0, 0]) for g in apex] == [71, 72]
    assert [int(g[0, 0]) for g in ring.key_frames(0.5, 9.0).apex] == [199]  # the nearest, when none is close enough


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=300))
def test_memory_is_bounded_by_time(steps):
    ring = Ring()
    for time in np.cumsum(steps):
        ring.push(measured(float(time)), 1)
        kept = [f.time for f in ring._kept]
        assert len(kept) <= 2 or kept[0] >= time - SPAN
        assert len(ring._lost) <= len(kept) + 1


def test_repeated_frames_do_not_count():
    ring = Ring()
    for index in range(100):  # every fifth one is new: 20 frames/s
        ring.push(measured(index / 100, index), repeated=index % 5 > 0)
    rate, gap, _ = ring.rate(0.3, 0.6)
    assert rate == pytest.approx(20)
    assert gap == pytest.approx(0.05)
    # a movement between two new frames: of these the rate can be said
    assert ring.rate(0.31, 0.34)[0] == pytest.approx(20)
