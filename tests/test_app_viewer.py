"""What the page is told of a run, from a source to the messages, without a server: events, their pictures, the end."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from app_server import until
from made_observations import event, play

from realtime_mer import ArraySource, Config
from realtime_mer.app.pictures import EventPictures
from realtime_mer.app.viewer import Viewer
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Event, Image, Kind, Observation
from realtime_mer.sinks.event_json import to_json
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.spotting.detector import MovementDetector

CUT = 405  # frames: the second movement of the recording is under way at the last one


def picture(uri: str) -> Image:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def told(recording: Any, *, private: bool = False, recalibrated: bool = False) -> list[dict[str, Any]]:
    """All messages of a run over the first frames of the recording."""
    viewer = watching(recording, private=private, recalibrated=recalibrated)
    viewer.start()
    until(lambda: viewer.done, 120)
    return viewer.take()


def watching(recording: Any, *, private: bool = False, recalibrated: bool = False) -> Viewer:
    """A viewer of the first frames of the recording. recalibrated: asks for it once the run is under way."""
    frames = recording.frames[:CUT]

    def detect(frame: Any) -> Any:
        if recalibrated and frame.time > 0.3 and not asked:
            asked.append(viewer.recalibrate())
        return recording.detect(frame)

    asked: list[None] = []
    viewer = Viewer(
        lambda: ArraySource([f.gray for f in frames], [f.time for f in frames]),
        lambda config: Pipeline(detect, MovementDetector, None, config),
        Config(),
        private=private,
    )
    return viewer


def test_events_are_told_in_order_and_those_of_the_end_before_the_stop(recording: Any) -> None:
    messages = told(recording)
    assert [m["type"] for m in messages if m["type"] != "event"] == ["started", "stopped", "state"]
    assert messages[-2]["type"] == "stopped"
    assert (messages[-1]["frames"], len(messages[-1]["faces"])) == (CUT, 1)
    assert messages[-1]["smallest"]["size"].endswith("% of the distance between the eyes")
    events = [m for m in messages if m["type"] == "event"]
    micro = [m["status"] for m in events if m["key"] == events[0]["key"]]
    assert micro == ["provisional", "confirmed"]
    last = messages[-3]
    assert (last["kind"], last["reason"]) == ("undecided", "the recording ended before the movement did")
    assert last["offset_frame"] in (CUT - 1, CUT - 2)
    for message in events:
        final = message["status"] != "provisional"
        assert set(message["pictures"]) == ({"onset", "apex", "offset"} if final else set())
        assert all(picture(uri).shape == (120, 120, 3) for uri in message["pictures"].values())


def test_in_privacy_mode_events_come_without_pictures(recording: Any) -> None:
    events = [m for m in told(recording, private=True) if m["type"] == "event"]
    assert {m["status"] for m in events} == {"provisional", "confirmed", "rejected"}
    assert all(m["pictures"] == {} for m in events)


def test_a_recalibration_changes_no_number_and_loses_no_movement(recording: Any) -> None:
    before, after = ([m for m in told(recording, recalibrated=r) if m["type"] == "event"] for r in (False, True))
    assert {m["track"] for m in after} == {1}
    found = [[m["apex"] for m in ms if m["status"] == "confirmed"] for ms in (before, after)]
    assert found[1] == pytest.approx(found[0], abs=0.02)


def test_the_log_of_a_run_is_kept_and_can_be_read_at_any_time(recording: Any, tmp_path: Path) -> None:
    viewer = watching(recording)
    assert viewer.log == ""
    viewer.start()
    until(lambda: viewer.done, 120)
    (path := tmp_path / "events.jsonl").write_text(viewer.log)
    log = read_jsonl(path)
    shown = [m for m in viewer.take() if m["type"] == "event" and m["status"] != "provisional"]
    assert [to_json(e) for e in log.events] == [{k: m[k] for k in to_json(log.events[0])} for m in shown]
    assert log.summary is not None
    assert log.summary.frames == CUT
    assert [m["key"] for m in viewer.history] == [m["key"] for m in shown]


def test_the_final_report_has_the_pictures_also_when_the_provisional_one_comes_with_it(recording: Any) -> None:
    """A busy recognizer answers late: both reports of a movement are in one observation."""

    def together(observation: Observation, events: list[Event]) -> Observation:
        """Holds provisional reports back until the final one comes."""
        events += observation.events
        ready = any(e.final for e in events)
        told, events[:] = (tuple(events), []) if ready else ((), list(events))
        return dataclasses.replace(observation, events=told)

    held: list[Event] = []
    push = Pipeline.push
    viewer = watching(recording)
    pipeline_push = lambda self, frame: together(push(self, frame), held)  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "push", pipeline_push)
        viewer.start()
        until(lambda: viewer.done, 120)
    confirmed = [m for m in viewer.take() if m["type"] == "event" and m["status"] == "confirmed"]
    assert confirmed
    assert all(set(m["pictures"]) == {"onset", "apex", "offset"} for m in confirmed)


def test_pictures_are_made_of_final_events_only_and_of_those_of_the_end_too() -> None:
    motion = np.zeros((3, 32, 32), np.float32)
    motion[0, 4:12, 4:12] = 2.0
    last = (
        dataclasses.replace(event(3, 2.5), motion=motion),
        event(4, 2.6, kind=Kind.UNDECIDED, reason="cut short"),
        event(5, 2.7, provisional=True),
        event(6, 2.5, track=2),  # was never seen
    )
    play(sink := EventPictures(), last=last)
    stills = {"onset", "apex", "offset"}
    assert {key: set(made) for key, made in sink.made.items()} == {
        (1, 1): stills, (1, 2): stills, (1, 3): {*stills, "motion"}, (1, 4): stills, (2, 6): set(),
    }  # fmt: skip
    heat = picture(sink.made[1, 3]["motion"]).astype(int)
    assert heat.shape == (128, 128, 3)
    assert np.ptp(heat[24:40, 24:40], axis=2).min() > 30
    assert np.ptp(heat[64:, 64:], axis=2).max() < 12  # gray, but for the JPEG
