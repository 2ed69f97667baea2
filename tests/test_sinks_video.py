"""Annotated video and clips: the source's times are kept, and a killed process leaves a file that plays."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from made_observations import activity, event, face, frame, play, recording

from realtime_mer.errors import OutputError
from realtime_mer.records import End, FaceSignal, Frame, Image, Kind, Observation
from realtime_mer.sinks.clips import EventClips, FrameRing, Stills
from realtime_mer.sinks.video import TICKS, AnnotatedVideo, VideoFile
from realtime_mer.sources import open_source


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(picture.pts * picture.time_base) for picture in container.decode(video=0)]


def write_all(file: VideoFile, pictures: Iterable[Image]) -> None:
    for index, picture in enumerate(pictures):
        file.write(picture, index / 30)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_times_are_kept(tmp_path: Path, suffix: str) -> None:
    times = 1000.0 + np.cumsum(np.r_[0.0, np.random.default_rng(0).choice([0.004, 0.005, 0.033, 0.4], 40)])
    path = tmp_path / f"x{suffix}"
    with AnnotatedVideo(path, 200.0) as sink:
        for index, time in enumerate(times):
            observation = Observation(index, float(time), (FaceSignal(face(), activity(3.0)),), (), 200.0)
            sink.write(observation, frame(index, float(time), (97, 75)))
    # Matroska's clock has whole milliseconds
    assert times_of(path) == pytest.approx(list(times - times[0]), abs=1e-3 if suffix == ".mkv" else 1.1 / TICKS)


def test_a_frame_can_be_drawn_while_it_is_looked_at(tmp_path: Path) -> None:
    """The detector's thread and the sinks convert one frame at once: with PyAV's shared converter the process died."""
    file = VideoFile(tmp_path / "x.mp4", 100.0)
    write_all(file, np.random.default_rng(0).integers(0, 255, (60, 240, 320, 3), np.uint8))
    file.close()
    with open_source(str(tmp_path / "x.mp4")) as source, ThreadPoolExecutor(2) as threads:
        for one in source:
            first, second = threads.map(lambda f: f.image, (one, one))
            assert np.array_equal(first, second)


def test_pictures_of_other_sizes_and_falling_times(tmp_path: Path) -> None:
    file = VideoFile(tmp_path / "x.mp4", 0.0)
    for time, shape in ((0.0, (61, 81)), (0.1, (120, 40)), (0.1, (300, 300)), (0.05, (20, 20)), (0.2, (61, 81))):
        file.write(np.full((*shape, 3), 128, np.uint8), time)
    file.close()
    file.close()
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (82, 62)
    times = times_of(tmp_path / "x.mp4")
    assert len(times) == 5
    assert times == sorted(set(times))


def test_frames_can_be_thinned_and_the_end_is_no_picture(tmp_path: Path) -> None:
    play(AnnotatedVideo(tmp_path / "x.mp4", 100.0, max_rate=25.0), frames=100, last=(event(3, 0.5),))
    assert times_of(tmp_path / "x.mp4") == pytest.approx(np.arange(25) / 25, abs=1e-4)


def test_unwritable_videos_are_known_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        AnnotatedVideo(tmp_path / "none" / "x.mp4", 30.0)
    with pytest.raises(OutputError, match=r"must end in \.mp4 or \.mkv"):
        AnnotatedVideo(tmp_path / "x.avi", 30.0)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="folder"):
        EventClips(tmp_path / "file", 30.0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "x.mkv").symlink_to("/dev/full")
    file = VideoFile(tmp_path / "x.mkv", 30.0)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (300, 120, 160, 3), np.uint8)
    with pytest.raises(OutputError, match="stopped"):
        write_all(file, pictures)
    with pytest.raises(OutputError, match="stopped"):
        file.write(pictures[0], 99.0)
    file.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_killed_process_leaves_a_video_that_plays(tmp_path: Path, suffix: str) -> None:
    script = """
        import sys
        from pathlib import Path
        import numpy as np
        from realtime_mer.sinks.video import VideoFile
        file = VideoFile(Path(sys.argv[1]), 30.0)
        rng = np.random.default_rng(0)
        for index in range(400):
            file.write(rng.integers(0, 255, (48, 64, 3), np.uint8), index / 30)
        print("ready", flush=True)
        sys.stdin.read()
    """
    path = tmp_path / f"x{suffix}"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    times = times_of(path)
    assert 400 / 30 - times[-1] < 4.0  # s: what the encoder looks ahead, and one key frame's interval
    assert times[:3] == pytest.approx([0.0, 1 / 30, 2 / 30], abs=1e-3)


@pytest.mark.parametrize("slow", [1.0, 4.0])
def test_a_clip_has_its_pre_and_post_roll_once(tmp_path: Path, slow: float) -> None:
    play(EventClips(tmp_path / "clips", 100.0, before=0.2, after=0.3, slow=slow))
    assert [p.name for p in (tmp_path / "clips").iterdir()] == ["event-1-1.mp4"]
    times = times_of(tmp_path / "clips" / "event-1-1.mp4")
    # from 0.8 s to 1.6 s at 100 frames/s
    assert len(times) in (80, 81)
    assert np.diff(times) == pytest.approx(slow / 100, abs=1e-4)


def test_a_clip_that_the_end_cuts_short_is_finished(tmp_path: Path) -> None:
    play(EventClips(tmp_path, 100.0), frames=140)
    assert len(times_of(tmp_path / "event-1-1.mp4")) == pytest.approx(140 - 50, abs=2)


def test_an_event_that_only_the_end_reports_has_its_clip(tmp_path: Path) -> None:
    last = (event(3, 2.4), event(4, 2.5, kind=Kind.UNDECIDED, reason="cut short"), event(5, 2.6, provisional=True))
    play(EventClips(tmp_path, 100.0, before=0.2, after=0.1), last=last)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["event-1-1.mp4", "event-1-3.mp4"]
    # from 2.2 s to 2.8 s at 100 frames/s
    assert len(times_of(tmp_path / "event-1-3.mp4")) in (60, 61)


def test_the_ring_keeps_to_its_time_and_its_budget() -> None:
    ring = FrameRing(0.5)
    small = FrameRing(0.5, budget=10 * 3 * 64 * 48)
    for index in range(200):
        for one in (ring, small):
            one.push(frame(index, index / 100, (64, 48)), (face(),))
    assert len(ring.since(0.0)) in (50, 51)
    assert [f.index for f in small.since(0.0)] == list(range(190, 200))
    assert ring.nearest(1.752, 2) is None
    found = ring.nearest(1.752, 1)
    assert found is not None
    assert found[0].index == 175


def test_stills_show_onset_apex_and_offset() -> None:
    """The brightness of the made-up frames tells which one was taken."""
    sink = Stills(size=32)
    for observation in recording():
        image = np.full((240, 320), observation.index // 2, np.uint8)
        sink.write(observation, Frame(observation.index, observation.time, image))
    sink.end(End(2.99, (event(3, 2.5), event(4, 2.6, kind=Kind.UNDECIDED, reason="cut short"))))
    for key, levels in (((1, 1), [50, 56, 65]), ((1, 3), [125, 131, 140])):
        strip = sink.strips.pop(key)
        assert strip.shape[1] == 3 * 36 - 4  # nobody was asked what it was: there is no picture of the motion
        assert [int(strip[10, x].mean()) for x in (10, 46, 82)] == levels
    assert not sink.strips


@pytest.mark.parametrize("at_end", [False, True])
def test_the_motion_that_the_recognizer_saw_is_the_fourth_still(at_end: bool) -> None:
    """On the gray face of the onset, tinted where the motion is."""
    motion = np.zeros((3, 32, 32), np.float32)
    motion[0, 4:12, 4:12] = 2.0
    made = dataclasses.replace(event(1, 0.1), motion=motion)
    sink = Stills(size=32)
    for index in range(50):
        seen = Observation(index, index / 100, (FaceSignal(face(), None),), (made,) * (not at_end and index == 49), 0.0)
        sink.write(seen, frame(index, index / 100))
    sink.end(End(0.49, (made,) * at_end))
    strip = sink.strips[1, 1].astype(int)
    assert strip.shape[1] == 4 * 36 - 4
    onset, apex, offset, moved = (np.ptp(strip[:32, x : x + 32], axis=2) for x in range(0, 4 * 36, 36))
    assert max(gray.max() for gray in (onset, apex, offset, moved[16:, 16:])) == 0
    assert moved[6:10, 6:10].min() > 30


def test_stills_are_bounded() -> None:
    sink = Stills(size=16, most=3)
    for index in range(10):
        report = dataclasses.replace(event(index + 1, index / 100))
        observation = Observation(index, index / 100, (FaceSignal(face(), None),), (report,), 0.0)
        sink.write(observation, frame(index, index / 100))
    assert list(sink.strips) == [(1, 1), (1, 2), (1, 3)]
