"""The spotter on made-up displacements: noise of known size and scripted movements, at any frame rate.

Nothing is drawn. The signals are functions of time, so the same script can be sampled at 24 or 240 frames/s.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import EYE_REGIONS, NAMES, REGIONS
from realtime_mer.records import Kind, Measurement, Status
from realtime_mer.spotting.detector import MovementDetector, State
from realtime_mer.synth.movements import MOVEMENTS, bump

RATES = (24, 30, 60, 100, 200, 240)
NOISE = 0.03  # px, of one measurement
FINAL = (Status.CONFIRMED, Status.REJECTED)
END = "the recording ended"
NO_PICTURE = np.zeros((1, 1), np.uint8)


@dataclass(frozen=True)
class Move:
    """One scripted movement of the skin; onset and offset are where a raised cosine leaves and reaches zero."""

    name: str
    onset: float
    apex: float
    offset: float
    peak: float = 1.6
    hold: float = 0.0


@dataclass(frozen=True)
class Signals:
    moves: tuple[Move, ...] = ()
    blinks: tuple[tuple[float, float, float], ...] = ()
    turns: tuple[tuple[float, float, float], ...] = ()  # the head moves, and drags the regions along
    duration: float = 6.0

    def at(self, time, random):
        """One frame: displacement (R, 2), eyes, head."""
        away = random.normal(0, NOISE, (len(REGIONS), 2))
        for m in self.moves:
            for region, dx, dy in MOVEMENTS[m.name].parts:
                away[NAMES.index(region)] += m.peak * bump(time, m.onset, m.apex, m.offset, m.hold) * np.array([dx, dy])
        eyes, head = 1.0 - abs(random.normal(0, 0.01)), abs(random.normal(2.0, 0.5))
        for blink in self.blinks:
            shut = bump(time, *blink)
            eyes -= 0.9 * shut
            away[list(EYE_REGIONS), 1] += 3 * shut
            for i in (0, 1):
                away[i, 1] += 0.8 * shut
        for turn in self.turns:
            moving = bump(time, *turn)
            head += 120.0 * (0 < moving < 1)
            away[:, 0] += np.linspace(-1.5, 1.5, len(REGIONS)) * moving
        return away.astype(np.float32), eyes, head


def measured(time, away, eyes, head):
    """As registration would give it; this spotter looks at no pictures."""
    return Measurement(
        0,
        float(time),
        away,
        np.full(len(away), NOISE, np.float32),
        head,
        eyes,
        1.0,
        False,
        False,
        NO_PICTURE,
        np.eye(2, 3),
    )


def play(signals, fps=100.0, *, spotter=None, shift=0.0, times=None, seed=0, mirror=False):
    """All reports as (frame time, movement)."""
    spotter = MovementDetector() if spotter is None else spotter
    random = np.random.default_rng(seed)
    reports = []
    for time in np.arange(round(signals.duration * fps)) / fps if times is None else times:
        away, eyes, head = signals.at(time, random)
        if mirror:
            away = away[MIRROR] * np.array([-1, 1], np.float32)
        _, found = spotter.push(measured(time + shift, away, eyes, head))
        reports += [(time + shift, m) for m in found]
    return reports + [(time + shift, m) for m in spotter.interrupt(END)]


MIRROR = [NAMES.index(n.replace("left", "?").replace("right", "left").replace("?", "right")) for n in NAMES]


def finals(reports):
    return [m for _, m in reports if m.status in FINAL]


def micros(reports):
    return [m for _, m in reports if m.status is Status.CONFIRMED]


THREE = Signals(
    moves=(
        Move("smile", 2.0, 2.12, 2.35),
        Move("inner brow raise", 3.4, 3.50, 3.70),
        Move("lip corners down", 4.8, 5.00, 5.25),
    )
)


@pytest.mark.parametrize("fps", RATES)
def test_the_same_events_at_any_frame_rate(fps):
    found = micros(play(THREE, fps))
    assert len(found) == 3
    for move, span in zip(THREE.moves, found, strict=True):
        tolerance = max(1 / fps, 0.03)
        assert abs(span.apex - move.apex) <= tolerance
        # a threshold crosses a raised cosine somewhat inside its ends
        assert move.onset - 1 / fps <= span.onset <= move.onset + 0.06 + tolerance
        assert move.apex < span.offset <= move.offset + 0.03


def test_frame_rates_agree_among_each_other():
    fine = micros(play(THREE, RATES[-1]))
    for fps in RATES[:-1]:
        for a, b in zip(fine, micros(play(THREE, fps)), strict=True):
            for mark in ("onset", "apex", "offset"):
                assert abs(getattr(a, mark) - getattr(b, mark)) <= max(1 / fps, 0.03) + 1e-9, (fps, mark)


@pytest.mark.parametrize("shift", [-3.7, 12.3, 86400.0])
def test_time_shift(shift):
    here, there = finals(play(THREE)), finals(play(THREE, shift=shift))
    assert [s.kind for s in here] == [s.kind for s in there]
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose((b.onset, b.apex, b.offset), np.add((a.onset, a.apex, a.offset), shift), atol=0.0101)


def test_left_and_right_are_alike():
    signals = replace(THREE, moves=(*THREE.moves, Move("left smirk", 1.2, 1.35, 1.55)))
    here, there = play(signals), play(signals, mirror=True)
    assert here == there
    for (_, a), (_, b) in zip(here, there, strict=True):
        np.testing.assert_allclose(b.displacement, a.displacement[MIRROR] * (-1, 1), atol=1e-6)


def test_a_new_spotter_gives_the_same_with_ids_that_go_on():
    first, again = play(THREE), play(THREE, spotter=MovementDetector(first_id=8))
    assert {m.id for _, m in first} == {1, 2, 3}
    assert [(t, replace(m, id=m.id + 7)) for t, m in first] == again


def test_provisional_soon_after_the_apex_then_one_final():
    reports = play(THREE)
    for span in micros(reports):
        mine = [(t, m) for t, m in reports if m.id == span.id]
        assert [s.status for _, s in mine] == [Status.PROVISIONAL, Status.CONFIRMED]
        (early, provisional), (late, _) = mine
        assert provisional.offset is None
        assert provisional.kind is Kind.MICRO
        assert 0 < early - provisional.apex <= 0.1
        assert early <= late <= span.offset + 0.03
        assert abs(provisional.apex - span.apex) <= 0.05


@settings(max_examples=25)
@given(st.data())
def test_invariants_on_random_signals(data):
    """Whatever is pushed at whatever times: nothing raises, ids rise, times are in order, one final per id."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    times = np.cumsum(np.exp(random.uniform(*data.draw(st.sampled_from([(-6, -4), (-5, -2), (-3, 1.5)])), size=300)))
    size = data.draw(st.sampled_from([0.0, 0.05, 1.0, 30.0]))
    walk = np.cumsum(random.normal(0, size / 5, (300, len(REGIONS), 2)), axis=0)
    spotter, reports = MovementDetector(), []
    for i, time in enumerate(times):
        away = (random.normal(0, size, (len(REGIONS), 2)) + walk[i]).astype(np.float32)
        eyes, head = float(random.uniform(-1, 1)), float(random.exponential(20))
        activity, found = spotter.push(measured(time, away, eyes, head))
        assert np.isfinite(activity.displacement).all()
        assert np.isfinite([activity.level, activity.threshold, *activity.noise]).all()
        reports += [(time, m) for m in found]
        if random.uniform() < 0.01:
            reports += [(time, m) for m in spotter.interrupt("the face was lost")]
    reports += [(times[-1], m) for m in spotter.interrupt(END)]
    assert spotter.interrupt(END) == []
    ids = [s.id for _, s in reports if s.status in FINAL]
    assert ids == list(range(1, len(ids) + 1))
    for time, span in reports:
        assert span.onset <= span.apex <= (time if span.offset is None else span.offset) <= time
        assert (span.reason == "") == (span.kind is Kind.MICRO)
        assert (span.status is Status.REJECTED) == (span.kind is not Kind.MICRO)
        assert (span.offset is None) == (span.status is Status.PROVISIONAL)
    provisional = [s.id for _, s in reports if s.status is Status.PROVISIONAL]
    assert len(provisional) == len(set(provisional))


