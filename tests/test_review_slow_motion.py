"""Slow motion: the frames of a stretch at their own times, and the movement as many times as large as asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from app_server import APEXES, draw_clip

from realtime_mer.errors import SourceError
from realtime_mer.face import FaceDetector
from realtime_mer.face.align import apply, similarity, warp
from realtime_mer.face.regions import NAMES, REGIONS
from realtime_mer.motion.flow import skin_flow
from realtime_mer.records import Frame
from realtime_mer.review.slow_motion import slow_motion
from realtime_mer.sources import open_source
from realtime_mer.sources.window import read_window
from realtime_mer.synth import write_video

SMIRK = APEXES[1]
ONSET = 5.0
LIP = NAMES.index("left lip corner")
BROW = NAMES.index("right inner brow")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_clip(tmp_path_factory.mktemp("clip"))[1]


def at(frames: list[Frame], time: float) -> Frame:
    return min(frames, key=lambda frame: abs(frame.time - time))


def moved(still: Frame, later: Frame) -> np.ndarray:
    """How far each region's place moved from one frame to the other, px of the aligned face."""
    with FaceDetector(max_faces=1) as detector:
        points = detector.detect(still)[0].points
    transform = similarity(points)
    flow = skin_flow(warp(still.gray, transform), warp(later.gray, transform))
    places = apply(transform, np.array([points[list(region.points)].mean(axis=0) for region in REGIONS]))
    x, y = np.round(places).astype(int).clip(0, flow.shape[0] - 1).T
    return np.hypot(*flow[y, x].T)


@pytest.mark.parametrize("factor", [2.0, 4.0])
def test_the_movement_is_as_many_times_as_large_as_asked(clip: Path, tmp_path: Path, factor: float) -> None:
    out = tmp_path / "out.mp4"
    times = {"start": 4.6, "end": 5.8, "still": ONSET}
    slow_motion(clip, out, **times, slow=8, magnify=factor, regions=("left lip corner",))
    with open_source(clip) as source:
        before = list(source)
    with open_source(out) as source:
        after = list(source)
    plain = moved(at(before, ONSET), at(before, SMIRK))
    magnified = moved(at(after, 8 * (ONSET - 4.6)), at(after, 8 * (SMIRK - 4.6)))
    assert magnified[LIP] / plain[LIP] == pytest.approx(factor, rel=0.3)
    assert magnified[BROW] < 0.4  # what was not said to move stays where it is


def test_frames_keep_their_times_and_the_video_begins_at_the_start(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    slow_motion(clip, out, 4.61, 5.81, slow=8)  # between two frames
    with open_source(clip) as source:
        expected = [8 * (frame.time - 4.61) for frame in source if 4.61 <= frame.time <= 5.81]
    with open_source(out) as source:
        times = [frame.time for frame in source]
    assert times[0] == 0.0
    assert times[1:-1] == pytest.approx(expected, abs=0.002)
    assert not list(tmp_path.glob("part-*"))


def test_what_cannot_be_shown_is_told(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no frames from"):
        slow_motion(clip, tmp_path / "out.mp4", 100.0, 101.0)
    gray = [Frame(i, i / 30, np.full((240, 320), 90, np.uint8)) for i in range(30)]
    write_video(gray, tmp_path / "gray.mp4")
    with pytest.raises(SourceError, match="no face was found"):
        slow_motion(tmp_path / "gray.mp4", tmp_path / "out.mp4", 0.1, 0.9, magnify=3)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mjpeg"), ("ts", "libx264")]
)
def test_a_window_has_the_frames_and_times_of_the_whole(tmp_path: Path, suffix: str, codec: str) -> None:
    import av

    path = tmp_path / f"clip.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=50)
        stream.width, stream.height = 160, 120
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec != "mjpeg":
            stream.options = {"g": "20", "bf": "2"}
        for number in range(100):
            picture = np.full((120, 160, 3), 2 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    with open_source(path) as source:
        whole = {round(frame.time, 4): int(frame.gray.mean()) for frame in source}
    window = {round(frame.time, 4): int(frame.gray.mean()) for frame in read_window(path, 0.7, 1.3)}
    assert window == {time: gray for time, gray in whole.items() if 0.7 <= time <= 1.3}
    assert len(window) >= 29


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_text("no video")
    with pytest.raises(SourceError, match=r"x\.mp4"):
        list(read_window(tmp_path / "x.mp4", 0, 1))
