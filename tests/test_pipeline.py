"""The pipeline as a whole, on the synthetic recording: what it reports, and what it does when things go wrong.

The detector is a double that knows where the face is, but for one test with the real one.
"""

import threading
import time
from collections import deque
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_mer import run
from realtime_mer.build import build
from realtime_mer.config import Config, merge
from realtime_mer.errors import MerError, SourceError
from realtime_mer.pipeline import Pipeline
from realtime_mer.recognize.spec import ModelSpec
from realtime_mer.records import End, Face, Frame, Kind, SourceInfo, Status
from realtime_mer.sources import ArraySource
from realtime_mer.spotting.detector import MovementDetector

FINAL = (Status.CONFIRMED, Status.REJECTED)
LABELS = ("negative", "positive", "surprise")


class Recognizer:
    """A double that counts its batches. ``wait`` lets each call last until the event is set."""

    def __init__(self, wait=None, size=128):
        self.spec = ModelSpec("double", "1", LABELS, "flow-uvs/1", (3, size, size), abstain_below=0.5)
        self.provider, self.why, self.sizes, self.wait = "test", "for the test", [], wait

    def classify(self, batch):
        assert batch.dtype == np.float32
        assert batch.shape[1:] == self.spec.input_shape
        assert np.isfinite(batch).all()
        if self.wait is not None:
            assert self.wait.wait(20)
        self.sizes.append(len(batch))
        return np.tile(np.float32([0.7, 0.2, 0.1]), (len(batch), 1))


def watch(frames, detect, recognizer=None, config=None):
    """All observations of a recording, and the events of its end."""
    with Pipeline(detect, MovementDetector, recognizer, config) as pipeline:
        return [pipeline.push(frame) for frame in frames], pipeline.finish().events


def events_of(result):
    observations, rest = result
    return [event for observation in observations for event in observation.events] + list(rest)


def finals(result):
    return [event for event in events_of(result) if event.status in FINAL]


def micros(result):
    return [event for event in events_of(result) if event.status is Status.CONFIRMED]


def as_data(result):
    """Everything of the events, and the signals, as plain comparable data."""
    signals = [
        (o.time, [(s.face.track, s.note, None if s.activity is None else s.activity.level) for s in o.faces])
        for o in result[0]
    ]
    return events_of(result), signals


def resized(frames, factor):
    return [Frame(f.index, f.time, cv2.resize(f.gray, None, fx=factor, fy=factor), lost=f.lost) for f in frames]


def assert_found(recording, found, tolerance=0.04):
    truth = [t for t in recording.truth if t.kind is Kind.MICRO]
    assert len(found) == len(truth)
    for event, true in zip(found, truth, strict=True):
        assert abs(event.movement.apex - true.apex) <= tolerance
        assert (
            true.onset - 0.02
            <= event.movement.onset
            < event.movement.apex
            < event.movement.offset
            <= true.offset + 0.05
        )


@pytest.fixture(scope="module")
def result(recording):
    return watch(recording.frames, recording.detect)


# --- what is reported ----------------------------------------------------------------------------------------------


def test_the_scripted_movements_are_found_and_nothing_else(recording, result):
    assert_found(recording, micros(result))
    (held,) = [e for e in finals(result) if abs(e.movement.apex - 6.4) < 0.6]
    assert (held.movement.kind, held.movement.held) == (Kind.HELD, True)
    assert held.movement.reason.startswith("held: ")
    for event in micros(result):
        assert event.fps == pytest.approx(100, rel=0.01)
        assert event.gap == pytest.approx(0.01, rel=0.01)
        assert event.lost == 0
        assert event.prediction is None
        assert event.model == ""


def test_the_regions_that_moved_are_named(result):
    brow, smirk, lip = (e.cues[0] for e in micros(result))
    assert "inner brow" in brow.region
    assert "AU1" in brow.action_units
    assert smirk.region == "left lip corner"
    assert "AU12" in smirk.action_units
    assert lip.region == "upper lip"
    assert "AU10" in lip.action_units


def test_provisional_within_a_tenth_of_a_second(result):
    observations, _ = result
    for final in micros(result):
        reports = [(o.time, e) for o in observations for e in o.events if e.key == final.key]
        assert [e.status for _, e in reports] == [Status.PROVISIONAL, Status.CONFIRMED]
        assert all(e.reported == time for time, e in reports)
        assert 0 < reports[0][0] - final.movement.apex <= 0.1


