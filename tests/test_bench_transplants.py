"""Cases from transplants: a drawn donor's movement in a drawn video. Needs scikit-image and the face model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime_mer.bench.transplants import checks, from_transplants
from realtime_mer.errors import SourceError
from realtime_mer.records import Kind
from realtime_mer.sources import open_source
from realtime_mer.synth import MOVEMENTS, Pulse, Script, portrait, render, write_video
from realtime_mer.synth.splice import RealClip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> RealClip:
    folder = tmp_path_factory.mktemp("clip")
    script = Script(1, 200, pulses=(Pulse(MOVEMENTS["smile"], 1.5, 0.0, 0.1, 0.3),))
    paths = []
    for frame in render(script, *portrait(), times=np.arange(41) / 200):
        paths.append(folder / f"{frame.index}.png")
        cv2.imwrite(str(paths[-1]), frame.image)
    return RealClip("sub01", "smile", "happiness", tuple(paths), 0, 20, 40, 200.0)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(render(Script(5, 15, seed=1), *portrait()), folder / "calm.mp4", "h264", 18)
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("no video either")
    return folder


def test_a_case_holds_the_video_with_the_movement_in_it(videos: Path, clip: RealClip) -> None:
    (case,) = from_transplants(videos, [clip], seed=2, per_minute=30, back_s=0.4)
    assert case.name == "calm.mp4"
    assert case.truth
    assert {(truth.kind, truth.label) for truth in case.truth} == {(Kind.MICRO, "happiness")}
    with open_source(videos / "calm.mp4") as source:
        before = list(source)
    after = list(case.frames())
    assert [frame.time for frame in after] == [frame.time for frame in before]
    for a, b in zip(after, before, strict=True):
        moved = any(truth.onset < a.time < truth.offset + 0.4 for truth in case.truth)
        assert moved or np.array_equal(a.gray, b.gray)
        if any(abs(a.time - truth.apex) < 0.03 for truth in case.truth):
            assert not np.array_equal(a.gray, b.gray)


def test_the_checks_are_of_the_same_transplants(videos: Path, clip: RealClip) -> None:
    (case,) = from_transplants(videos, [clip], seed=2, per_minute=30, back_s=0.4)
    paths = sorted(videos.glob("*.mp4"))
    found = list(checks(paths, [clip], 2, 30, 0.4))
    assert len(found) == len(case.truth)
    for path, check in found:
        assert path.name == "calm.mp4"
        assert check.correlation > 0.9
        assert check.size == pytest.approx(1, abs=0.15)


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no videos"):
        from_transplants(tmp_path, [], 1, 15, 0.4)
