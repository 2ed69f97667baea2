"""Inputs that nobody would send on purpose: each is read, or refused with one of our errors in one line.

`make fuzz` gives 100,000 of them, drawn again each time; in the ordinary tests it is a small and constant share.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import fuzz_child as child
import made_models
import numpy as np
import pytest
from fuzz_inputs import JUNK, PAIRS, SPECS, VALID_LOG, changed, damaged, logs, settings_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_observations import face
from source_media import jpeg, picture, write_video

from realtime_mer.commands.screen import summary
from realtime_mer.config import load
from realtime_mer.errors import MerError
from realtime_mer.pipeline import Pipeline
from realtime_mer.recognize.spec import ModelSpec
from realtime_mer.records import Frame
from realtime_mer.sinks.convert import FORMATS, OPENFACE, convert
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.sinks.report import write_report
from realtime_mer.sinks.signals import read_signals
from realtime_mer.sources.mjpeg import Parts
from realtime_mer.spotting.detector import MovementDetector

TOTAL = int(os.environ.get("REALTIME_MER_FUZZ", "0"))
# Of each kind, in percent; what is slow has fewer.
SHARES = {
    "settings file": 20, "settings pairs": 20, "log": 12, "signals": 6, "model spec": 20, "model file": 3, "frames": 3,
    "images": 4, "video": 2, "stream body": 10,
}  # fmt: skip
BOUNDED = 1000  # inputs in the ordinary tests
outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in SHARES}


def fuzz(kind: str) -> settings:
    """The number of inputs for a kind. The ordinary tests draw the same ones each time."""
    return settings(
        max_examples=max(1, (TOTAL or BOUNDED) * SHARES[kind] // 100),
        derandomize=not TOTAL,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module", autouse=True)
def told() -> Iterator[None]:
    yield
    for kind, counts in outcomes.items():
        print(
            f"\n{kind}: {counts.total()} inputs, " + ", ".join(f"{n} {word}" for word, n in counts.most_common()),
            end="",
        )
    print(f"\nin all {sum(counts.total() for counts in outcomes.values())} inputs")


@pytest.fixture(scope="module")
def other() -> Iterator[child.Child]:
    process = child.Child()
    yield process
    process.close()


def ours(kind: str, act: Callable[[], object]) -> bool:
    """Whether ``act`` went through; False when it raised one of our errors."""
    try:
        act()
    except MerError as error:
        assert len(str(error).splitlines()) == 1, str(error)  # noqa: PT017
        assert len(str(error)) < 1000  # noqa: PT017
        outcomes[kind]["refused"] += 1
        return False
    outcomes[kind]["read"] += 1
    return True


@fuzz("settings file")
@given(settings_files())
def test_settings_files(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.toml"
        path.write_bytes(content)
        ours("settings file", lambda: load(path))


@fuzz("settings pairs")
@given(PAIRS)
def test_settings_pairs(pairs: list[str]) -> None:
    ours("settings pairs", lambda: load(None, pairs))


@fuzz("log")
@given(logs())
def test_logs_and_what_is_made_of_them(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "events.jsonl"
        log.write_bytes(content)
        if ours("log", lambda: read_jsonl(log)):
            recording = read_jsonl(log)
            for name in FORMATS:
                convert(log, name)
            write_report(log, None, log.with_name("report.html"))
            if recording.summary is not None:
                summary("video", log.parent, recording)


SIGNALS = b"frame,time,lost,face,note,level,threshold,head,eyes,yaw,pitch,roll,score\n" + b"".join(
    b"%d,%.2f,0,1,,%.1f,6.0,0.1,1,0,0,0,0.9\n" % (n, n / 100, n % 7) for n in range(4)
)


def _written_log(path: Path) -> Path:
    path.write_bytes(VALID_LOG)
    return path


@fuzz("signals")
@given(damaged(SIGNALS, most=3))
def test_signals(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "signals.csv"
        path.write_bytes(content)
        log = _written_log(path.with_name("events.jsonl"))
        if ours("signals", lambda: write_report(log, path, path.with_name("report.html"))):
            for curve in read_signals(path).curves.values():
                curve.between(0.0, 1.0)
        with contextlib.suppress(MerError):
            convert(log, OPENFACE)


@fuzz("model spec")
@given(SPECS)
def test_model_specs(values: dict[str, Any]) -> None:
    import json

    ours("model spec", lambda: ModelSpec.from_json(json.dumps(values), "some.onnx"))


@fuzz("model file")
@given(
    SPECS.map(lambda spec: made_models.model(made_models.good(), spec)) | damaged(made_models.model(made_models.good()))
)
def test_model_files(other: child.Child, content: bytes) -> None:
    """A crash or a hang is what the trial in another process is for."""
    outcomes["model file"][other.call(child.read_model, content)] += 1


ODD_TIMES = st.sampled_from([-1.0, 0.0, 1e-300, 1e12, 1e308, float("nan"), float("inf")])
ODD_SIZES = st.sampled_from([(1, 1), (0, 5), (5, 0), (2, 4000), (33000, 1), (48, 64)])
ODD_KINDS = st.sampled_from([np.float32, np.uint16, bool, np.int8])
BOX = st.tuples(st.floats(-500, 500), st.floats(-500, 500), st.floats(1, 500), st.floats(1, 500))


@fuzz("frames")
@given(
    st.lists(st.tuples(st.floats(0.001, 1), st.integers(0, 250), BOX), min_size=1, max_size=6),
    st.sampled_from(("nothing", "nothing", "time", "size", "kind")), st.integers(0, 5), ODD_TIMES, ODD_SIZES, ODD_KINDS,
)  # fmt: skip
def test_frames(
    frames: list[tuple[float, int, tuple[float, ...]]],
    odd: str, where: int, odd_time: float, odd_size: tuple[int, int], odd_kind: type,
) -> None:  # fmt: skip
    """Frames of which one may be odd, with faces anywhere in or beside the picture."""

    def detect(frame: Frame) -> list[Any]:
        x, y, width, height = frames[frame.index][2]
        return [face(0, (x, y, x + width, y + height))]

    def watch() -> None:
        time = 0.0
        with Pipeline(detect, MovementDetector) as pipeline:
            for index, (step, level, _) in enumerate(frames):
                time += step
                this = odd if index == where else "nothing"
                size = odd_size if this == "size" else (240, 320)
                gray = (np.indices(size).sum(axis=0) * (level + 1) % 251).astype(
                    odd_kind if this == "kind" else np.uint8
                )
                pipeline.push(Frame(index, odd_time if this == "time" else time, gray))
            pipeline.finish()

    ours("frames", watch)


SUFFIXES = (".png", ".jpg", ".bmp", ".tiff", ".webp", ".ppm")
IMAGES = {suffix: cv2.imencode(suffix, picture(3, (64, 48)))[1].tobytes() for suffix in SUFFIXES}


@fuzz("images")
@given(st.sampled_from([*IMAGES]).flatmap(
    lambda suffix: st.tuples(st.lists(damaged(IMAGES[suffix]), min_size=1, max_size=3), st.just(suffix))
))  # fmt: skip
def test_images(other: child.Child, given_images: tuple[list[bytes], str]) -> None:
    outcome = other.call(child.read_images, *given_images)
    outcomes["images"][outcome] += 1
    assert outcome in ("read", "refused")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("videos")
    made = {}
    for suffix, codec in ((".mp4", "libx264"), (".mkv", "libx264"), (".avi", "mpeg4"), (".mpg", "mpeg2video")):
        path = folder / f"video{suffix}"
        try:
            write_video(path, range(0, 200, 40 if suffix == ".mpg" else 10), size=(64, 48), codec=codec)
        except (av.FFmpegError, ValueError):
            continue
        made[suffix] = path.read_bytes()
    assert ".mp4" in made
    return made


@fuzz("video")
@given(st.data())
def test_videos(other: child.Child, videos: dict[str, bytes], data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from([*videos]))
    content = data.draw(damaged(videos[suffix]))
    outcome = other.call(child.read_video, content, suffix)
    outcomes["video"][outcome] += 1
    assert outcome in ("read", "refused")


PART = b"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n"
BODY = b"".join(PART % (len(content), content) for content in (jpeg(1, (32, 24)), jpeg(2, (32, 24))))


@fuzz("stream body")
@given(damaged(BODY), st.text(max_size=8) | st.sampled_from(["cut", "--cut", '"cut"', ""]), st.integers(1, 400))
def test_stream_bodies(content: bytes, boundary: str, size: int) -> None:
    """The parser of MJPEG says ValueError, which the stream turns into a SourceError."""
    parts = Parts(boundary)
    outcome = "read"
    try:
        for start in range(0, len(content), size):
            list(parts.push(content[start : start + size]))
    except ValueError:
        outcome = "refused"
    outcomes["stream body"][outcome] += 1


@settings(max_examples=50, derandomize=True)
@given(changed({"a": [1, {"b": 2}]}), JUNK)
def test_the_inputs_are_what_they_should_be(value: Any, junk: object) -> None:
    """Most of what is changed is still nested data, else the fuzzing sees the first line of every reader only."""
    assert isinstance(value, dict)
    del junk