def test_one_observation_per_frame(recording, result):
    observations, _ = result
    assert [(o.index, o.time) for o in observations] == [(f.index, f.time) for f in recording.frames]
    assert all(len(o.faces) == 1 for o in observations)  # from the first frame on
    assert observations[0].faces[0].note == "learning the resting face"
    assert observations[-1].faces[0].note == ""
    assert observations[-1].fps == pytest.approx(100, rel=0.01)


def test_two_runs_are_the_same(recording, result):
    assert as_data(watch(recording.frames, recording.detect)) == as_data(result)


def test_reset_and_replay_are_the_same(recording, result):
    with Pipeline(recording.detect, MovementDetector) as pipeline:
        for frame in recording.frames[:250]:  # into the first movement
            pipeline.push(frame)
        pipeline.begin()
        again = [pipeline.push(frame) for frame in recording.frames], pipeline.finish().events
    assert as_data(again) == as_data(result)


def test_after_a_recalibration_faces_keep_their_numbers_and_movements_are_numbered_on(recording, result):
    micro = [e.movement for e in finals(result) if e.movement.kind is Kind.MICRO]
    spot = replace(Config().spot, onset_noise=7.5)
    with Pipeline(recording.detect, MovementDetector) as pipeline:
        seen = []
        for frame in recording.frames:
            if frame.time >= micro[0].offset + 0.1 and pipeline.config.spot.onset_noise != 7.5:
                pipeline.recalibrate(spot)
            seen.append(pipeline.push(frame))
    events = [e for o in seen for e in o.events if e.final]
    assert {signal.face.track for o in seen for signal in o.faces} == {1}
    assert len({e.key for e in events}) == len(events)
    found = [e.movement.apex for e in events if e.movement.kind is Kind.MICRO]
    # the face has to rest for a second first
    expected = [m.apex for m in micro if m is micro[0] or m.onset > micro[0].offset + 1.5]
    assert len(expected) >= 2
    assert [a for a in found if min(abs(a - e) for e in expected) < 0.02] == pytest.approx(expected, abs=0.02)


def test_a_movement_under_way_ends_with_a_recalibration(recording, result):
    first = next(e for e in finals(result) if e.movement.kind is Kind.MICRO)
    asked = []
    with Pipeline(recording.detect, MovementDetector) as pipeline:
        seen = []
        for frame in recording.frames:
            if not asked and frame.time > first.movement.apex + 0.02:
                asked.append(pipeline.recalibrate())
            seen.append(pipeline.push(frame))
    reasons = [e.movement.reason for o in seen for e in o.events if e.final]
    assert "the resting face was learned again" in reasons


def test_time_shift(recording, result):
    there = watch(
        [replace(f, time=f.time + 3600.0) for f in recording.frames],
        lambda f: recording.detect(replace(f, time=f.time - 3600.0)),
    )
    for here, later in zip(finals(result), finals(there), strict=True):
        assert later.movement.kind is here.movement.kind
        assert later.movement.apex == pytest.approx(here.movement.apex + 3600, abs=0.0101)


@pytest.mark.parametrize("factor", [2, 4])
def test_the_size_of_the_picture_does_not_matter(recording, factor):
    frames = [f for f in recording.frames if f.time < 5.5]
    found = micros(watch(resized(frames, factor) if factor < 4 else resized(frames[::2], factor), recording.detect))
    assert_found(recording, found)


def test_left_and_right_are_alike(recording, result):
    width = recording.frames[0].size[0]

    def detect(frame):
        """Mirrored landmarks, renumbered where regions and eyes need it."""
        (seen,) = recording.detect(frame)
        points = seen.points.copy()
        points[:, 0] = width - 1 - points[:, 0]
        points = points[PARTNER]
        x0, y0, x1, y1 = seen.box
        return [Face(0, (width - x1, y0, width - x0, y1), points, 1.0, (0.0, 0.0, 0.0))]

    frames = [replace(f, gray=np.ascontiguousarray(f.gray[:, ::-1])) for f in recording.frames if f.time < 5.5]
    there = micros(watch(frames, detect))
    assert_found(recording, there)
    assert there[1].cues[0].region == "right lip corner"
    for a, b in zip(micros(result), there, strict=True):
        assert b.movement.strength == pytest.approx(a.movement.strength, rel=0.2)


