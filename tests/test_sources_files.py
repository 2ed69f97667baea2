"""Recorded input: container timestamps, odd files, damaged files, image folders, arrays."""

from __future__ import annotations

import time
import wave
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from source_media import SIZE, number_in, picture, write_video

from realtime_mer.errors import SourceError
from realtime_mer.records import Frame
from realtime_mer.sources import ArraySource, Source, open_source


def read(source: Source) -> list[Frame]:
    with source:
        return list(source)


def milliseconds(frames: list[Frame]) -> list[int]:
    return [round(frame.time * 1000) for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".webm"])
def test_every_container_gives_all_frames_at_even_times(tmp_path: Path, suffix: str) -> None:
    codec = {".avi": "mpeg4", ".webm": "libvpx"}.get(suffix, "libx264")
    # In AVI a time is a count of intervals, so 100 frames/s is written as such.
    source = open_source(write_video(tmp_path / f"a{suffix}", range(0, 500, 10), codec=codec))
    frames = read(source)
    assert [number_in(frame.gray) for frame in frames] == list(range(50))
    steps = {b - a for a, b in pairwise(milliseconds(frames))}
    assert steps == {10}
    assert frames[0].time < 0.1
    assert source.stats().notes == ()


def test_variable_frame_rate_keeps_the_containers_times(tmp_path: Path) -> None:
    times = [0, 5, 10, 40, 41, 90, 200, 205, 300]
    frames = read(open_source(write_video(tmp_path / "a.mp4", times)))
    assert milliseconds(frames) == times
    assert [number_in(frame.gray) for frame in frames] == list(range(len(times)))


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_is_applied_to_gray_and_color(tmp_path: Path, rotation: int) -> None:
    if rotation and not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("writing a rotated file needs PyAV 18")
    source = open_source(write_video(tmp_path / "a.mp4", range(0, 50, 10), rotation=rotation))
    frame = read(source)[0]
    upright = np.rot90(picture(0), rotation // 90)  # counter-clockwise, as the display matrix says
    assert frame.size == source.info.size == (upright.shape[1], upright.shape[0])
    assert np.abs(frame.image.astype(int) - upright).mean() < 6
    blue = upright[:, :, 0].astype(int) - upright[:, :, 2] > 200
    assert frame.gray[blue].mean() < 60 < 100 < frame.gray[~blue].max()


@pytest.mark.parametrize(
    ("codec", "pixel_format", "size"),
    [
        ("libx264", "yuv444p", (127, 95)),
        ("ffv1", "yuv420p", (127, 95)),
        ("ffv1", "gray", (33, 17)),
        ("libx264", "yuv420p10le", (128, 96)),
        ("mjpeg", "yuvj420p", (129, 97)),
        ("ffv1", "bgr0", (101, 77)),
    ],
)
def test_odd_sizes_and_other_pixel_formats(
    tmp_path: Path, codec: str, pixel_format: str, size: tuple[int, int]
) -> None:
    path = write_video(tmp_path / "a.mkv", range(0, 50, 10), codec=codec, pixel_format=pixel_format, size=size)
    frames = read(open_source(path))
    assert [frame.size for frame in frames] == [size] * 5
    assert [number_in(frame.gray) for frame in frames] == list(range(5))
    assert frames[0].image.shape == (size[1], size[0], 3)


def test_audio_is_ignored(tmp_path: Path) -> None:
    frames = read(open_source(write_video(tmp_path / "a.mp4", range(0, 300, 10), audio=True)))
    assert milliseconds(frames) == list(range(0, 300, 10))


def test_a_slow_reader_loses_nothing(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "a.mp4", range(0, 1000, 10)))
    numbers = []
    with source:
        for frame in source:
            time.sleep(0.002)
            numbers.append(number_in(frame.gray))
    assert numbers == list(range(100))
    assert (source.stats().captured, source.stats().delivered, source.stats().dropped) == (100, 100, 0)


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_cut_file_gives_what_it_has_and_says_so(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    options = {"movflags": "faststart"} if kind == "mp4" else {}
    path = write_video(tmp_path / f"a.{kind}", range(0, 3000, 10), options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = open_source(path)
    frames = read(source)
    assert 20 < len(frames) < 280
    assert [number_in(frame.gray) for frame in frames] == list(range(len(frames)))
    assert any("cut off" in note for note in source.stats().notes)
    assert capfd.readouterr().err == ""


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", range(0, 500, 10), codec="png", pixel_format="rgb24")
    data = bytearray(path.read_bytes())
    second = data.index(b"\x89PNG", data.index(b"\x89PNG") + 1)
    data[second : second + 64] = bytes(64)
    path.write_bytes(data)
    source = open_source(path)
    frames = read(source)
    assert len(frames) == 49
    assert source.stats().skipped == 1
    assert sum(frame.lost for frame in frames) == 1
    assert any("damaged" in note for note in source.stats().notes)


def test_one_frame(tmp_path: Path) -> None:
    assert len(read(open_source(write_video(tmp_path / "a.mp4", [0])))) == 1


def test_a_name_that_looks_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "10:30 50%d é.mp4", [0, 10])
    monkeypatch.chdir(tmp_path)
    assert len(read(open_source("10:30 50%d é.mp4"))) == 2


def test_a_single_picture_is_a_recording_of_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), picture(7))
    assert [number_in(frame.gray) for frame in read(open_source(tmp_path / "a.jpg"))] == [7]