@pytest.mark.parametrize("fps", RATES)
def test_noise_alone_is_no_event(fps):
    for seed in range(3):
        assert micros(play(Signals(duration=12.0), fps, seed=seed)) == []


@pytest.mark.parametrize("fps", RATES)
def test_blinks_alone_are_no_micro_expression(fps):
    reports = play(Signals(blinks=((2.0, 2.08, 2.22), (3.5, 3.6, 3.8), (5.0, 5.06, 5.2))), fps)
    assert micros(reports) == []
    assert {s.kind for s in finals(reports)} <= {Kind.BLINK, Kind.UNDECIDED}  # at 30 frames/s its edges are one frame


@pytest.mark.parametrize("fps", RATES)
def test_a_turn_of_the_head_is_no_micro_expression(fps):
    spans = finals(play(Signals(turns=((2.0, 2.15, 2.3),)), fps))
    assert spans
    assert {s.kind for s in spans} == {Kind.HEAD}


@pytest.mark.parametrize("fps", RATES)
def test_a_long_movement_is_a_macro_expression(fps):
    spans = finals(play(Signals(moves=(Move("smile", 2.0, 2.7, 4.1, 3.0, hold=0.5),)), fps))
    assert [s.kind for s in spans] == [Kind.MACRO]
    assert "longer than 0.5 s" in spans[0].reason or "rests in a new position" in spans[0].reason
    assert not spans[0].held


