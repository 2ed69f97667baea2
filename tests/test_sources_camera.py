"""The camera's logic with a stand-in for cv2.VideoCapture: no device is needed, and none is tested."""

from __future__ import annotations

import threading
import time
from itertools import islice, pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from source_media import SIZE, picture

from realtime_mer.errors import SourceError
from realtime_mer.records import SourceInfo
from realtime_mer.sources import camera as camera_module
from realtime_mer.sources import open_source
from realtime_mer.sources.camera import open_camera
from realtime_mer.sources.feed import Counts, Feed, RawFrame, RawFrames


class FakeCamera:
    """A 100 frames/s camera that remembers what it was asked. late_s: how old its own times are; None: always 0."""

    late_s: float | None = 0.003
    opens = True
    last = 1 << 30  # frames until it is unplugged

    def __init__(self, device: int | str, api: int) -> None:
        self.device, self.api, self.asked, self.released = device, api, [], False
        self.number, self.due, self.told = 0, time.monotonic(), 0.0
        type(self).latest = self

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def set(self, prop: int, value: float) -> bool:
        self.asked.append((prop, value))
        return True

    def get(self, prop: int) -> float:
        if prop == cv2.CAP_PROP_POS_MSEC:
            return self.told * 1000
        return {cv2.CAP_PROP_FPS: 100.0, cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG")}.get(prop, 0.0)

    def grab(self) -> bool:
        if self.number >= self.last:
            return False
        self.due = max(self.due + 0.01, time.monotonic())
        time.sleep(self.due - time.monotonic() if self.due > time.monotonic() else 0)
        self.told = 0.0 if self.late_s is None else time.monotonic() - self.late_s
        self.number += 1
        return True

    def retrieve(self) -> tuple[bool, Any]:
        return True, picture(self.number)

    def release(self) -> None:
        self.released = True


def test_the_format_is_set_before_size_and_rate() -> None:
    with open_camera(0, width=320, fps=120, capture=FakeCamera) as source:
        asked = FakeCamera.latest.asked
        assert [prop for prop, _ in asked] == [
            cv2.CAP_PROP_FOURCC,
            cv2.CAP_PROP_FRAME_WIDTH,
            cv2.CAP_PROP_FRAME_HEIGHT,
            cv2.CAP_PROP_FPS,
        ]
        assert [value for _, value in asked[1:]] == [320, 480, 120]
        assert source.info.details["pixel_format"] == "MJPG"
        assert (source.info.size, source.info.rate, source.info.clock) == (SIZE, 100, "monotonic")
    assert FakeCamera.latest.released


@pytest.mark.parametrize(("late_s", "used"), [(0.003, "driver"), (None, "grab"), (-1.0, "grab"), (90.0, "grab")])
def test_the_drivers_time_is_used_only_when_sane(late_s: float | None, used: str) -> None:
    class Camera(FakeCamera):
        pass

    Camera.late_s = late_s
    with open_camera(0, capture=Camera) as source:
        assert source.info.details["timestamp"] == used
        frames = list(islice(source, 10))
    assert all(a.time < b.time for a, b in pairwise(frames))
    assert abs(frames[-1].time - time.monotonic()) < 1


def test_an_unplugged_camera_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera(FakeCamera):
        last = 20

    monkeypatch.setattr(camera_module, "SILENT_S", 0.1)
    with open_camera(0, capture=Camera) as source, pytest.raises(SourceError, match="stopped delivering"):
        for _ in source:
            pass
    assert Camera.latest.released


def test_a_camera_without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera(FakeCamera):
        last = 0

    monkeypatch.setattr(camera_module, "SILENT_S", 0.1)
    with pytest.raises(SourceError, match="delivers no frames"):
        open_camera(0, capture=Camera)
    assert Camera.latest.released


@pytest.mark.parametrize("device", [63, "63", "/dev/video63"])
def test_a_missing_camera_is_one_line_and_no_noise(device: int | str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="no camera") as caught:
        open_source(device)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("told", [float("nan"), float("inf"), 0.0, -1.0, 180_000.0])
def test_a_frame_rate_that_cannot_be_true_is_measured(told: float) -> None:
    class Camera(FakeCamera):
        def get(self, prop: int) -> float:
            return told if prop == cv2.CAP_PROP_FPS else super().get(prop)

    with open_camera(0, capture=Camera) as source:
        assert 20 < source.info.rate < 110
        (note,) = source.stats().notes
        assert f"reports {told:g} frames/s, which cannot be true" in note


def test_reads_that_fail_are_skipped_and_not_missed_as_well() -> None:
    gray, counts = np.zeros((8, 8), np.uint8), Counts()

    def raw_frames() -> RawFrames:
        for number in range(1, 400):
            time.sleep(0.0005)
            if 200 <= number < 300:
                counts.skip()
            else:
                yield RawFrame(number / 30, gray.copy(), None)

    info = SourceInfo("test", "camera", True, (8, 8), 30.0, "monotonic")
    with Feed(info, RawFrame(0.0, gray, None), raw_frames(), counts, threading.Event(), buffer_s=100) as source:
        lost = sum(frame.lost for frame in source)
        stats = source.stats()
    assert (stats.skipped, stats.missed, lost) == (100, 0, 100)
