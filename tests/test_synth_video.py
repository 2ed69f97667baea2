"""Video files: each frame keeps its time, the picture survives, errors are one line; the demo clip's script."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from realtime_mer.errors import ConfigError, OutputError
from realtime_mer.records import Frame, Kind
from realtime_mer.synth import Script, demo_script, portrait, render, write_video


def drawn(script: Script) -> list[Frame]:
    return list(render(script, *portrait()))


def read(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        found = [(float(f.pts * f.time_base), f.to_ndarray(format="gray")) for f in container.decode(video=0)]
    return [time for time, _ in found], [gray for _, gray in found]


@pytest.mark.parametrize(
    ("codec", "name", "tick"),
    # Matroska counts milliseconds
    [("h264", "a.mp4", 1 / 90_000), ("h264", "a.mkv", 1e-3), ("mjpeg", "a.mov", 1 / 90_000), ("ffv1", "a.mkv", 1e-3)],
)
@pytest.mark.parametrize("jitter", [0.0, 0.8])
def test_every_frame_keeps_its_own_time(tmp_path: Path, codec: str, name: str, tick: float, jitter: float) -> None:
    frames = drawn(Script(0.2, 119.88, jitter=jitter))
    assert write_video(frames, tmp_path / name, codec, quality=3) == len(frames)
    times, grays = read(tmp_path / name)
    assert len(times) == len(frames)
    np.testing.assert_allclose(times, [f.time for f in frames], atol=tick)
    for frame, gray in zip(frames, grays, strict=True):
        assert np.abs(gray.astype(int) - frame.gray).mean() < 3


def test_a_browser_camera_file_holds_every_frame_at_a_constant_rate(tmp_path: Path) -> None:
    frames = drawn(Script(0.2, 30))
    write_video(frames, tmp_path / "a.y4m", "y4m", rate=30)
    head = (tmp_path / "a.y4m").read_bytes()[:80]
    assert head.startswith(b"YUV4MPEG2 W640 H480 F30:1")
    times, _ = read(tmp_path / "a.y4m")
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-6)
    assert len(times) == len(frames)


def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    frames = drawn(Script(0.05, 60))
    (tmp_path / "file").write_text("")
    for path, codec, error in (
        (tmp_path / "a.mp4", "divx", ConfigError),
        (tmp_path / "file" / "a.mp4", "h264", OutputError),
        (tmp_path / "a.unknown", "h264", OutputError),
    ):
        with pytest.raises(error) as caught:
            write_video(frames, path, codec)
        assert "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="no frames"):
        write_video([], tmp_path / "a.mp4")


def test_the_demo_clip_shows_a_bit_of_everything() -> None:
    script = demo_script()
    truth = script.truth()
    assert Counter(event.kind for event in truth) == {Kind.MICRO: 6, Kind.MACRO: 2, Kind.BLINK: 4}
    assert truth[0].onset >= 2
    assert len({event.name for event in truth if event.kind is Kind.MICRO}) == 6
    assert all(a.offset < b.onset for a, b in pairwise(truth))
    assert truth[-1].offset < script.duration


def test_a_bare_mjpeg_file_is_a_row_of_pictures(tmp_path: Path) -> None:
    frames = drawn(Script(0.2, 30))
    write_video(frames, tmp_path / "a.mjpeg", "mjpeg", quality=3)
    assert (tmp_path / "a.mjpeg").read_bytes().count(b"\xff\xd8\xff") == len(frames)
