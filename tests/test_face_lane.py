"""The detection lane: never waits on a live source, answers at a fixed video time on a recording."""

import threading
import time

import numpy as np
import pytest

from realtime_mer.config import FacesConfig
from realtime_mer.face.lane import DetectionLane
from realtime_mer.records import Frame

GRAY = np.zeros((4, 4), np.uint8)


def frame(at):
    return Frame(0, at, GRAY)


def lane_of(detect, live=False, patience=0.0):
    return DetectionLane(detect, FacesConfig(search_s=0.2, check_s=0.5, patience_s=patience), live)


def test_a_live_lane_does_not_wait():
    release, began = threading.Event(), threading.Event()

    def slow(_):
        began.set()
        assert release.wait(10)
        return ["face"]

    lane = lane_of(slow, live=True)
    lane.ask(frame(1.0), {"face": 1.0}, watching=True)
    assert began.wait(10)
    start = time.perf_counter()
    assert lane.answer(1e9) is None
    assert time.perf_counter() - start < 1.0
    assert not lane.due(9.0, watching=True)  # one at a time
    release.set()
    while (answer := lane.answer(2.0)) is None:
        time.sleep(0.001)
    assert answer.frame.time == 1.0
    assert answer.faces == ["face"]
    assert answer.context == {"face": 1.0}
    assert lane.due(9.0, watching=True)
    lane.close()


def test_a_recording_takes_the_answer_at_its_time():
    lane = lane_of(lambda _: ["face"], patience=0.04)
    lane.ask(frame(10.0), {"face": 10.0}, watching=True)
    assert lane.answer(10.0) is None
    assert lane.answer(10.03) is None  # even though it has been there for long
    assert lane.answer(10.05).faces == ["face"]
    assert lane.answer(10.06) is None
    lane.close()


def test_a_check_is_waited_for_longer():
    """It changes nothing where it confirms, so that a recording need not stand still for it."""
    lane = DetectionLane(lambda _: ["face"], FacesConfig(patience_s=0.04), False, check=lambda *_: True)
    assert asked(lane, 9.0) == ["face"]
    lane.ask(frame(10.0), None, watching=True, expected=["face"])
    assert lane.answer(10.19) is None
    assert lane.answer(10.21).faces is None
    lane.close()


def asked(lane, at, expected=("face",)):
    lane.ask(frame(at), None, watching=True, expected=expected)
    return lane.answer(at + 0.25).faces


def test_what_is_confirmed_is_not_searched_until_its_landmarks_are_old():
    searched, right = [], [True]
    settings = FacesConfig(check_s=0.5, landmarks_s=2.0)
    lane = DetectionLane(lambda f: searched.append(f.time) or ["found"], settings, False, check=lambda *_: right[0])
    assert asked(lane, 0.0) == ["found"]  # no landmarks yet
    assert [asked(lane, t) for t in (0.5, 1.0)] == [None, None]
    assert asked(lane, 1.5, expected=()) == ["found"]  # a face may be lost
    assert asked(lane, 2.5) is None  # counted from the last search
    right[0] = False
    assert asked(lane, 3.0) == ["found"]  # what is not confirmed is searched for at once
    right[0] = True
    lane.check_now()
    assert asked(lane, 3.1) == ["found"]
    assert asked(lane, 5.0) is None
    assert asked(lane, 5.5) == ["found"]  # the landmarks are old
    assert searched == [0.0, 1.5, 3.0, 3.1, 5.5]
    lane.close()


@pytest.mark.parametrize("live", [True, False])
def test_what_the_detector_raises_comes_out_once(live):
    answers = iter([ValueError("broken"), ["face"]])

    def detect(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def awaited(at):
        for _ in range(5000):
            if (answer := lane.answer(at)) is not None:
                return answer
            time.sleep(0.001)
        raise AssertionError("no answer")

    lane = lane_of(detect, live=live)
    lane.ask(frame(0.0), {"face": 0.0}, watching=True)
    with pytest.raises(ValueError, match="broken"):
        awaited(1.0)
    lane.ask(frame(1.0), {"face": 1.0}, watching=True)
    assert awaited(2.0).faces == ["face"]
    lane.close()


def test_close_twice_and_with_a_search_under_way():
    before = set(threading.enumerate())
    release = threading.Event()
    lane = lane_of(lambda _: release.wait(10), live=True)
    lane.ask(frame(0.0), {"face": 0.0}, watching=True)
    release.set()
    lane.close()
    lane.close()
    assert lane.answer(9.0) is None
    assert set(threading.enumerate()) <= before


def test_a_recording_without_a_face_waits_at_once():
    lane = lane_of(lambda _: ["face"], patience=0.04)
    lane.ask(frame(10.0), None, watching=False)
    assert lane.answer(10.0).faces == ["face"]
    lane.close()


def test_when_a_detection_is_due():
    lane = lane_of(lambda _: [])
    assert lane.due(0.0, watching=False)
    lane.ask(frame(0.0), None, watching=False)
    assert not lane.due(1.0, watching=False)  # one is under way
    lane.answer(0.0)
    assert [lane.due(t, watching=False) for t in (0.1, 0.2)] == [False, True]
    assert [lane.due(t, watching=True) for t in (0.2, 0.5)] == [False, True]
    lane.check_now()
    assert lane.due(0.01, watching=True)
    lane.ask(frame(0.01), None, watching=False)
    lane.answer(0.01)
    assert not lane.due(0.02, watching=True)  # the request has been met
    lane.close()