def _partners():
    """For each landmark its number on the other side of the face, for those that are used here."""
    pairs = [(33, 263), (133, 362), (127, 356), (159, 386), (145, 374), (158, 385), (160, 387), (50, 280), (101, 330)]
    pairs += [(118, 347), (129, 358), (49, 279), (102, 331), (61, 291), (185, 409), (146, 375), (107, 336), (66, 296)]
    pairs += [(55, 285), (65, 295), (70, 300), (63, 293), (46, 276), (53, 283), (37, 267), (39, 269), (84, 314)]
    pairs += [(181, 405), (200, 200), (175, 175)]
    partner = np.arange(478)
    for a, b in pairs:
        partner[a], partner[b] = b, a
    return partner


PARTNER = _partners()


def test_with_the_real_detector(recording, detector):
    frames = [f for f in recording.frames if f.time < 5.5]
    assert_found(recording, micros(watch(frames, detector.detect)))


# --- frame times ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [2, 4])
def test_lower_frame_rates(recording, every):
    found = micros(watch(recording.frames[::every], recording.detect))
    assert_found(recording, found, tolerance=0.03 + every / 100)


def test_too_few_frames_are_said_and_nothing_is_confirmed(recording):
    result = watch(recording.frames[::6], recording.detect)
    assert micros(result) == []
    low = [e for e in finals(result) if "frames/s cannot resolve" in e.movement.reason]
    assert low
    assert {e.movement.kind for e in low} == {Kind.UNDECIDED}
    assert not [e for e in events_of(result) if e.status is Status.REJECTED and e.movement.offset is None]
    assert {o.notes for o in result[0][10:]} == {("fewer than 20 frames/s: micro-expressions cannot be resolved",)}
    assert result[0][0].notes == ()


@pytest.mark.parametrize("fps", [0.4, 1, 3, 10])
def test_very_low_rates_are_said_too(recording, fps):
    frames = [replace(f, time=f.index / fps) for f in recording.frames[:15]]
    observations, _ = watch(frames, lambda _: [])
    assert observations[-1].fps == pytest.approx(fps, rel=0.3)
    assert observations[-1].notes


def test_dropped_frames_are_seen_in_the_event(recording):
    frames = [f for f in recording.frames if f.time < 3.0 and not 2.365 < f.time < 2.415]
    frames = [replace(f, lost=5) if f.time == pytest.approx(2.42) else f for f in frames]
    (event,) = micros(watch(frames, recording.detect))
    assert event.gap == pytest.approx(0.06)
    assert event.lost == 5
    assert event.fps < 90


def test_irregular_times(recording):
    random = np.random.default_rng(3)
    kept = [f for f in recording.frames if random.uniform() < 0.75]
    assert_found(recording, micros(watch(kept, recording.detect)))


# --- faces come and go ---------------------------------------------------------------------------------------------


def test_no_face_is_data():
    frames = [Frame(i, i / 100, np.full((240, 320), 90, np.uint8)) for i in range(50)]
    observations, rest = watch(frames, lambda _: [])
    assert rest == ()
    assert all(o.faces == () and o.events == () for o in observations)


def test_one_frame_and_none(recording):
    observations, rest = watch(recording.frames[:1], recording.detect)
    assert len(observations[0].faces) == 1
    assert rest == ()
    with Pipeline(recording.detect, MovementDetector) as pipeline:
        for _ in range(2):
            assert (pipeline.finish().time, pipeline.finish().events) == (None, ())


def side_by_side(recording, delay, until=None):
    """Two faces: on the right the same recording ``delay`` frames later. Frames and a detector of both."""
    frames = recording.frames[:until]
    pictures = [np.hstack([f.gray, recording.frames[max(f.index - delay, 0)].gray]) for f in frames]
    times = {f.time: recording.frames[max(f.index - delay, 0)].time for f in frames}
    width = frames[0].size[0]

    def detect(frame):
        return [recording.detection(times[frame.time], shift=width), recording.detection(frame.time)]

    return [Frame(f.index, f.time, p) for f, p in zip(frames, pictures, strict=True)], detect


