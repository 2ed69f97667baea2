"""Industrial cameras without hardware: Aravis' GigE Vision camera on the loopback (real time stamps and frame numbers),
Basler's emulation (frames of our own, losses on demand), and made-up buffers for what neither of them does."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from target_peers import needed

from realtime_mer.cli import main
from realtime_mer.errors import SourceError
from realtime_mer.sources import Source, open_source, probe
from realtime_mer.sources.device_clock import DeviceClock, FrameNumbers
from realtime_mer.sources.genicam import AravisCamera
from realtime_mer.sources.industrial import CameraRequest, Chosen, Grab, open_industrial


def read(source: Source, frames: int) -> list[Any]:
    found = []
    for frame in source:
        found.append(frame)
        if len(found) == frames:
            break
    return found


# --- GigE Vision over the loopback -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gige() -> Iterator[str]:
    """The serial number of a camera that answers on the loopback."""
    serial = f"RT{os.getpid()}"
    command = [needed("arv-fake-gv-camera-0.8"), "-i", "127.0.0.1", "-s", serial]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(0.5)
        yield serial
        process.kill()


def test_times_are_those_of_the_camera_on_our_clock(gige: str) -> None:
    """This camera stamps with the wall clock of the same machine, so the truth is known."""
    camera = AravisCamera(gige, CameraRequest(320, 240, 100.0, 2.0))
    stamps: list[float] = []
    grab = camera.grab

    def noted(seconds: float) -> Grab | None:
        if (found := grab(seconds)) is not None and found.picture is not None and found.stamp is not None:
            stamps.append(found.stamp)
        return found

    camera.grab = noted  # type: ignore[method-assign]
    with open_industrial(f"genicam:{gige}", camera, buffer_s=10.0) as source:
        wall = time.time() - time.monotonic()
        info = source.info
        assert (info.kind, info.clock, info.size, info.live) == ("camera", "device", (320, 240), True)
        assert info.rate == pytest.approx(100)
        assert info.details["exposure_ms"] == pytest.approx(2)
        assert [info.details[key] for key in ("losses", "model", "serial")] == ["frame numbers", "Fake", gige]
        frames = read(source, 200)
        stats = source.stats()
    assert frames[0].gray.shape == (240, 320)
    times = np.array([frame.time for frame in frames])
    assert np.median(np.diff(times)) == pytest.approx(0.01, abs=5e-4)
    traveled = np.array([at + wall - min(stamps, key=lambda s: abs(s - at - wall + 0.004)) for at in times])
    assert np.ptp(traveled) < 0.001  # the intervals are the camera's own, whatever this machine does beside
    assert 0 <= np.median(traveled) < 0.012
    assert stats.missed == sum(frame.lost for frame in frames)
    assert not any("beat" in note for note in stats.notes)


def test_bayer_pictures_have_a_luma_and_colors(gige: str) -> None:
    with open_source(f"genicam:{gige}?format=BayerRG8", width=320, height=240, fps=50) as source:
        frame = read(source, 1)[0]
        assert source.info.details["pixel_format"] == "BayerRG8"
    assert frame.image.shape == (240, 320, 3)
    assert frame.gray.shape == (240, 320)


def test_a_certificate_of_a_camera_counts_by_its_numbers(gige: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", f"genicam:{gige}", "--for", "1", "--width", "320", "--height", "240", "--fps", "100"]) == 0
    said = capsys.readouterr().out
    assert "device clock, the camera's own timestamps" in said
    assert "100" in said


def test_a_camera_that_is_not_there_is_told_with_those_that_are(gige: str) -> None:
    with pytest.raises(SourceError, match=f"no GenICam camera XYZ: cameras here: Aravis-Fake-{gige}"):
        open_source("genicam:XYZ")
    with pytest.raises(SourceError, match="is not an industrial camera"):
        open_source("0", exposure=3)
    with pytest.raises(SourceError, match=r"takes \?format= with Mono8"):
        open_source(f"genicam:{gige}?format=YUV")


# --- Basler's emulation ------------------------------------------------------------------------------------------


@pytest.fixture
def basler(monkeypatch: pytest.MonkeyPatch) -> Any:
    """pylon's emulated camera; the class that opens it."""
    monkeypatch.setenv("PYLON_CAMEMU", "1")
    from realtime_mer.sources.basler import BaslerCamera

    return BaslerCamera


