"""Holes, cuts and changes of size: nothing is measured across them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from realtime_mer.config import SpotConfig
from realtime_mer.continuity import Break, Continuity
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Frame
from realtime_mer.spotting.detector import MovementDetector

RATES = (24, 30, 60, 200)


def picture(seed: int = 0, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    return cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8), (0, 0), 2) * 3


def breaks(frames: list[Frame]) -> dict[int, Break]:
    continuity = Continuity(SpotConfig())
    found = {frame.index: continuity.push(frame) for frame in frames}
    return {index: broken.what for index, broken in found.items() if broken is not None}


def steady(rate: float, count: int = 60, seed: int = 1) -> list[Frame]:
    """The same picture with a little noise, and a little jitter in time."""
    random = np.random.default_rng(seed)
    image = picture().astype(np.int16)
    grays = [np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8) for _ in range(count)]
    return [Frame(i, i / rate + random.uniform(0, 0.2 / rate), gray) for i, gray in enumerate(grays)]


@pytest.mark.parametrize("rate", RATES)
def test_a_steady_recording_has_no_break(rate: float) -> None:
    assert breaks(steady(rate)) == {}


@pytest.mark.parametrize("rate", [5, 8, 12])
def test_a_slow_recording_has_no_holes_but_where_it_is_slower(rate: float) -> None:
    frames = steady(rate)
    assert breaks(frames) == {}
    later = [replace(f, time=f.time + 3 / rate) if f.index >= 30 else f for f in frames]
    assert breaks(later) == {30: Break.HOLE}


@pytest.mark.parametrize("rate", RATES)
def test_a_missing_stretch_is_a_hole(rate: float) -> None:
    frames = [replace(f, time=f.time + 0.12) if f.index >= 30 else f for f in steady(rate)]
    assert breaks(frames) == {30: Break.HOLE}


def test_a_hole_that_the_source_marks_is_one_however_close_the_frames() -> None:
    frames = [replace(f, hole=0.01) if f.index == 30 else f for f in steady(100)]
    assert breaks(frames) == {30: Break.HOLE}


def test_one_frame_lost_at_a_low_rate_is_no_hole() -> None:
    assert breaks([f for f in steady(24) if f.index != 30]) == {}


def test_another_scene_is_a_cut() -> None:
    frames = [replace(f, gray=picture(9)) if f.index >= 30 else f for f in steady(30)]
    assert breaks(frames) == {30: Break.CUT}


def test_a_scene_that_changes_all_the_time_has_no_cuts() -> None:
    assert breaks([Frame(i, i / 30, picture(i)) for i in range(60)]) == {}


def test_another_frame_size_is_told() -> None:
    larger = picture(size=(240, 320))
    frames = [replace(f, gray=larger) if f.index >= 30 else f for f in steady(30)]
    assert breaks(frames) == {30: Break.SIZE}


@pytest.mark.parametrize("long", [0.11, 0.2, 0.3])
@pytest.mark.parametrize("start", np.arange(2.15, 2.60, 0.05).round(2))
def test_no_event_lies_across_a_hole(recording, start: float, long: float) -> None:
    """The first movement lasts from 2.2 to 2.5 s; the frames after ``start`` are missing for ``long`` s."""
    frames = [f for f in recording.frames[:350] if not start < f.time < start + long]
    with Pipeline(recording.detect, MovementDetector) as pipeline:
        events = [e for f in frames for e in pipeline.push(f).events]
        events += pipeline.finish().events
    assert not [e for e in events if e.movement.onset < start and e.movement.end > start + long]
    cut = [e for e in events if "hole" in e.movement.reason]
    assert all(e.status == "rejected" for e in cut)


def test_a_movement_after_the_hole_is_found(recording) -> None:
    frames = [f for f in recording.frames[:460] if not 2.7 < f.time < 3.0]
    with Pipeline(recording.detect, MovementDetector) as pipeline:
        events = [e for f in frames for e in pipeline.push(f).events]
    assert [round(e.movement.apex, 1) for e in events if e.status == "confirmed"] == [2.3, 4.0]


def test_a_change_of_size_in_mid_stream_goes_on(recording) -> None:
    """From 3 s on the pictures are twice as large: the same person is found again, and the next movement too."""
    frames = [
        replace(f, gray=cv2.resize(f.gray, None, fx=2, fy=2)) if f.time >= 2.7 else f for f in recording.frames[:460]
    ]
    with Pipeline(recording.detect, MovementDetector) as pipeline:
        observations = [pipeline.push(f) for f in frames]
    events = [e for o in observations for e in o.events]
    assert [round(e.movement.apex, 1) for e in events if e.status == "confirmed"] == [2.3, 4.0]
    assert observations[-1].faces[0].face.box[2] > 1.5 * observations[200].faces[0].face.box[2]
