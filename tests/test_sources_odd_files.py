"""Recorded files that are not as they should be: the right frames, at the right times, and every loss told."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from odd_media import RATE, SIZE, encode, half, half_jpeg, joined, luma_error, textured
from source_media import number_in, picture, write_video

from realtime_mer.errors import SourceError
from realtime_mer.records import Frame
from realtime_mer.sources import Source, open_source, probe
from realtime_mer.sources.clock import BEHIND, FileClock
from realtime_mer.sources.decode import Picture
from realtime_mer.sources.feed import Counts
from realtime_mer.synth import write_video as write_clip


def read(source: Source) -> list[Frame]:
    with source:
        return list(source)


def numbers(frames: Sequence[Frame]) -> list[int]:
    return [number_in(frame.gray) for frame in frames]


def ticks(frames: Sequence[Frame]) -> list[int]:
    return [round(frame.time * RATE) for frame in frames]


def notes(source: Source) -> str:
    return "; ".join(source.stats().notes)


# --- times --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bframes", ["0", "1", "3"])
def test_b_frames_in_avi_come_in_order_at_their_times(tmp_path: Path, bframes: str) -> None:
    path = encode(tmp_path / "a.avi", map(textured, range(90)), options={"bf": bframes, "b-adapt": "0"})
    source = open_source(path)
    frames = read(source)
    assert numbers(frames) == ticks(frames) == list(range(90))
    assert (source.stats().captured, source.stats().skipped) == (90, 0)
    assert ("presentation order" in notes(source)) == (bframes != "0")


def test_a_b_frame_in_avi_that_cannot_be_decoded_shifts_no_other(tmp_path: Path) -> None:
    options = {"bf": "3", "b-adapt": "0", "x264-params": "keyint=30:scenecut=0"}
    path = encode(tmp_path / "a.avi", map(textured, range(90)), options=options, change=half(40))
    source = open_source(path)
    frames = read(source)
    assert numbers(frames)[:30] == ticks(frames)[:30] == list(range(30))
    assert numbers(frames)[-30:] == ticks(frames)[-30:] == list(range(60, 90))
    assert source.stats().skipped == 90 - len(frames)


def test_timestamps_that_start_again_go_on_after_a_hole(tmp_path: Path) -> None:
    parts = [
        encode(tmp_path / f"{number}.ts", (textured(n) for n in range(number, number + 100)), first=100)
        for number in (0, 100)
    ]
    source = open_source(joined(tmp_path / "both.ts", parts))
    frames = read(source)
    stats = source.stats()
    assert len(frames) + stats.skipped == stats.captured == 200
    # libav marks the last frame before the join as damaged, and one B-frame may have been predicted from it: which one
    # depends on how x264 ordered the last four
    assert stats.skipped == sum(stats.reasons.values()) <= 2
    assert all(b - a == pytest.approx(0.01, abs=0.002) or b - a < 0.04 for a, b in pairwise(f.time for f in frames))
    assert set(range(96)) | set(range(100, 200)) <= set(numbers(frames))
    (hole,) = (frame for frame in frames if frame.hole)
    assert number_in(hole.gray) == 100
    assert hole.hole >= 1 / RATE - 1e-6
    assert hole.time == pytest.approx(1.0, abs=0.021)
    assert f"first at {hole.time:.3f} s" in notes(source)


def test_one_timestamp_out_of_order_is_skipped_and_told() -> None:
    # not a file: containers refuse to write such times
    frame = av.VideoFrame(16, 16, "gray")

    def run(times: list[float]) -> tuple[list[float], list[float], dict[str, int]]:
        counts = Counts()
        timed = list(FileClock(counts, 0.0, 0.1).run(Picture(time, frame) for time in times))
        return [round(t.time, 6) for t in timed], [round(t.hole, 6) for t in timed], counts.reasons

    assert run([0.0, 0.1, 0.05, 0.2]) == ([0.0, 0.1, 0.2], [0.0] * 3, {BEHIND: 1})
    assert run([0.0, 5.0, 1.0, 5.1])[2] == {BEHIND: 1}
    assert run([3.0, 3.1, 0.0, 0.1, 0.2]) == ([3.0, 3.1, 3.2, 3.3, 3.4], [0, 0, 0.1, 0, 0], {})
    assert run([0.0] * 20) == ([0.0], [0.0], {BEHIND: 19})
    assert run([0.0, 0.1, 9.0]) == ([0.0, 0.1, 9.0], [0, 0, 8.9], {})
    assert run([]) == ([], [], {})


def test_a_rate_given_for_a_video_replaces_the_files_own(tmp_path: Path) -> None:
    path = encode(tmp_path / "slow.mp4", map(textured, range(50)), rate=25)
    source = open_source(path, rate=100)
    frames = read(source)
    assert numbers(frames) == ticks(frames) == list(range(50))
    assert (source.info.rate, source.info.clock, source.info.duration) == (100, "given", 0.5)
    assert source.info.details["container_rate"] == 25
    assert "100 frames/s as given" in source.info.details["rate"]
    assert "the file states 25" in notes(source)


def test_raw_video_without_timestamps_can_be_read_at_a_rate(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.h264", map(textured, range(50)), options={"bf": "0"})
    with pytest.raises(SourceError, match="--rate"):
        open_source(path)
    frames = read(open_source(path, rate=100))
    assert numbers(frames) == ticks(frames) == list(range(50))


@pytest.mark.parametrize("rate", [180_000, 90_000])
def test_a_rate_that_cannot_be_true_is_judged_by_the_times(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(textured(number), format="bgr24")
            frame.pts, frame.time_base = 20 * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    source = open_source(path)
    assert source.info.rate == pytest.approx(50)
    assert len(read(source)) == 60
    assert source.stats().notes == ()


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_half_a_jpeg_in_a_video_is_never_shown(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = encode(
        tmp_path / f"a{suffix}",
        map(textured, range(30)),
        codec="mjpeg",
        pixel_format="yuvj420p",
        change=half(10, jpeg=True),
    )
    source = open_source(path)
    frames = read(source)
    assert numbers(frames) == ticks(frames) == [n for n in range(30) if n != 10]
    assert [frame.lost for frame in frames].index(1) == 10
    assert source.stats().reasons == {"damaged": 1}
    assert "1 damaged" in notes(source)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mkv"), ("libx264", ".avi"), ("mpeg4", ".avi")])
@pytest.mark.parametrize("bframes", ["0", "2"])
def test_what_was_predicted_from_a_damaged_frame_is_not_shown(
    tmp_path: Path, codec: str, suffix: str, bframes: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if codec != "libx264" and bframes != "0":
        pytest.skip("has no B-frames here")
    options = {"bf": bframes, "x264-params": "scenecut=0"} if codec == "libx264" else {"b": "4000000"}
    pictures = [textured(number) for number in range(90)]
    whole = read(open_source(encode(tmp_path / f"whole{suffix}", pictures, codec=codec, options=options)))
    path = encode(tmp_path / f"a{suffix}", pictures, codec=codec, options=options, change=half(40))
    source = open_source(path)
    frames = read(source)
    sound = max(luma_error(frame.gray, number) for number, frame in enumerate(whole))
    assert max(luma_error(frame.gray, tick) for frame, tick in zip(frames, ticks(frames), strict=True)) <= sound + 0.5
    assert 60 <= len(frames) < 90
    stats = source.stats()
    assert stats.skipped == sum(stats.reasons.values()) == 90 - len(frames)
    assert 1 <= stats.reasons["damaged"] <= 2  # libav also refuses a frame whose reference is gone
    assert sum(frame.lost for frame in frames) == stats.skipped
    assert [round(frame.hole * RATE) - 1 for frame in frames if frame.hole] == [f.lost for f in frames if f.lost > 4]
    assert capfd.readouterr().err == ""


def test_frames_before_the_first_that_can_be_decoded_are_counted(tmp_path: Path) -> None:
    options = {"bf": "0", "x264-params": "scenecut=0"}
    path = encode(
        tmp_path / "a.mkv", map(textured, range(60)), options=options, change=lambda at, data: data if at else None
    )
    source = open_source(path)
    assert numbers(read(source)) == list(range(30, 60))
    assert source.stats().reasons == {"before the first frame that can be decoded": 29}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp", ".pgm"])
def test_half_an_image_is_never_shown(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        image = textured(number)
        cv2.imwrite(str(tmp_path / f"{number}{suffix}"), image[:, :, 1] if suffix == ".pgm" else image)
    if suffix == ".jpg":
        (tmp_path / "2.jpg").write_bytes(half_jpeg(2))
    else:
        whole = (tmp_path / f"2{suffix}").read_bytes()
        (tmp_path / f"2{suffix}").write_bytes(whole[: len(whole) // 2])
    source = open_source(tmp_path, rate=RATE)
    frames = read(source)
    assert numbers(frames) == ticks(frames) == [0, 1, 3, 4]
    assert source.stats().reasons == {"damaged or unreadable": 1}
    assert capfd.readouterr().err == ""


# --- repeated frames ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mp4", "avi", "images"])
def test_repeated_frames_are_known_whatever_compression_made_of_them(tmp_path: Path, kind: str) -> None:
    pictures = [textured(number * 8 // 60) for number in range(120)]
    if kind == "images":
        for number, image in enumerate(pictures):
            cv2.imwrite(str(tmp_path / f"{number:03}.jpg"), image)
        path = tmp_path
    else:
        codec = {"avi": "mjpeg", "mp4": "libx264"}[kind]
        pixels = {"avi": "yuvj420p", "mp4": "yuv420p"}[kind]
        even = {"qmin": "3", "qmax": "3"} if kind == "avi" else {}  # a camera's quality does not change
        path = encode(
            tmp_path / f"a.{kind}", pictures, rate=60, codec=codec, pixel_format=pixels, gop=250, options=even
        )
    rate = 60.0 if kind == "images" else None
    source = open_source(path, rate=rate)
    frames = read(source)
    new = {frame.index for frame in frames if not frame.repeated}
    assert {n for n in range(120) if n == 0 or n * 8 // 60 != (n - 1) * 8 // 60} <= new
    # the first copy of a key frame and a key frame in the middle of copies are new pictures by what compression did
    assert len(new) <= 16 + 6
    assert source.stats().repeated == 120 - len(new)
    report = probe(open_source(path, rate=rate))
    assert report.delivery.new_fps == pytest.approx(8, abs=3)
    assert report.delivery.achieved_fps == pytest.approx(60)
    assert any("cannot resolve" in warning for warning in report.warnings)
    assert "repeated" in report.text()


def test_a_face_at_rest_is_not_repeated(recording, tmp_path: Path) -> None:
    write_clip(recording.frames, tmp_path / "a.mp4")
    source = open_source(tmp_path / "a.mp4")
    assert len(read(source)) == 800
    assert source.stats().repeated < 0.05 * 800


# --- pictures -----------------------------------------------------------------------------------------------------


MATRICES = {  # a, b, c, d of x' = a x + c y, y' = b x + d y -> what must be seen
    (1, 0, 0, 1): lambda image: image,
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (-1, 0, 0, -1): lambda image: image[::-1, ::-1],
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (0, -1, 1, 0): lambda image: np.rot90(image, 1),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_pictures_are_turned_and_mirrored_as_the_display_matrix_says(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    if not hasattr(av.VideoStream, "set_display_matrix"):
        pytest.skip("writing a display matrix needs PyAV 18")
    a, b, c, d = matrix
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        one = 1 << 16
        stream.set_display_matrix([a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30])
        for number in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number, SIZE), format="bgr24")))
        container.mux(stream.encode(None))
    source = open_source(path)
    frame = read(source)[0]
    upright = MATRICES[matrix](picture(0, SIZE))
    assert frame.size == source.info.size == (upright.shape[1], upright.shape[0])
    assert np.abs(frame.image.astype(int) - upright).mean() < 6
    blue = upright[:, :, 0].astype(int) - upright[:, :, 2] > 200
    assert frame.gray[blue].mean() < 60 < 100 < frame.gray[~blue].max()


def combed(gray: np.ndarray) -> float:
    """How much every second row differs from its neighbors, gray levels."""
    rows = gray.astype(float)
    return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())


def moving(moment: float) -> np.ndarray:
    image = np.full((240, 320, 3), 60, np.uint8)
    left = 20 + round(4 * moment)
    image[40:160, left : left + 80] = 200
    return image


def test_interlaced_video_is_deinterlaced(tmp_path: Path) -> None:
    path = tmp_path / "a.mpg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 8_000_000
        flags = av.codec.context.Flags
        stream.codec_context.flags |= flags.interlaced_dct | flags.interlaced_me
        for number in range(25):
            image = moving(2 * number)
            image[1::2] = moving(2 * number + 1)[1::2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    source = open_source(path)
    frames = read(source)
    assert len(frames) == 25
    assert [round(frame.time * 25) for frame in frames] == list(range(25))
    assert np.mean([combed(frame.gray) for frame in frames[1:-1]]) < combed(moving(0)[:, :, 0]) * 2
    assert "deinterlaced" in notes(source)


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(16, 15), (341, 240)), (Fraction(1, 2), (320, 480))])
def test_pixels_are_made_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    source = open_source(encode(tmp_path / "a.mp4", [picture(n, SIZE) for n in range(5)], aspect=aspect))
    frame = read(source)[0]
    assert frame.size == source.info.size == size
    assert frame.image.shape == (size[1], size[0], 3)
    assert "not square" in notes(source)


def test_a_size_that_changes_in_the_middle_starts_a_new_part(tmp_path: Path) -> None:
    small, path = (160, 120), tmp_path / "a.webm"
    parts = [
        encode(tmp_path / f"{i}.webm", (textured(n, size) for n in range(30)), codec="libvpx", first=30 * i)
        for i, size in enumerate((SIZE, small))
    ]
    with av.open(str(path), "w") as container, av.open(str(parts[0])) as large, av.open(str(parts[1])) as little:
        stream = container.add_stream_from_template(large.streams.video[0])
        for part in (large, little):
            for packet in part.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    container.mux(packet)
    source = open_source(path)
    frames = read(source)
    assert [frame.size for frame in frames] == [SIZE] * 30 + [small] * 30
    assert [frame.index for frame in frames if frame.hole] == [30]
    assert source.info.size == SIZE
    assert all(frame.image.shape[:2] == frame.gray.shape for frame in frames)
    assert "320x240 to 160x120" in notes(source)


# --- what a file is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("start", [0, 700])
def test_longer_audio_or_a_late_start_is_no_cut(tmp_path: Path, suffix: str, start: int) -> None:
    source = open_source(write_video(tmp_path / f"a{suffix}", range(start, start + 300, 10), audio=True))
    assert len(read(source)) == 30
    assert source.stats().notes == ()


def test_a_late_start_alone_is_no_cut(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".ts"):
        source = open_source(write_video(tmp_path / f"a{suffix}", range(5000, 6000, 10)))
        assert len(read(source)) == 100
        assert source.stats().notes == ()


@pytest.mark.parametrize("kind", ["cover", "text", "subtitles", "csv"])
def test_what_is_no_video_says_what_it_is(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    if kind == "cover":
        path, says = tmp_path / "song.mp4", "is an audio file with a cover picture"
        with av.open(str(path), "w") as container:
            sound = container.add_stream("aac", rate=44100)
            cover = container.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = *SIZE, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            noise = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
            noise.sample_rate, noise.pts = 44100, 0
            image = av.VideoFrame.from_ndarray(picture(0, SIZE), format="bgr24")
            container.mux([*cover.encode(image), *cover.encode(None), *sound.encode(noise), *sound.encode(None)])
    else:
        path, says = tmp_path / {"text": "a.txt", "subtitles": "a.srt", "csv": "a.csv"}[kind], "is text, not a video"
        path.write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n" * 20)
    with pytest.raises(SourceError, match=says) as caught:
        open_source(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


# --- folders of images --------------------------------------------------------------------------------------------


def write_images(folder: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / "x.png"), picture(number))
        shutil.move(folder / "x.png", folder / name)


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    write_images(tmp_path, ["1.png", "2.png"])
    (tmp_path / "._1.png").write_bytes(b"\0\5\26\7" * 20)
    (tmp_path / ".3.png").write_bytes(b"")
    source = open_source(tmp_path, rate=RATE)
    assert numbers(read(source)) == [0, 1]
    assert source.stats().skipped == 0


@pytest.mark.parametrize(
    ("names", "at", "lost"),
    [
        (["1", "2", "5", "6", "7"], [0, 1, 4, 5, 6], [0, 0, 2, 0, 0]),
        (["img10", "img20", "img30", "img60"], [0, 1, 2, 5], [0, 0, 0, 2]),
        (["a7", "b1", "c9"], [0, 1, 2], [0, 0, 0]),
        (["1", "4", "9", "16"], [0, 1, 2, 3], [0, 0, 0, 0]),
        (["a²", "a1", "a2"], [0, 1, 2], [0, 0, 0]),
    ],
)
def test_missing_numbers_leave_their_place_in_time_empty(
    tmp_path: Path, names: list[str], at: list[int], lost: list[int]
) -> None:
    write_images(tmp_path, [f"{name}.png" for name in names])
    source = open_source(tmp_path, rate=RATE)
    frames = read(source)
    assert ticks(frames) == at
    assert [frame.lost for frame in frames] == lost
    assert source.stats().missed == sum(lost)
    assert ("numbers are missing" in notes(source)) == (sum(lost) > 0)