def test_two_faces_are_two_tracks(recording):
    frames, detect = side_by_side(recording, delay=40, until=560)
    result = watch(frames, detect)
    assert all(len(o.faces) == 2 for o in result[0])
    tracks = {s.face.track: s.face.box[0] for s in result[0][-1].faces}
    left, right = sorted(tracks, key=tracks.__getitem__)
    by_track = {t: [e.movement.apex for e in micros(result) if e.track == t] for t in (left, right)}
    assert len(by_track[left]) == len(by_track[right]) == 3
    np.testing.assert_allclose(np.subtract(by_track[right], by_track[left]), 0.4, atol=0.03)


def test_a_recognizer_gets_the_motion_at_its_own_size(recording):
    recognizer = Recognizer(size=28)  # whose double asserts the size of what it gets
    found = micros(watch(recording.frames[:400], recording.detect, recognizer))
    assert recognizer.sizes
    assert [event.prediction.label for event in found] == ["negative"] * len(found) != []


def test_several_faces_are_classified_in_one_batch(recording):
    frames, detect = side_by_side(recording, delay=0, until=300)
    recognizer = Recognizer()
    result = watch(frames, detect, recognizer)
    assert max(recognizer.sizes) == 2
    assert [e.prediction.label for e in micros(result)] == ["negative", "negative"]
    assert {e.model for e in micros(result)} == {"double/1"}
    assert {e.track for e in micros(result)} == {1, 2}


def absent(recording, start, end):
    """The recording with an empty room from ``start`` to ``end`` s, and a detector that sees nobody there."""
    room = np.full_like(recording.frames[0].gray, 60)
    frames = [replace(f, gray=room) if start <= f.time < end else f for f in recording.frames]
    return frames, lambda f: [] if start <= f.time < end else recording.detect(f)


def test_a_face_that_leaves_and_returns_keeps_its_track_and_its_events_unique(recording):
    frames, detect = absent(recording, 2.8, 3.3)
    config = merge(Config(), {"spot": {"settle_s": 0.5}})
    result = watch(frames, detect, config=config)
    observations = result[0]
    assert observations[300].faces == ()
    assert observations[355].faces
    assert {s.face.track for o in observations for s in o.faces} == {1}
    keys = [e.key for e in finals(result)]
    assert len(keys) == len(set(keys))
    assert len(micros(result)) == 3


def test_a_face_that_is_away_for_long_is_another_track(recording):
    frames, detect = absent(recording, 2.8, 3.3)
    config = merge(Config(), {"faces": {"forget_s": 0.1, "check_s": 0.1}})
    assert {s.face.track for o in watch(frames, detect, config=config)[0] for s in o.faces} == {1, 2}


def test_a_face_that_leaves_in_mid_movement(recording):
    frames, detect = absent(recording, 2.32, 9.0)
    spans = [e.movement for e in finals(watch(frames, detect))]
    assert [s.kind for s in spans] == [Kind.UNDECIDED]
    assert spans[0].reason == "a cut in the recording"


def test_rare_checks_do_not_change_the_track(recording):
    """Even when the detector is asked more rarely than an absent face is remembered."""
    config = merge(Config(), {"faces": {"check_s": 1.5, "forget_s": 0.5}})
    result = watch(recording.frames, recording.detect, config=config)
    assert {s.face.track for o in result[0] for s in o.faces} == {1}
    assert_found(recording, micros(result))


def test_a_face_whose_light_changes_is_found_again(recording):
    """From one frame to the next it looks different, where it was: registration fails, detection does not."""
    frames = [replace(f, gray=255 - f.gray) if f.time >= 1.0 else f for f in recording.frames[:320]]
    result = watch(frames, recording.detect)
    assert "face out of sight" in {s.note for o in result[0][100:110] for s in o.faces}
    assert result[0][-1].faces[0].note == ""


def test_flashes_do_not_lose_the_face(recording):
    black = np.zeros_like(recording.frames[0].gray)
    frames = [replace(f, gray=black) if f.index in (60, 61) else f for f in recording.frames[:300]]
    result = watch(frames, recording.detect)
    assert result[0][64].faces[0].note == "learning the resting face"
    assert len(micros(result)) == 1


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"faces": {"min_width_px": 500.0}}, "face too small"),
        ({"faces": {"max_turn_deg": 5.0}}, "face turned away"),
    ],
)
def test_a_face_that_cannot_be_measured_says_why(recording, change, note):
    def turned(frame):
        return [replace(d, pose=(20.0, 0.0, 0.0)) for d in recording.detect(frame)]

    observations, rest = watch(recording.frames[:300], turned, config=merge(Config(), change))
    assert {s.note for o in observations for s in o.faces} == {note}
    assert all(s.activity is None for o in observations for s in o.faces)
    assert rest == ()