def test_an_expression_held_for_long_ends_as_the_new_resting_face():
    signals = Signals(
        moves=(Move("smile", 2.0, 2.3, 9.0, 2.0, hold=6.0), Move("brow raise", 6.5, 6.6, 6.8)), duration=8
    )
    spans = finals(play(signals))
    assert [s.kind for s in spans] == [Kind.HELD, Kind.MICRO]
    assert "rests in a new position" in spans[0].reason
    assert abs(spans[1].apex - 6.6) < 0.03


HELD = Signals(moves=(Move("smile", 2.0, 2.2, 5.0, 2.0, hold=2.0),))


@pytest.mark.parametrize("fps", RATES)
def test_a_fast_expression_that_stays_is_held(fps):
    (move,) = finals(play(HELD, fps))
    assert (move.kind, move.status, move.held) == (Kind.HELD, Status.REJECTED, True)
    assert 2.0 <= move.onset <= 2.1
    assert 2.1 <= move.apex <= 2.2 + 1 / fps
    assert move.apex <= move.offset <= move.onset + 0.5


def test_who_says_so_has_held_expressions_as_micro_expressions():
    (move,) = finals(play(HELD, spotter=MovementDetector(SpotConfig(held_is_micro=True))))
    assert (move.kind, move.status, move.held, move.reason) == (Kind.MICRO, Status.CONFIRMED, True, "")


def test_a_slow_expression_that_stays_is_not_held():
    (move,) = finals(play(Signals(moves=(Move("smile", 2.0, 2.8, 5.0, 2.0, hold=2.0),))))
    assert (move.kind, move.held) == (Kind.MACRO, False)


def half_blink(signals, closing, eyes_drop):
    """The lids come down by ``closing`` px at 3 s and drag the brows; the eyes change by ``eyes_drop``."""

    class Half(Signals):
        def at(self, time, random):
            away, eyes, head = signals.at(time, random)
            shut = bump(time, 3.0, 3.1, 3.3)
            away[list(EYE_REGIONS), 1] += np.float32(closing * shut)
            away[:4, 1] += np.float32(0.75 * closing * shut)
            return away, eyes - eyes_drop * shut, head

    return Half(duration=5.0)


def test_a_half_blink_is_known_by_its_lids():
    reports = play(half_blink(Signals(), 1.6, 0.2))
    assert [m.kind for m in finals(reports)] == [Kind.BLINK]
    assert "lids" in finals(reports)[0].reason


def test_brows_that_come_down_with_little_of_the_lids_are_no_blink():
    assert [
        m.kind for m in finals(play(half_blink(Signals(moves=(Move("brow raise", 3.0, 3.1, 3.3),)), 0.3, 0.0)))
    ] == [Kind.MICRO]


