"""The benchmarks run and count rightly, and the pipeline stays far cheaper than landmarks on every frame.

Wall times are never judged here: the guard is a ratio of processor times inside one run.
"""

import time
from functools import partial

import cv2
import pytest

from realtime_mer.bench import devices, latency, live, targets, throughput
from realtime_mer.bench.clips import Clip, arrange, largest_square, make
from realtime_mer.bench.paced import PacedSource
from realtime_mer.bench.stages import WHAT, Stopwatch
from realtime_mer.build import build
from realtime_mer.config import Config, load
from realtime_mer.errors import ConfigError, SourceError
from realtime_mer.face import FaceDetector
from realtime_mer.face.lane import DetectionLane
from realtime_mer.motion.follow import Follower
from realtime_mer.observe import Stage
from realtime_mer.recognize import device as recognize_device
from realtime_mer.records import Frame
from realtime_mer.sources import open_source
from realtime_mer.spotting.detector import MovementDetector
from realtime_mer.synth import portrait, read_truth

NO_MODEL = load(None, ["classify.model=none"])


@pytest.fixture(scope="module")
def clip():
    """4 s of the synthetic demo clip at 100 frames/s, with its first movement; kept in the cache."""
    return make(Clip(seconds=throughput.SHORT))


def test_the_clip_is_what_its_name_says(clip):
    with open_source(clip) as source:
        assert source.info.size == (640, 480)
        assert sum(1 for _ in source) == 400
    assert [round(t.apex, 2) for t in read_truth(clip.with_suffix(".truth.json"))] == [3.12]


@pytest.mark.parametrize(("number", "expected"), [(1, (1080, 1)), (2, (540, 1)), (4, (540, 2)), (16, (270, 4))])
def test_faces_get_the_largest_squares(number, expected):
    assert largest_square(number, 1080, 1080) == expected
    side, columns = largest_square(number, 1920, 480)
    assert side * columns <= 1920
    assert side * -(-number // columns) <= 480


def test_every_copy_of_the_face_is_found():
    image = arrange(portrait()[0], Clip(*throughput.CROWD, faces=16))
    with FaceDetector(max_faces=16) as detector:
        found = detector.detect(Frame(0, 0.0, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), lambda: image))
    assert len(found) == 16


def test_stages_are_timed_within_their_frame(clip):
    stopwatch = Stopwatch()
    with build(NO_MODEL, observers=[stopwatch]) as pipeline, open_source(clip) as source:
        for frame in source:
            began = time.perf_counter()
            pipeline.push(frame)
            whole = time.perf_counter() - began
            spent = stopwatch.take()
            assert sum(spent.values()) <= whole
            if frame.index == 300:
                break
    assert set(spent) == {stage.value for stage in WHAT}
    assert all(spent[stage] > 0 for stage in WHAT if stage is not Stage.CLASSIFY)
    assert sum(stopwatch.take().values()) == 0
    assert stopwatch.beside[Stage.DETECT]
    assert len(stopwatch.beside[Stage.CHECK]) >= 3


def test_classification_is_timed_where_a_movement_is_reported(clip):
    stopwatch, spent = Stopwatch(), {}
    with build(observers=[stopwatch]) as pipeline, open_source(clip) as source:
        for frame in source:
            events = pipeline.push(frame).events
            spent[frame.index] = stopwatch.take()["classify"], any(event.prediction for event in events)
    named = [took for took, reported in spent.values() if reported]
    assert named
    assert named[0] > 0
    assert all(took == 0 for took, reported in spent.values() if not reported)


def test_stage_times_leave_the_warm_up_out(clip):
    lines = {line.name: line for line in latency.stages(clip, NO_MODEL)}
    assert len(lines["follow"].samples) == 200
    assert min(lines["follow"].samples) > 0
    assert min(lines["spot"].samples) > 0
    assert lines["frame, all of it"].quantiles()[0] >= lines["follow"].quantiles()[0]
    assert {len(lines[name].samples) for name in lines if name not in ("face detection", "light check")} == {200}


def test_a_fresh_process_is_timed_to_its_first_observation(clip, tmp_path):
    assert 0.1 < latency.start_up(clip) < 120
    with pytest.raises(SourceError, match=r"could not read .*no such file"):
        latency.start_up(tmp_path / "none.mp4")


def test_a_paced_source_keeps_its_rate_and_knows_what_it_played(clip):
    with PacedSource(clip, 50) as source:
        times = []
        for frame in source:
            times.append(frame.time)
            if len(times) == 40:
                source.close()
    (played,) = source.captured(0.5)
    assert times[0] - 0.6 < played < times[-1] + 0.1
    assert len(source.lateness) >= 40
    assert times[-1] - times[0] >= 39 / 50 - 0.03
    assert source.captured(3.9) == []


