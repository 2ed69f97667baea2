"""Scripts: times, reproducibility, independence of the frame rate, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from realtime_mer.errors import ConfigError, OutputError
from realtime_mer.face.regions import NAMES
from realtime_mer.records import Kind
from realtime_mer.synth import (
    MOVEMENTS,
    Blink,
    Density,
    Movement,
    Pulse,
    Script,
    Talk,
    Turn,
    demo_script,
    movement,
    random_script,
    read_truth,
    write_truth,
)
from realtime_mer.synth.script import wander

BUSY = Density(micro=12, macro=2, blinks=10, talks=2, turns=2)


def test_a_pulse_is_zero_outside_and_its_peak_at_the_apex() -> None:
    pulse = Pulse(MOVEMENTS["smile"], 2.0, onset=1.0, apex=1.1, offset=1.3)
    assert [pulse.at(t) for t in (0.0, 1.0, 1.3, 2.0)] == [0, 0, 0, 0]
    assert pulse.at(1.1) == 2.0
    assert pulse.at(1.05) == pytest.approx(1.0)
    assert pulse.at(1.2) == pytest.approx(1.0)
    assert pulse.kind is Kind.MICRO
    assert replace(pulse, offset=2.0).kind is Kind.MACRO


def test_a_held_pulse_keeps_its_peak() -> None:
    pulse = Pulse(MOVEMENTS["smile"], 2.0, onset=1.0, apex=1.4, offset=2.6, hold=0.5)
    assert pulse.at(1.4) == pulse.at(1.7) == pulse.at(1.9) == 2.0
    assert pulse.at(2.25) == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(MOVEMENTS))
def test_a_named_movement_moves_known_regions_by_one_at_most(name: str) -> None:
    parts = MOVEMENTS[name].parts
    assert {region for region, _, _ in parts} <= set(NAMES)
    assert max(np.hypot(dx, dy) for _, dx, dy in parts) == pytest.approx(1.0)


def test_a_script_is_a_function_of_time_and_seed_only() -> None:
    slow, fast = random_script(5, 30, fps=24, density=BUSY), random_script(5, 30, fps=240, density=BUSY, jitter=0.5)
    assert slow.truth() == fast.truth()
    for time in np.linspace(0, 30, 101):
        np.testing.assert_array_equal(slow.head(time), fast.head(time))
        assert slow.closure(time) == fast.closure(time)
        assert str(slow.wanted(time)) == str(fast.wanted(time))
    assert slow.truth() != random_script(6, 30, fps=24, density=BUSY).truth()


@pytest.mark.parametrize("seed", range(5))
def test_a_random_script_starts_quietly_and_holds_what_was_asked_for(seed: int) -> None:
    script = random_script(seed, duration=60, density=BUSY)
    truth = script.truth()
    assert truth[0].onset > 2.0
    assert all(a.offset + 0.5 < b.onset for a, b in pairwise(truth))
    assert truth[-1].offset < 60
    kinds = [event.kind for event in truth]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert counts == {Kind.MICRO: 12, Kind.MACRO: 2, Kind.BLINK: 10, Kind.SPEECH: 2, Kind.HEAD: 2}
    assert all(event.onset < event.apex < event.offset for event in truth)


@pytest.mark.parametrize("fps", [24, 59.94, 200, 240])
def test_frame_times_rise_at_the_rate_asked_for(fps: float) -> None:
    steady = Script(10, fps).times()
    np.testing.assert_allclose(np.diff(steady), 1 / fps)
    shaky = Script(10, fps, jitter=0.9).times()
    assert len(shaky) == len(steady)
    assert np.diff(shaky).min() > 0
    assert np.diff(shaky).std() > 0.2 / fps
    assert np.abs(shaky - steady).max() < 1 / fps


def test_sway_is_slow_and_of_the_size_asked_for() -> None:
    values = np.array([wander(t, 3, (0.05, 0.6)) for t in np.arange(0, 400, 0.1)])
    assert values.std() == pytest.approx(1.0, abs=0.1)
    power = np.abs(np.fft.rfft(values * np.hanning(len(values)))) ** 2
    rates = np.fft.rfftfreq(len(values), 0.1)
    assert power[(rates > 0.04) & (rates < 0.61)].sum() > 0.999 * power.sum()


def test_talk_opens_the_mouth_only_within_its_time() -> None:
    script = Script(5, 100, talks=(Talk(1, 3, opening=3.0),))
    drop = [script.wanted(t).get("lower lip", np.zeros(2))[1] for t in script.times()]
    assert 1.5 < max(drop) <= 3.0
    assert min(drop) >= 0
    assert not any(drop[:101])
    assert not any(drop[300:])


def test_truth_survives_its_file(tmp_path: Path) -> None:
    truth = demo_script().truth()
    write_truth(truth, tmp_path / "t.json")
    assert read_truth(tmp_path / "t.json") == truth
    (tmp_path / "t.json").write_text("[1]")
    with pytest.raises(OutputError, match=r"t\.json"):
        read_truth(tmp_path / "t.json")
    with pytest.raises(OutputError, match="none"):
        write_truth(truth, tmp_path / "none" / "t.json")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Pulse(MOVEMENTS["smile"], 1.0, 1.0, 1.0, 1.3),
        lambda: Pulse(MOVEMENTS["smile"], 0.0, 1.0, 1.1, 1.3),
        lambda: Pulse(MOVEMENTS["smile"], 1.0, 1.0, 1.1, 1.3, hold=0.3),
        lambda: Blink(1.0, 0.9, 1.2),
        lambda: Turn(1.0, 1.5, 1.2),
        lambda: Talk(2.0, 1.0),
        lambda: Movement("ear wiggle", (("left ear", 0.0, 1.0),)),
        lambda: movement("nothing"),
        lambda: movement("nothing", ("chin", 0.0, 0.0)),
        lambda: Script(0, 100),
        lambda: Script(1, 100, jitter=1.0),
        lambda: random_script(1, duration=5, density=Density(micro=200)),
    ],
)
def test_nonsense_is_refused_in_one_line(wrong) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert "\n" not in str(caught.value)