SYLLABLES = tuple(Move("chin raise", t, t + 0.12, t + 0.3, 3.0) for t in (1.1, 1.6, 2.1, 2.6))


def test_a_mouth_that_was_just_speaking_speaks_on():
    after = Move("chin raise", 4.0, 4.12, 4.35, 3.0)  # apart from the run by more than a second
    assert [m.kind for m in micros(play(Signals(moves=(after,))))] == [Kind.MICRO]
    spoken = [m for m in finals(play(Signals(moves=(*SYLLABLES, after)))) if m.onset > 3.8]
    assert [m.kind for m in spoken] == [Kind.SPEECH]


def test_a_brow_may_rise_while_the_mouth_speaks():
    brow = Move("brow raise", 4.0, 4.12, 4.35)
    assert [m.onset > 3.8 for m in micros(play(Signals(moves=(*SYLLABLES, brow))))][-1:] == [True]


def test_a_face_that_speaks_is_remembered_when_it_is_lost_for_a_moment():
    spotter = MovementDetector()
    play(Signals(moves=SYLLABLES, duration=3.0), spotter=spotter)
    after = Move("chin raise", 3.9, 4.02, 4.25, 3.0)
    found = finals(play(Signals((after,), duration=6.0), spotter=spotter, times=np.arange(320, 600) / 100))
    assert [m.kind for m in found] == [Kind.SPEECH]


def test_nothing_that_began_before_the_face_was_known_is_a_micro_expression():
    move = Move("smile", 0.85, 1.05, 1.25)  # the face is known after 1 s
    assert micros(play(Signals(moves=(move,)))) == []


@pytest.mark.parametrize(("noise", "seen"), [(0.02, True), (0.12, False)])
def test_what_counts_depends_on_what_the_recording_lets_be_seen(noise, seen):
    class Noisy(Signals):
        def at(self, time, random):
            away, eyes, head = super().at(time, random)
            return (away + random.normal(0, noise, away.shape)).astype(np.float32), eyes, head

    found = micros(play(Noisy(moves=(Move("smile", 4.0, 4.15, 4.4, 0.3),), duration=6.0), 30))
    assert bool(found) is seen


@pytest.mark.parametrize("peak", [1.5, 3.0])
def test_the_way_back_is_not_another_movement(peak):
    """The offset is reported part of the way back; what remains must not keep the spotter from the next movement."""
    signals = Signals(moves=(Move("smile", 2.0, 2.12, 2.40, peak), Move("brow raise", 2.95, 3.07, 3.3, peak)))
    assert [s.kind for s in finals(play(signals))] == [Kind.MICRO, Kind.MICRO]


def test_another_region_may_move_while_the_first_is_on_its_way_back():
    smile = Move("smile", 2.0, 2.5, 5.6, hold=0.6)  # comes down slowly, for seconds
    brow = Move("inner brow raise", 3.75, 3.85, 4.05)
    spans = finals(play(Signals((smile, brow), duration=7)))
    assert [s.kind for s in spans] == [Kind.MACRO, Kind.MICRO]
    assert abs(spans[1].apex - brow.apex) < 0.03


def test_a_face_that_was_lost_for_a_moment_is_soon_judged_again():
    spotter = MovementDetector()
    play(Signals(duration=3.0), spotter=spotter)
    for _ in range(5):  # told again in every frame without the face
        spotter.interrupt("face out of sight")
    move = Move("smile", 3.8, 3.95, 4.15)
    found = play(Signals((move,), duration=5.0), spotter=spotter, times=np.arange(320, 500) / 100)
    assert len(micros(found)) == 1
    assert micros(play(Signals((move,), duration=5.0), times=np.arange(320, 500) / 100)) == []  # a new face is not


def test_speech_is_no_micro_expression():
    syllables = tuple(Move("chin raise", 2 + 0.2 * i, 2.1 + 0.2 * i, 2.2 + 0.2 * i, 2.0) for i in range(12))
    found = finals(play(Signals(moves=syllables)))
    assert len(found) > 2
    assert len([s for s in found if s.status is Status.CONFIRMED]) <= 1  # the first cannot be told from one alone
    assert Kind.SPEECH in {s.kind for s in found}


