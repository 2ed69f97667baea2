"""Holes in a recording, changes of size and repeated frames: nothing is measured across the first two, and the third
do not count."""

from __future__ import annotations

from dataclasses import replace

import cv2
import pytest

from realtime_mer.continuity import Break
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Frame, Kind, Status
from realtime_mer.spotting.detector import MovementDetector


def watch(frames, detect):
    with Pipeline(detect, MovementDetector) as pipeline:
        observations = [pipeline.push(frame) for frame in frames]
        return observations, [*(e for o in observations for e in o.events), *pipeline.finish().events]


def final(events, status):
    return [event for event in events if event.final and event.status is status]


def test_a_hole_in_a_movement_interrupts_it(recording):
    at = 234  # in the rise of the first movement, which peaks at 2.32 s
    frames = [replace(f, hole=0.01) if f.index == at else f for f in recording.frames]
    observations, events = watch(frames, recording.detect)
    assert [o.index for o in observations if Break.HOLE.value in o.notes] == [at]
    (cut,) = (e for e in final(events, Status.REJECTED) if "in the recording" in e.movement.reason)
    assert cut.movement.kind is Kind.UNDECIDED
    assert cut.movement.end < frames[at].time
    assert cut.reported == frames[at].time
    assert not [e for e in events if e.movement.onset < frames[at].time <= e.movement.end]
    # the face is found again at once, keeps its track, and the later movements are found
    assert all(o.faces for o in observations)
    assert {signal.face.track for o in observations for signal in o.faces} == {1}
    confirmed = final(events, Status.CONFIRMED)
    assert [round(e.movement.apex, 1) for e in confirmed] == [4.0, 5.0]
    assert len({e.key for e in events if e.final}) == len([e for e in events if e.final])


def test_a_hole_at_rest_changes_nothing_after_the_face_is_known_again(recording):
    frames = [replace(f, hole=2.0) if f.index == 20 else f for f in recording.frames]
    _, events = watch(frames, recording.detect)
    assert len(final(events, Status.CONFIRMED)) == 3


@pytest.mark.parametrize("marked", [True, False], ids=["with a hole", "unmarked"])
def test_a_change_of_size_starts_every_face_anew(recording, marked):
    at = 234

    def changed(frame: Frame) -> Frame:
        gray = cv2.resize(frame.gray, None, fx=1.5, fy=1.5)
        return replace(frame, gray=gray, hole=0.01 if marked and frame.index == at else 0.0)

    frames = [changed(f) if f.index >= at else f for f in recording.frames]
    observations, events = watch(frames, recording.detect)
    assert [o.index for o in observations if Break.SIZE.value in o.notes] == [at]
    assert not [e for e in events if e.movement.onset < frames[at].time <= e.movement.end]
    tracks = [{signal.face.track for signal in o.faces} for o in observations]
    assert tracks == [{1}] * at + [{2}] * (len(frames) - at)
    assert [round(e.movement.apex, 1) for e in final(events, Status.CONFIRMED)] == [4.0, 5.0]


def test_repeated_frames_do_not_raise_the_frame_rate(recording):
    def seen(frame: Frame) -> Frame:
        """8 frames/s stored as 100."""
        shown = recording.frames[frame.index * 8 // 100 * 100 // 8]
        new = frame.index == 0 or frame.index * 8 // 100 != (frame.index - 1) * 8 // 100
        return replace(frame, gray=shown.gray, repeated=not new)

    observations, events = watch([seen(f) for f in recording.frames], recording.detect)
    assert not final(events, Status.CONFIRMED)
    assert {e.movement.kind for e in final(events, Status.REJECTED)} <= {
        Kind.UNDECIDED,
        Kind.MACRO,
        Kind.HEAD,
        Kind.BLINK,
    }
    assert all(0 < e.fps < 20 for e in events)
    assert all(5 < o.fps < 11 for o in observations[100:])
    assert all("show something new" in o.notes[0] for o in observations[30:])
