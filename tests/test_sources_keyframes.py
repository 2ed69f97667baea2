"""Frames that a codec codes again are marked, in files and in streams, and the mark is not lost on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.frame import PictureType
from source_media import MjpegServer, write_frames

from realtime_mer.bench.conditions import thinned
from realtime_mer.bench.paced import PacedSource
from realtime_mer.records import Frame, SourceInfo
from realtime_mer.sources import open_source, rtsp
from realtime_mer.sources.feed import AHEAD_FRAMES, Counts, Feed, RawFrame, RawFrames
from realtime_mer.sources.live import Stream
from realtime_mer.synth import MOVEMENTS, Pulse, inject, portrait

SIZE = (160, 120)
TEXTURE = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (240, 320), np.uint8), (0, 0), 3)


def drawn(count: int, cut: int | None = None, cuts_to: int = 255) -> Iterator[Frame]:
    """A texture that moves by 1 px per frame; from frame ``cut`` on, another one."""
    for index in range(count):
        x = index % 100
        gray = TEXTURE[40 : 40 + SIZE[1], x : x + SIZE[0]].copy()
        if cut is not None and index >= cut:
            gray = cuts_to - gray[::-1]
        yield Frame(index, index / 100, gray)


def marked(path: Path) -> list[int]:
    with open_source(path) as source:
        return [frame.index for frame in source if frame.keyframe]


def types(path: Path) -> list[tuple[str, bool]]:
    """Picture type of each frame, and whether libav says that decoding may start at it."""
    with av.open(str(path)) as container:
        return [(PictureType(frame.pict_type).name, bool(frame.key_frame)) for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_keyframes_of_a_file_are_marked_except_the_first_frame(tmp_path: Path, suffix: str, b_frames: str) -> None:
    path = write_frames(tmp_path / f"a{suffix}", drawn(50), g="20", sc_threshold="0", bf=b_frames)
    assert marked(path) == [20, 40]


@pytest.mark.parametrize(
    ("codec", "suffix", "options"),
    [("mpeg4", ".mp4", {"g": "20"}), ("libvpx", ".webm", {"g": "20"}),
     ("libvpx-vp9", ".webm", {"g": "20", "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0"})],
)  # fmt: skip
def test_keyframes_of_other_codecs_are_marked(tmp_path: Path, codec: str, suffix: str, options: dict[str, str]) -> None:
    found = marked(write_frames(tmp_path / f"a{suffix}", drawn(50), codec, **options))
    assert found == [20, 40]


@pytest.mark.parametrize(
    ("codec", "options"), [("mjpeg", {}), ("ffv1", {"g": "20"}), ("libx264", {"g": "1"}), ("rawvideo", {})]
)
def test_nothing_is_marked_where_no_frame_is_predicted(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    assert marked(write_frames(tmp_path / "a.mkv", drawn(50), codec, **options)) == []


def test_a_frame_coded_afresh_is_marked_though_decoding_may_not_start_at_it(tmp_path: Path) -> None:
    """x264 puts such an I frame at a cut that comes less than keyint_min frames after a keyframe."""
    path = write_frames(tmp_path / "a.mp4", drawn(60, cut=25), g="250", keyint_min="50", bf="0")
    assert types(path)[25] == ("I", False)
    assert marked(path) == [25]


def test_a_picture_refreshed_bit_by_bit_is_never_marked(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "a.mkv", drawn(60), **{"g": "20", "intra-refresh": "1", "bf": "0"})
    assert {kind for kind, _ in types(path)[1:]} == {"P"}
    assert marked(path) == []


def test_deinterlacing_keeps_the_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.mpg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"g": "10", "flags": "+ildct+ilme"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 8_000_000
        for frame in drawn(25):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, format="bgr24")))
        container.mux(stream.encode(None))
    with open_source(path) as source:
        assert [frame.index for frame in source if frame.keyframe] == [10, 20]
        assert any("deinterlaced" in note for note in source.stats().notes)


def test_frames_as_an_rtsp_stream_decodes_them_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in place of the server, which is not everywhere; with one: test_sources_contract.py."""
    path = write_frames(tmp_path / "a.ts", drawn(50), g="20", sc_threshold="0", bf="0")
    monkeypatch.setattr(rtsp, "_ask", lambda _: None)
    raw_frames = list(rtsp._raw_frames(Stream(str(path), 5.0, {})))
    assert [number for number, raw in enumerate(raw_frames) if raw.keyframe] == [20, 40]


def test_an_mjpeg_stream_marks_nothing() -> None:
    with MjpegServer() as server, open_source(server.uri) as source:
        assert not any(frame.keyframe for frame, _ in zip(source, range(30), strict=False))


def test_a_recording_played_as_a_camera_keeps_its_marks(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "a.mp4", drawn(50), g="20", sc_threshold="0", bf="0")
    with PacedSource(path, 100) as source:
        marks = [frame.time for frame, _ in zip(source, range(110), strict=False) if frame.keyframe]
    played = sorted(time for clip_time in (0.0, 0.2, 0.4) for time in source.captured(clip_time))
    assert marks[:4] == pytest.approx(played[1:5])  # at 0.2 s and 0.4 s, where it starts again, and at 0.2 s once more


def test_the_frame_after_a_keyframe_that_was_dropped_has_its_mark() -> None:
    """A live source drops frames for a slow reader; those that follow are predicted from the ones dropped."""
    gray = np.zeros((8, 8), np.uint8)
    reading, full, again = threading.Event(), threading.Event(), threading.Event()

    def raw_frames() -> RawFrames:
        reading.wait(10)
        for number in range(1, 60):
            yield RawFrame(number / 100, gray.copy(), None, keyframe=number == 50)
        full.set()
        again.wait(10)
        yield RawFrame(1.0, gray.copy(), None)
        yield RawFrame(1.01, gray.copy(), None)

    info = SourceInfo("made", "camera", True, (8, 8), 100, "monotonic")
    with Feed(info, RawFrame(0.0, gray, None), raw_frames(), Counts(), threading.Event(), buffer_s=0.2) as source:
        frames = iter(source)
        reading.set()
        assert full.wait(10)
        kept = [next(frames) for _ in range(AHEAD_FRAMES)]
        again.set()
        kept.extend(frames)
    assert source.stats().dropped > 0
    assert 0.5 not in [frame.time for frame in kept]
    assert [frame.time for frame in kept if frame.keyframe] == [1.0]


def test_thinning_forgets_no_keyframe() -> None:
    frames = [replace(frame, keyframe=frame.index == 33) for frame in drawn(90)]
    kept = list(thinned(frames, 25))
    assert [frame.time for frame in kept if frame.keyframe] == [min(f.time for f in kept if f.time >= 0.33)]


def test_an_injected_pulse_keeps_all_that_is_known_of_a_frame() -> None:
    image, points = portrait()
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    frame = Frame(7, 1.0, gray, image.copy, lost=2, hole=0.5, repeated=True, keyframe=True)
    track = [(time, points) for time in (0.9, 1.0, 1.1)]
    (drawn_frame,) = inject([frame], track, [Pulse(MOVEMENTS["smile"], 2.0, 0.9, 1.0, 1.2)])
    assert (drawn_frame.gray != gray).any()
    assert replace(drawn_frame, gray=gray, to_bgr=None).__repr__() == replace(frame, to_bgr=None).__repr__()