def test_a_movement_too_strong_is_rejected_with_its_size():
    spans = finals(play(Signals(moves=(Move("smile", 2.0, 2.12, 2.35, 9.0),))))
    assert [s.kind for s in spans] == [Kind.MACRO]
    assert "px, more than" in spans[0].reason


def test_the_end_of_the_recording_and_the_loss_of_the_face_end_a_movement():
    cut = Signals(moves=(Move("smile", 2.0, 2.12, 2.35),), duration=2.14)
    spotter = MovementDetector()
    last = finals(play(cut, spotter=spotter))[-1]
    assert (last.kind, last.status) == (Kind.UNDECIDED, Status.REJECTED)
    assert "recording ended" in last.reason
    spotter = MovementDetector()
    random = np.random.default_rng(0)
    for time in np.arange(214) / 100:
        spotter.push(measured(time, *cut.at(time, random)))
    (lost,) = spotter.interrupt("face out of sight")
    assert lost.reason == "face out of sight"
    assert not spotter.settled
    assert spotter.interrupt("face out of sight") == []


def test_the_states_of_one_movement():
    spotter, random, seen = MovementDetector(), np.random.default_rng(0), []
    for time in np.arange(300) / 100:
        away, eyes, head = Signals((Move("smile", 2.0, 2.12, 2.35),)).at(time, random)
        spotter.push(measured(time, away, eyes, head))
        if not seen or seen[-1] is not spotter.state:
            seen.append(spotter.state)
    assert seen == [State.SETTLING, State.RESTING, State.RISING, State.MOVING, State.PAST_APEX, State.RESTING]
    spotter.interrupt("face out of sight")
    assert spotter.state is State.SETTLING


def test_nothing_is_reported_before_the_resting_face_is_known():
    early = Signals(moves=(Move("smile", 0.3, 0.42, 0.65),), duration=1.0)
    spotter = MovementDetector()
    assert play(early, spotter=spotter) == []
    assert not spotter.settled


def test_a_drifting_face_is_no_event():
    """As of a face that settles or a head that sways: 0.5 px/s in one region and its neighbors."""

    class Drift(Signals):
        def at(self, time, random):
            away, eyes, head = super().at(time, random)
            away[8:12] += np.float32(0.5 * time)
            return away, eyes, head

    assert micros(play(Drift(duration=10.0))) == []


@pytest.mark.parametrize("keep", [0.6, 0.8])
def test_dropped_frames_and_jitter_do_not_move_the_apex_far(keep):
    random = np.random.default_rng(5)
    times = np.sort(random.choice(1200, round(1200 * keep), replace=False)) / 200
    times = times + random.uniform(0, 0.002, len(times))
    found = micros(play(THREE, times=times))
    assert len(found) == 3
    for move, span in zip(THREE.moves, found, strict=True):
        assert abs(span.apex - move.apex) <= 0.03


def test_a_gap_of_the_recording_does_not_disturb_what_follows():
    times = np.arange(600) / 100
    times = times[(times < 2.6) | (times > 3.1)]
    found = micros(play(THREE, times=times))
    assert [round(s.apex, 1) for s in found] == [2.1, 3.5, 5.0]


def test_the_same_numbers_whoever_holds_the_arrays():
    """What was returned may be overwritten by its owner."""
    spotter, random, spans = MovementDetector(), np.random.default_rng(0), []
    for time in np.arange(600) / 100:
        away, eyes, head = THREE.at(time, random)
        activity, found = spotter.push(measured(time, away, eyes, head))
        activity.noise[:] = -1
        activity.displacement[:] = 9
        spans += found
    assert spans == [m for _, m in play(THREE)]


def test_settings_are_used():
    assert micros(play(THREE, spotter=MovementDetector(SpotConfig(min_shift_px=5.0)))) == []
    assert micros(play(THREE, spotter=MovementDetector(SpotConfig(micro_max_s=0.1)))) == []
    assert finals(play(THREE, spotter=MovementDetector(SpotConfig(settle_s=10.0)))) == []