@pytest.mark.usefixtures("basler")
def test_a_basler_camera_delivers_at_its_rate() -> None:
    with open_source("basler:", width=640, height=480, fps=50, exposure=1) as source:
        info = source.info
        assert (info.size, info.clock, info.uri) == ((640, 480), "monotonic", "basler:0815-0000")
        assert info.details["timestamp"] == "arrival"  # the emulation has no clock
        report = probe(source, 2.0)
    assert report.delivery.achieved_fps == pytest.approx(50, rel=0.1)
    assert report.delivery.missed is not None


def test_forced_losses_are_counted_exactly(basler: Any) -> None:
    """Buffers that come incomplete, as over a bad cable."""
    camera = basler("0815-0000", _wishes(fps=100.0))
    with open_industrial("basler:0815-0000", camera, buffer_s=1.0) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            if len(frames) in (20, 60):
                camera._camera.ForceFailedBufferCount.Value = 5
                camera._camera.ForceFailedBuffer.Execute()
            if len(frames) == 100:
                break
        stats = source.stats()
    assert stats.skipped == 10
    assert stats.reasons == {"incomplete: parts were lost in transfer": 10}
    assert sum(frame.lost for frame in frames) == 10 + stats.missed
    assert {frame.lost for frame in frames} >= {0, 5}
    assert max(frame.hole for frame in frames) > 0.04  # five intervals at 100 frames/s: nothing is measured across them


def test_pictures_of_a_basler_camera_are_those_that_it_was_given(basler: Any, tmp_path: Path) -> None:
    picture = np.tile(np.linspace(20, 220, 640, dtype=np.uint8), (480, 1))
    cv2.imwrite(str(tmp_path / "1.png"), picture)
    camera = basler("", _wishes(fps=50.0))
    camera._camera.StopGrabbing()
    camera._camera.ImageFilename.Value = str(tmp_path)
    camera._camera.ImageFileMode.Value = "On"
    camera._camera.TestImageSelector.Value = "Off"
    camera._camera.StartGrabbing(camera._pylon.GrabStrategy_OneByOne)
    with open_industrial("basler:", camera, buffer_s=1.0) as source:
        frame = read(source, 3)[-1]
    assert np.abs(frame.gray.astype(int) - picture).max() <= 1


@pytest.mark.usefixtures("basler")
def test_a_basler_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="no Basler camera 4711: cameras here: 0815-0000"):
        open_source("basler:4711")


def test_without_pypylon_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypylon", None)
    with pytest.raises(SourceError, match=r"pip install 'realtime-mer\[industrial\]'"):
        open_source("basler:")


def _wishes(**request: Any) -> Any:
    return CameraRequest(width=640, height=480, exposure=1.0, **request)


# --- made-up buffers ---------------------------------------------------------------------------------------------


class Scripted:
    """A camera that delivers these buffers at its rate, then nothing."""

    chosen = Chosen((8, 8), 500.0, 1.0, "Mono8", {"model": "made up"})

    def __init__(self, grabs: list[Grab]) -> None:
        self.grabs, self.closed = grabs, threading.Event()

    def grab(self, seconds: float) -> Grab | None:
        if not self.grabs:
            time.sleep(min(seconds, 0.05))
            return None
        time.sleep(1 / self.chosen.rate)
        return self.grabs.pop(0)

    def close(self) -> None:
        self.closed.set()


def grabs(numbers: list[int], *, stamps: bool = False) -> list[Grab]:
    pictures = (np.full((8, 8), i % 250, np.uint8) for i in range(len(numbers)))
    return [
        Grab(n, 5.0 + i / 500 if stamps else None, p) for i, (n, p) in enumerate(zip(numbers, pictures, strict=True))
    ]


