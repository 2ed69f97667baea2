"""The one loop: what sinks are told and when, and what observers see."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime_mer.config import Config, merge
from realtime_mer.errors import SourceError
from realtime_mer.motion.flow import recognizer_input
from realtime_mer.motion.follow import follow_clip
from realtime_mer.observe import Stage, observed
from realtime_mer.pipeline import Pipeline
from realtime_mer.recognize.spec import ModelSpec
from realtime_mer.records import End, Frame, Observation, SourceInfo
from realtime_mer.run import log_header, run, watch
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import JsonLines, read_jsonl
from realtime_mer.spotting.detector import MovementDetector


class Source:
    """Frames in a list; ``broken_at`` raises there."""

    def __init__(self, frames: tuple[Frame, ...], *, live: bool = False, broken_at: int = -1) -> None:
        self.info = SourceInfo("test", "array", live, frames[0].size, 100.0, "given")
        self._frames, self._broken_at = frames, broken_at

    def __iter__(self):
        for frame in self._frames:
            if frame.index == self._broken_at:
                raise SourceError("the cable was pulled")
            yield frame


class Told(Sink):
    """Writes down what it is told. ``broken_at``: raises there."""

    def __init__(self, broken_at: int = -1) -> None:
        self.calls: list[object] = []
        self._broken_at = broken_at

    def write(self, observation: Observation, frame: Frame) -> None:
        assert observation.index == frame.index
        if frame.index == self._broken_at:
            raise OSError("disk full")
        self.calls.append(frame.index)

    def end(self, end: End) -> None:
        self.calls.append(end)

    def close(self) -> None:
        self.calls.append("close")


class Recognizer:
    spec = ModelSpec("double", "1", ("negative", "positive"), "flow-uvs/1", (3, 128, 128))
    provider, why = "test", "for the test"

    def classify(self, batch: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([0.75, 0.25]), (len(batch), 1))


def pipeline_of(recording, recognizer=None, **options) -> Pipeline:
    return Pipeline(recording.detect, MovementDetector, recognizer, **options)


def test_sinks_get_every_frame_then_the_end_then_are_closed(recording) -> None:
    sinks = [Told(), Told()]
    with pipeline_of(recording) as pipeline:
        run(Source(recording.frames[:20]), pipeline, sinks)
    for sink in sinks:
        *frames, end, closed = sink.calls
        assert frames == list(range(20))
        assert isinstance(end, End)
        assert end.time == recording.frames[19].time
        assert closed == "close"


@pytest.mark.parametrize("how", ["source", "sink", "reader"])
def test_a_run_that_is_cut_short_closes_the_sinks_but_tells_no_end(recording, how: str) -> None:
    source = Source(recording.frames[:20], broken_at=7 if how == "source" else -1)
    told, other = Told(), Told(broken_at=7 if how == "sink" else -1)
    with pipeline_of(recording) as pipeline:
        steps = watch(source, pipeline, [told, other])
        if how == "reader":
            for _ in range(7):
                next(steps)
            steps.close()
        else:
            with pytest.raises((SourceError, OSError)):
                list(steps)
    for sink in (told, other):
        assert sink.calls[-1] == "close"
        assert not any(isinstance(call, End) for call in sink.calls)


def test_a_log_is_complete_only_when_the_source_came_to_its_end(recording, tmp_path: Path) -> None:
    with pipeline_of(recording) as pipeline:
        whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
        source = Source(recording.frames[:30])
        run(source, pipeline, [JsonLines(whole, log_header(source.info, pipeline))])
        source = Source(recording.frames[:30], broken_at=20)
        with pytest.raises(SourceError):
            run(source, pipeline, [JsonLines(cut, log_header(source.info, pipeline))])
    assert read_jsonl(whole).summary is not None
    assert read_jsonl(whole).summary.frames == 30
    assert read_jsonl(cut).summary is None


def test_each_run_begins_anew_with_the_settings_in_force(recording) -> None:
    with pipeline_of(recording) as pipeline:
        first = [seen.events for seen in watch(Source(recording.frames[:300]), pipeline)]
        assert [seen.events for seen in watch(Source(recording.frames[:300]), pipeline)] == first
        pipeline.begin(config=merge(Config(), {"spot": {"min_shift_px": 9.0}}))
        assert pipeline.config.spot.min_shift_px == 9.0
        events = [e for seen in watch(Source(recording.frames[:300]), pipeline) for e in seen.events]
    assert any(first)
    assert events == []


def test_an_event_names_its_frames_and_keeps_what_the_recognizer_saw(recording) -> None:
    """And that is to the bit what training makes of the same frames and key frames: one function makes both."""
    # from 0.9 s on: the movement at 2.2 s comes before the first anchor is renewed
    frames = tuple(replace(f, index=f.index + 5) for f in recording.frames[90:290])
    with pipeline_of(recording, Recognizer()) as pipeline:
        events = [e for seen in watch(Source(frames), pipeline) for e in seen.events]
    assert [e.final for e in events] == [False, True]
    event = events[-1]
    times = {f.index: f.time for f in frames}
    for index, time in (
        (event.onset_frame, event.movement.onset),
        (event.apex_frame, event.movement.apex),
        (event.offset_frame, event.movement.offset),
    ):
        assert abs(times[index] - time) <= min(abs(t - time) for t in times.values())
    assert event.motion is not None
    assert event.motion.shape == (3, 128, 128)
    assert np.abs(event.motion).max() > 0.3
    ring = follow_clip(recording.detection(frames[0].time), frames[:150])
    again = recognizer_input(ring.key_frames(event.movement.onset, event.movement.apex), "flow-uvs/1", 128)
    np.testing.assert_array_equal(again, event.motion)


def test_observers_see_every_stage_begin_and_end(recording) -> None:
    class Watcher:
        def __init__(self) -> None:
            self.open: dict[tuple[int, Stage], int] = {}
            self.seen: list[Stage] = []

        def started(self, stage: Stage) -> None:
            key = threading.get_ident(), stage
            assert not self.open.get(key)
            self.open[key] = 1

        def ended(self, stage: Stage) -> None:
            self.open[threading.get_ident(), stage] -= 1
            self.seen.append(stage)

    watcher = Watcher()
    with pipeline_of(recording, Recognizer(), observers=[watcher]) as pipeline:
        observed_events = [seen.events for seen in watch(Source(recording.frames[:300]), pipeline)]
    assert set(watcher.seen) == set(Stage) - {Stage.CHECK}  # nothing to check with
    assert not any(watcher.open.values())
    assert watcher.seen.count(Stage.FOLLOW) == watcher.seen.count(Stage.SPOT) == 300
    assert watcher.seen.count(Stage.WAIT) == 300
    with pipeline_of(recording, Recognizer()) as pipeline:
        assert [seen.events for seen in watch(Source(recording.frames[:300]), pipeline)] == observed_events


def test_what_nobody_observes_is_not_wrapped() -> None:
    call: Callable[[], int] = lambda: 1  # noqa: E731
    assert observed(call, Stage.SPOT, ()) is call


def test_an_observer_is_told_the_end_of_a_stage_that_fails() -> None:
    class Watcher:
        told: tuple[str, ...] = ()

        def started(self, stage: Stage) -> None:
            self.told += (f"{stage} started",)

        def ended(self, stage: Stage) -> None:
            self.told += (f"{stage} ended",)

    watcher = Watcher()
    with pytest.raises(ZeroDivisionError):
        observed(lambda: 1 / 0, Stage.DETECT, [watcher])()
    assert watcher.told == ("detect started", "detect ended")