def test_a_live_run_counts_every_frame_and_finds_the_movement(clip):
    with build() as pipeline, PacedSource(clip, 100) as source:
        session = live.watch(pipeline, source, 3.7)
        stats = source.stats()
    assert len(session.frames) == stats.delivered
    assert 0 <= stats.captured - stats.delivered - stats.dropped <= 100  # what the queue held at the end
    assert all(seen >= captured for captured, seen in session.frames)
    truth = read_truth(clip.with_suffix(".truth.json"))
    lines = {line.name: line for line in live.event_series(session, truth, source)}
    if stats.missed == stats.dropped == 0:  # the machine kept up, so the one movement must be there
        assert len(lines["drawn apex to provisional event"].samples) == 1
    for name in ("reported apex to provisional event", "of which look-ahead"):
        assert all(sample > 0 for sample in lines[name].samples)


def test_throughput_counts_frames_and_faces(clip):
    ours, floor, _ = throughput.alternate(throughput.Case("one", clip), NO_MODEL, 1)
    assert [t.frames for t in (*ours, *floor)] == [400, 400]
    assert ours[0].measured > 0.95


def test_streams_are_added_up(clip):
    with build(NO_MODEL) as one, build(NO_MODEL) as other:
        both = throughput.timed([partial(throughput.analyze, pipeline, clip) for pipeline in (one, other)])
    assert both.frames == 800
    assert both.measured > 0.95


def test_a_case_runs_in_a_process_of_its_own_and_hands_on_errors(clip, tmp_path):
    result = throughput.run(clip, NO_MODEL, rounds=1)
    assert len(result.series) == 4
    assert result.facts[clip.name]["frames"] == 400
    assert 50 < result.facts[clip.name]["peak memory, MB"] < 600
    with pytest.raises(SourceError, match="no such file"):
        throughput.run(tmp_path / "no.mp4", NO_MODEL, rounds=1)


def test_what_cannot_be_measured_is_one_clear_error(clip):
    with pytest.raises(ConfigError, match="longer than 2 s"):
        live.run(100, 1, clip)
    with pytest.raises(ConfigError, match="positive"):
        PacedSource(clip, 0)


def processor_ms_per_frame(work, frames):
    began = time.process_time()
    work()
    return 1e3 * (time.process_time() - began) / frames


def test_a_frame_costs_a_fraction_of_landmarks_on_every_frame(clip):
    """The guard against slow code: everything, decoding included, against MediaPipe's landmarks alone.

    In turns and by processor time, so that a busy machine slows both. About 8 here; a change that halves the speed of
    the frame path fails.
    """
    ratios = []
    with open_source(clip) as source:
        frames = list(source)
    with FaceDetector(max_faces=1) as detector, build(NO_MODEL) as pipeline:
        detector.detect(frames[0])
        for start in (0, 130, 260):
            some = frames[start : start + 30]
            theirs = processor_ms_per_frame(lambda some=some: [detector.detect(frame) for frame in some], len(some))
            ours = processor_ms_per_frame(lambda: throughput.analyze(pipeline, clip), len(frames))
            ratios.append(theirs / ours)
    assert sorted(ratios)[1] > 4, ratios


def test_timing_costs_nothing_when_off(clip):
    """Nothing stands between the pipeline and its parts."""
    with build(NO_MODEL) as pipeline, open_source(clip) as source:
        for frame, _ in zip(source, range(20), strict=False):
            pipeline.push(frame)
        (watched,) = pipeline._faces.values()
        calls = pipeline._detect, pipeline._answer, watched._measure, watched._spot
        parts = FaceDetector.detect, DetectionLane.answer, Follower.step, MovementDetector.push
        assert tuple(call.__func__ for call in calls) == parts


def test_devices_are_timed_and_those_that_are_not_there_say_why(clip, monkeypatch) -> None:
    """The recognizer's calls and a live run on the CPU; the rows of a GPU that is not there."""
    monkeypatch.setattr(devices, "CALLS", 5)
    monkeypatch.setattr(devices, "make", lambda _: clip)
    monkeypatch.setattr(recognize_device, "gpu", lambda: "")
    result = devices.run(100.0, 4.5, Config())
    assert result.facts["cuda"].startswith("no NVIDIA GPU")
    assert result.facts["tensorrt"].startswith("no NVIDIA GPU")
    named = [value for key, value in result.facts.items() if key.startswith("cpu, live: events that name onnxruntime")]
    assert len(named) == 1
    answered, of = named[0].split(" of ")
    assert answered == of != "0"
    found = {line.name: len(line.samples) for line in result.series}
    assert found["cpu, batch of 64"] == 5
    assert found["cpu, live: capture to observation"] > 20


def test_targets_take_part_in_every_other_turn(clip, monkeypatch) -> None:
    """One run in two short turns; the dead target costs nothing and delivers nothing."""
    monkeypatch.setattr(targets, "TURN_S", 2.0)
    monkeypatch.setattr(targets, "WARM_UP", 0.5)
    monkeypatch.setattr(targets, "make", lambda _: clip)
    facts = targets.run(50.0, 0.1, []).facts
    frames = facts["with targets: frames"], facts["without: frames"]
    assert min(frames) > 50
    assert facts["with targets: dropped"] == facts["without: dropped"] == 0
    assert "0 sent" in facts[f"target {targets.DEAD}"]
    assert 0 < facts["peer got, signals"] <= 1.3 * frames[0]  # not those of the other turn
    with pytest.raises(ConfigError, match="at least 2 minutes"):
        targets.run(50.0, 0.01, [])