def test_faces_without_distance_between_the_eyes_are_ignored(recording):
    def flat(frame):
        (seen,) = recording.detect(frame)
        return [
            replace(seen, points=seen.points * np.float32(0)),
            replace(seen, points=seen.points * np.float32("nan")),
        ]

    observations, _ = watch(recording.frames[:60], flat)
    assert all(o.faces == () for o in observations)


# --- live --------------------------------------------------------------------------------------------------------


def test_a_live_pipeline_waits_for_neither_detection_nor_classification(recording):
    """Both are held back; every push returns meanwhile."""
    found, name = threading.Event(), threading.Event()
    asked = []

    def detect(frame):
        asked.append(frame.time)
        assert found.wait(20)
        return recording.detect(frame)

    recognizer = Recognizer(wait=name)
    with Pipeline(detect, MovementDetector, recognizer) as pipeline:
        pipeline.begin(live=True)
        assert all(pipeline.push(f).faces == () for f in recording.frames[:20])
        assert len(asked) == 1  # one search at a time
        found.set()
        early, observations = deque(), []
        for frame in recording.frames[20:290]:
            time.sleep(0.001)
            observations.append(pipeline.push(frame))
            early += observations[-1].events
        assert observations[-1].faces
        assert not early  # the movement is over, its class not known
        name.set()
        events = list(pipeline.finish().events)
    assert [e.status for e in events] == [Status.PROVISIONAL, Status.CONFIRMED]
    assert events[1].prediction.label == "negative"
    assert events[0].key == events[1].key


def test_no_provisional_report_after_the_final_one(recording):
    """The movement is cut short (rejected at once) while its provisional class is still being computed."""
    name = threading.Event()
    frames, detect = absent(recording, 2.4, 9.0)
    with Pipeline(detect, MovementDetector, Recognizer(wait=name)) as pipeline:
        pipeline.begin(live=True)
        events = []
        for frame in frames[:300]:
            time.sleep(0.0005)
            events += pipeline.push(frame).events
        name.set()
        events += pipeline.finish().events
    order = [e.status for e in events]
    assert order.count(Status.REJECTED) == 1
    assert order[-1] is Status.REJECTED


def test_errors_of_the_detector_and_the_recognizer_come_out_of_push(recording):
    class Broken(Recognizer):
        def classify(self, batch):  # noqa: ARG002
            raise MerError("the model broke")

    with Pipeline(lambda _: 1 / 0, MovementDetector) as pipeline, pytest.raises(ZeroDivisionError):
        pipeline.push(recording.frames[0])
    with pytest.raises(MerError, match="the model broke"):
        watch(recording.frames[:300], recording.detect, Broken())


# --- use ---------------------------------------------------------------------------------------------------------


def test_run_over_a_source(recording, result):
    class Source:
        info = SourceInfo("test", "array", False, (320, 240), 100.0, "given")

        def __iter__(self):
            return iter(recording.frames)

    with Pipeline(recording.detect, MovementDetector) as pipeline:
        first = [e for seen in run.watch(Source(), pipeline) for e in seen.events]
        again = [e for seen in run.watch(Source(), pipeline) for e in seen.events]  # begins again by itself
    assert first == again == events_of(result)


def test_the_movement_that_is_cut_off_by_the_end(recording):
    frames = recording.frames[:232]
    source = ArraySource([f.gray for f in frames], [f.time for f in frames])
    with Pipeline(recording.detect, MovementDetector) as pipeline:
        *observations, end = run.watch(source, pipeline)
    assert [o.index for o in observations] == list(range(232))
    assert isinstance(end, End)
    assert end.time == observations[-1].time
    (event,) = end.events
    assert event.movement.kind is Kind.UNDECIDED
    assert event.offset_frame <= 231
    assert "recording ended" in event.movement.reason