def test_raw_video_without_timestamps_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.h264"), "w") as container:
        stream = container.add_stream("libx264", rate=100)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="bgr24")))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="timestamps"):
        open_source(tmp_path / "a.h264")


@pytest.mark.parametrize("case", ["missing", "empty", "text", "no index", "sound only", "no images", "directory"])
def test_what_cannot_be_read_is_one_clear_line(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    path, says = tmp_path / "a.mp4", "not a readable video"
    if case == "missing":
        says = "no such file"
    elif case == "empty":
        path.touch()
        says = "is empty"
    elif case == "text":
        path.write_text("Dear diary, today I was a video.\n" * 100)
        says = "is text, not a video"
    elif case == "no index":  # an .mp4 keeps its index at the end
        write_video(path, range(0, 1000, 10))
        path.write_bytes(path.read_bytes()[:2000])
    elif case == "sound only":
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(8000))
        says = "is an audio file: it has no video track"
    else:
        path.mkdir()
        says = "has no images"
        if case == "directory":
            cv2.imwrite(str(path / "img1.png"), picture(1))
            says = "give their frame rate"
    with pytest.raises(SourceError, match=says) as caught:
        open_source(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert capfd.readouterr().err == ""


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    for number in (1, 2, 9, 10, 11, 100):
        cv2.imwrite(str(tmp_path / f"reg_img{number}.jpg"), picture(number))
    (tmp_path / "notes.txt").write_text("not an image")
    source = open_source(tmp_path, rate=200)
    frames = read(source)
    assert [number_in(frame.gray) for frame in frames] == [1, 2, 9, 10, 11, 100]
    assert (source.info.frames, source.info.rate, source.info.clock) == (6, 200, "given")


def test_an_unreadable_image_leaves_its_place_in_time_empty(tmp_path: Path) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    (tmp_path / "2.png").write_bytes(b"broken")
    source = open_source(tmp_path, times=[0, 0.1, 0.2, 0.3, 0.7])
    frames = read(source)
    assert milliseconds(frames) == [0, 100, 300, 700]
    assert [frame.lost for frame in frames] == [0, 0, 1, 0]
    assert source.stats().skipped == 1
    assert "2.png" in source.stats().notes[0]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rate": 0}, "positive"),
        ({"times": [0.0]}, "1 times"),
        ({"times": [0.0, 0.0]}, "strictly"),
        ({"fps": 9}, "camera"),
    ],
)
def test_image_folders_check_what_they_are_given(tmp_path: Path, settings: dict, says: str) -> None:
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    with pytest.raises(SourceError, match=says):
        open_source(tmp_path, **settings)


def test_images_of_another_size_begin_a_new_part(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), picture(1))
    cv2.imwrite(str(tmp_path / "2.png"), picture(2, (64, 48)))
    source = open_source(tmp_path, rate=20)
    frames = read(source)
    assert [(frame.size, frame.hole) for frame in frames] == [(SIZE, 0.0), ((64, 48), 0.05)]
    assert any("size changes" in note for note in source.stats().notes)


def test_times_are_refused_for_a_file_and_a_rate_for_what_is_live(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="its own times"):
        open_source(write_video(tmp_path / "a.mp4", [0, 10]), times=[0, 1])
    with pytest.raises(SourceError, match="is live"):
        open_source("rtsp://127.0.0.1/a", rate=30)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(SourceError, match="ftp:// is not supported"):
        open_source("ftp://host/a.mp4")


def test_arrays_may_be_generated() -> None:
    source = ArraySource((picture(number)[:, :, 0].copy() for number in range(9)), iter(range(9)))
    assert [number_in(frame.gray) for frame in source] == list(range(9))


@pytest.mark.parametrize(
    ("frames", "times", "says"),
    [
        ([], [], "no frames"),
        ([np.zeros((4, 4), np.float32)], [0], "uint8"),
        ([np.zeros((4, 4, 4), np.uint8)], [0], "uint8"),
        ([np.zeros((4, 4), np.uint8)] * 2, [0], "one time for each"),
        ([np.zeros((4, 4), np.uint8)], [0, 1], "one time for each"),
        ([np.zeros((4, 4), np.uint8)] * 2, [1, 1], "strictly"),
        ([np.zeros((4, 4), np.uint8)], [float("nan")], "strictly"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)], [0, 1], "another size"),
    ],
)
def test_unfit_arrays_are_refused(frames: list, times: list, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        list(ArraySource(frames, times))