def scripted(numbers: list[int], monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[int]]:
    """missed, and the frames' own losses, of a camera with these numbers, the first of which open it."""
    monkeypatch.setattr("realtime_mer.sources.industrial.SILENT_S", 0.3)
    camera, lost = Scripted(grabs(numbers)), list[int]()
    with open_industrial("made:up", camera, buffer_s=10.0) as source, pytest.raises(SourceError, match="stopped"):
        lost.extend(frame.lost for frame in source)
    missed = source.stats().missed
    assert camera.closed.wait(2)
    assert missed is not None
    return missed, lost


def test_losses_are_counted_by_the_numbers_also_where_these_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [*range(65400, 65536), *range(1, 60)]
    del numbers[120:123]  # three before the end of the numbers
    del numbers[-10]
    missed, lost = scripted(numbers, monkeypatch)
    assert missed == 4
    assert sorted(set(lost)) == [0, 1, 3]
    assert scripted([*range(65400, 65536), *range(60)], monkeypatch)[0] == 0


def test_numbers_that_begin_anew_are_a_hole_and_no_loss_of_thousands() -> None:
    camera = Scripted(grabs([*range(5000, 5040), *range(1, 30)]))
    with open_industrial("made:up", camera, buffer_s=10.0) as source:
        frames = read(source, 50)
        assert source.stats().missed == 0
        assert any("restarted its frame numbers" in note for note in source.stats().notes)
    assert sum(frame.hole > 0 for frame in frames) == 1


def test_a_camera_that_falls_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_mer.sources.industrial.SILENT_S", 0.3)
    camera = Scripted(grabs(list(range(1, 40)), stamps=True))
    with open_industrial("made:up", camera, buffer_s=10.0) as source:
        assert source.info.clock == "device"
        with pytest.raises(SourceError, match="stopped delivering frames"):
            read(source, 1000)
    assert camera.closed.is_set()
    with pytest.raises(SourceError, match="delivers no frames"):
        open_industrial("made:up", Scripted([]), buffer_s=1.0)


def test_the_number_of_frames_that_can_have_been_lost_is_bounded() -> None:
    numbers = FrameNumbers()
    assert numbers.lost(10, 5) == 0
    assert numbers.lost(14, 5) == 3
    assert numbers.lost(14 + 1 + 6, 5) is None
    assert numbers.lost(3, 5) is None
    assert numbers.lost(4, 5) == 0


@pytest.mark.parametrize("drift", [-5e-5, 0.0, 5e-5])
def test_the_clock_of_a_camera_is_followed(drift: float) -> None:
    """Ten minutes at 100 frames/s of a camera whose quartz is off; frames travel 4 ms, and now and then longer."""
    random.seed(8)
    clock, start, errors, times = DeviceClock(), 1000.0, [], []

    def frame(index: int) -> tuple[float, float, float]:
        taken = start + index / 100
        arrived = taken + 0.004 + (random.random() < 0.7) * random.expovariate(1 / 0.003)
        return taken, (taken - 900) * (1 + drift), arrived

    clock.settle([frame(i)[1:] for i in range(10)])
    for index in range(10, 60000):
        taken, stamp, arrived = frame(index)
        at, again = clock.local(stamp, arrived)
        assert not again
        times.append(at)
        errors.append(at - taken - 0.004)
    assert np.abs(errors[2000:]).max() < 0.0012
    steps = np.diff(times)
    assert np.abs(steps - 0.01).max() < 1e-5


def test_a_clock_that_was_set_anew_is_matched_again() -> None:
    clock = DeviceClock()
    clock.settle([(5.0, 100.0), (5.01, 100.01)])
    assert clock.local(5.02, 100.02) == (pytest.approx(100.02), False)
    assert clock.local(0.5, 100.03) == (pytest.approx(100.03), True)
    assert clock.local(0.51, 100.04) == (pytest.approx(100.04), False)
    assert clock.local(900.0, 100.05) == (pytest.approx(100.05), True)
