"""The detection lane: never waits on a live source, answers at a fixed video time on a recording."""

import threading
import time

import numpy as np
import pytest

from realtime_mer.face.lane import DetectionLane
from realtime_mer.records import Frame

GRAY = np.zeros((4, 4), np.uint8)


def frame(at):
    return Frame(0, at, GRAY)


def test_a_live_lane_does_not_wait():
    release, began = threading.Event(), threading.Event()

    def slow(_):
        began.set()
        assert release.wait(10)
        return ["face"]

    lane = DetectionLane(slow, patience=0.0, live=True)
    lane.ask(frame(1.0))
    assert began.wait(10)
    start = time.perf_counter()
    assert lane.answer(1e9) is None
    assert time.perf_counter() - start < 1.0
    assert lane.busy
    release.set()
    while (answer := lane.answer(2.0)) is None:
        time.sleep(0.001)
    assert answer[0].time == 1.0
    assert answer[1] == ["face"]
    assert not lane.busy
    lane.close()


def test_a_recording_takes_the_answer_at_its_time():
    lane = DetectionLane(lambda _: ["face"], patience=0.04, live=False)
    lane.ask(frame(10.0))
    assert lane.answer(10.0) is None
    assert lane.answer(10.03) is None  # even though it has been there for long
    assert lane.answer(10.05)[1] == ["face"]
    assert lane.answer(10.06) is None
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

    lane = DetectionLane(detect, patience=0.0, live=live)
    lane.ask(frame(0.0))
    with pytest.raises(ValueError, match="broken"):
        awaited(1.0)
    lane.ask(frame(1.0))
    assert awaited(2.0)[1] == ["face"]
    lane.close()


def test_close_twice_and_with_a_search_under_way():
    before = set(threading.enumerate())
    release = threading.Event()
    lane = DetectionLane(lambda _: release.wait(10), patience=0.0, live=True)
    lane.ask(frame(0.0))
    release.set()
    lane.close()
    lane.close()
    assert not lane.busy
    assert set(threading.enumerate()) <= before