def test_classes_are_reported_twice_and_computed_once_where_the_apex_stays(recording):
    recognizer = Recognizer()
    result = watch(recording.frames[:300], recording.detect, recognizer)
    provisional, final = events_of(result)
    assert (provisional.status, final.status) == (Status.PROVISIONAL, Status.CONFIRMED)
    assert provisional.prediction.probabilities == final.prediction.probabilities
    same = (provisional.movement.onset, provisional.movement.apex) == (final.movement.onset, final.movement.apex)
    assert recognizer.sizes == ([1] if same else [1, 1])
    quiet = merge(Config(), {"classify": {"provisional": False}})
    provisional, final = events_of(watch(recording.frames[:300], recording.detect, Recognizer(), quiet))
    assert provisional.prediction is None
    assert final.prediction.label == "negative"


def test_an_unsure_class_is_no_class(recording):
    recognizer = Recognizer()
    recognizer.spec = replace(recognizer.spec, abstain_below=0.9)
    (event,) = micros(watch(recording.frames[:300], recording.detect, recognizer))
    assert event.prediction.abstained
    assert sum(event.prediction.probabilities.values()) == pytest.approx(1)


def test_close_twice(recording):
    closed = []
    pipeline = Pipeline(recording.detect, MovementDetector, Recognizer(), close=lambda: closed.append(1))
    pipeline.begin(live=True)
    pipeline.push(recording.frames[0])
    pipeline.close()
    pipeline.close()
    assert closed == [1]
    real = build(merge(Config(), {"classify": {"model": "none"}}))
    real.close()
    real.close()


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_times_must_increase(recording, bad):
    with Pipeline(recording.detect, MovementDetector) as pipeline:
        pipeline.push(recording.frames[0])
        with pytest.raises(SourceError, match="times must increase"):
            pipeline.push(replace(recording.frames[1], time=bad))
        pipeline.push(recording.frames[1])  # the good one is still taken


@pytest.mark.parametrize("bad", [np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)])
def test_pictures_must_be_pictures(bad):
    with Pipeline(lambda _: [], MovementDetector) as pipeline, pytest.raises(SourceError, match="uint8"):
        pipeline.push(Frame(0, 0.0, bad))


@pytest.mark.parametrize("shape", [(2, 32767), (40000, 1)])
def test_pictures_too_large_to_warp_are_refused(shape):
    with Pipeline(lambda _: [], MovementDetector) as pipeline:
        pipeline.push(Frame(0, 0.0, np.zeros((2, 32766), np.uint8)))
        with pytest.raises(SourceError, match="more than 32766 px on a side"):
            pipeline.push(Frame(1, 1.0, np.zeros(shape, np.uint8)))


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1))
def test_random_pictures_and_detections_raise_nothing(seed):
    random = np.random.default_rng(seed)

    def detect(_):
        found = []
        for _ in range(random.integers(0, 4)):
            points = random.normal(random.uniform(-20, 80, 2), 10 ** random.uniform(-2, 3), (478, 2)).astype(np.float32)
            (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
            box = float(x0), float(y0), float(x1), float(y1)
            found.append(Face(0, box, points, 1.0, tuple(random.uniform(-90, 90, 3))))
        return found

    at = 0.0
    with Pipeline(detect, MovementDetector, Recognizer()) as pipeline:
        for index in range(60):
            at += float(np.exp(random.uniform(-6, 0)))
            shape = (48, 64) if seed % 2 else tuple(random.integers(1, 90, 2))
            gray = random.integers(0, 256, shape).astype(np.uint8)
            observation = pipeline.push(Frame(index, at, gray))
            assert observation.time == at
        pipeline.finish()


def test_memory_stays_flat(recording):
    """Nothing kept grows with the length of the recording."""

    def sizes(pipeline):
        (watched,) = pipeline._faces.values()
        spotter = watched._spotter
        return (
            len(pipeline._times),
            len(watched.ring._kept),
            len(pipeline._reporter._known),
            len(spotter._history),
            len(spotter._baseline._recent),
            len(spotter._baseline._lagged),
        )

    with Pipeline(recording.detect, MovementDetector, Recognizer()) as pipeline:
        for frame in recording.frames:
            pipeline.push(frame)
            if frame.index == 400:
                early = sizes(pipeline)
        assert all(late <= 1.1 * then + 1 for late, then in zip(sizes(pipeline), early, strict=True))
