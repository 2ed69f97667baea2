"""What every source promises, run over all kinds of them."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from source_media import SIZE, MjpegServer, number_in, picture, write_video
from test_sources_camera import FakeCamera

from realtime_mer.errors import SourceError
from realtime_mer.records import Frame
from realtime_mer.sources import ArraySource, Source, open_source
from realtime_mer.sources.camera import open_camera

Open = Callable[[], Source]
FRAMES = 40
SYSTEM_PYTHON = Path("/usr/bin/python3")


def rtsp_missing() -> str:
    """Why no RTSP server can be run here; empty when one can."""
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if not SYSTEM_PYTHON.exists() or subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True).returncode:
        return "needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi and gstreamer1.0-plugins-{base,good,bad,ugly}"
    return ""


@pytest.fixture(scope="module")
def stream_rtsp() -> Iterator[str]:
    if why := rtsp_missing():
        pytest.skip(why)
    script = Path(__file__).with_name("rtsp_server.py")
    command = [str(SYSTEM_PYTHON), str(script), "0", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield f"rtsp://127.0.0.1:{server.stdout.readline().strip()}/camera"
        server.kill()


@pytest.fixture(params=["file", "images", "array", "camera", "http", "rtsp"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    kind = request.param
    if kind == "file":
        video = write_video(tmp_path / "a.mp4", range(0, 10 * FRAMES, 10))
        yield lambda: open_source(video)
    elif kind == "images":
        for number in range(FRAMES):
            cv2.imwrite(str(tmp_path / f"img{number}.png"), picture(number))
        yield lambda: open_source(tmp_path, rate=200)
    elif kind == "array":
        yield lambda: ArraySource([picture(number) for number in range(FRAMES)], [n / 100 for n in range(FRAMES)])
    elif kind == "camera":
        yield lambda: open_camera(0, capture=FakeCamera)
    elif kind == "http":
        with MjpegServer() as server:
            yield lambda: open_source(server.uri)
    else:
        uri = request.getfixturevalue("stream_rtsp")
        yield lambda: open_source(uri)


def read(source: Source, count: int = FRAMES // 2) -> list[Frame]:
    return list(islice(source, count))


def test_frames_are_dated_numbered_and_of_one_size(opened: Open) -> None:
    with opened() as source:
        assert isinstance(source, Source)
        frames = read(source)
        assert [frame.index for frame in frames] == list(range(FRAMES // 2))
        assert all(a.time < b.time for a, b in pairwise(frames))
        assert {frame.size for frame in frames} == {source.info.size}
        assert all(frame.gray.dtype == np.uint8 and frame.gray.ndim == 2 for frame in frames)
        assert all(frame.image.shape == (*frame.gray.shape, 3) for frame in frames)
        stats = source.stats()
        assert stats.delivered == len(frames)
        assert stats.captured >= stats.delivered + stats.dropped + stats.skipped


def test_gray_and_color_show_the_same_picture(opened: Open) -> None:
    with opened() as source:
        frame = read(source, 3)[-1]
        gray, luma = frame.gray.astype(int), cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY).astype(int)
        # Video may keep luma in 16 to 235, so the pictures agree up to a straight line.
        assert np.corrcoef(gray.ravel(), luma.ravel())[0, 1] > 0.98


def test_a_source_is_read_once(opened: Open) -> None:
    with opened() as source:
        read(source, 2)
        with pytest.raises(SourceError, match="only once"):
            iter(source)


def test_a_closed_source_says_so(opened: Open) -> None:
    source = opened()
    source.close()
    source.close()
    with pytest.raises(SourceError, match="closed"):
        iter(source)


def test_close_ends_the_iteration_and_leaves_no_thread(opened: Open) -> None:
    before = set(threading.enumerate())
    source = opened()
    frames = iter(source)
    next(frames)
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 1
    assert list(frames) == []
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("source")]
    assert left == []


def test_keyframes_of_an_rtsp_stream_are_marked(stream_rtsp: str) -> None:
    with open_source(stream_rtsp) as source:
        frames = read(source, 60)
    marks = [frame.index for frame in frames if frame.keyframe]
    lost = sum(frame.lost for frame in frames)
    assert len(marks) >= 3
    assert all(abs(b - a - 15) <= lost for a, b in pairwise(marks))  # as rtsp_server.py codes them


def test_the_numbers_drawn_into_the_pictures_come_back() -> None:
    for number in (0, 1, 5, 199, 40_000):
        assert number_in(cv2.cvtColor(picture(number), cv2.COLOR_BGR2GRAY)) == number
    assert picture(3).shape == (SIZE[1], SIZE[0], 3)
