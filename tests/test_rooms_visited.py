"""A frame goes through the rooms once, in the order of the data: it never climbs back up."""

from __future__ import annotations

import sys
from itertools import groupby
from types import FrameType
from typing import Any

from realtime_mer.pipeline import Pipeline
from realtime_mer.spotting.detector import MovementDetector

JOIN = ("pipeline", "watched")  # the modules that call the rooms one after the other
IN_ORDER = ["face", "motion", "spotting", "events"]
ROOMS = ("face", "motion", "spotting", "events", "recognize")


def room(frame: FrameType | None) -> str:
    """The room, or the module at the top of the package, that a function lies in; empty elsewhere."""
    name = frame.f_globals.get("__name__", "") if frame is not None else ""
    return name.split(".")[1] if name.startswith("realtime_mer.") else ""


def test_a_frame_visits_each_room_once(recording) -> None:
    """Only twice per second the face is looked at first: where a detection is asked for (does it need new landmarks?),
    and where its answer is taken over."""
    visited: list[str] = []
    asked: list[int] = []
    answered: list[int] = []

    def watch(frame: FrameType, what: str, _: Any) -> None:
        if what == "call" and room(frame) in ROOMS and room(frame.f_back) in JOIN:
            visited.append(room(frame))
            if frame.f_code.co_name == "update":  # of the tracks
                answered.append(index)
            if frame.f_code.co_name == "ask":  # of the lane
                asked.append(index)

    with Pipeline(recording.detect, MovementDetector) as pipeline:
        for index, frame in enumerate(recording.frames[:150]):
            visited.clear()
            sys.setprofile(watch)
            try:
                pipeline.push(frame)
            finally:
                sys.setprofile(None)
            order = [name for name, _ in groupby(visited)]
            if index not in (*asked, *answered):
                assert order == IN_ORDER, index
            else:
                assert order[-len(IN_ORDER) + 1 :] == IN_ORDER[1:], index
    assert asked == [0, 50, 100]
    assert answered == [0, 54, 104]
