"""What several test files share: one synthetic recording, drawn once, and one face detector, opened once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import hypothesis
import numpy as np
import pytest

from realtime_mer.face import FaceDetector
from realtime_mer.records import Face, Frame
from realtime_mer.synth import MOVEMENTS, Blink, Pulse, Script, Sway, Truth, portrait, render
from realtime_mer.synth.render import DrawnFace

# How long an example takes depends on what else the machine does: no reason to fail.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# Modules whose tests watch the clock: cameras and streams at their rate, browsers, processes that are killed in time.
REALTIME = (
    "test_app_", "test_bench_command", "test_bench_runs", "test_bench_speed", "test_cli_ends", "test_cli_keeping",
    "test_cli_kills", "test_cli_live", "test_demos", "test_face_lane", "test_privacy", "test_recognize_worker",
    "test_sources_camera", "test_sources_industrial", "test_sources_open", "test_sources_senders",
    "test_sources_streams", "test_targets",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of these modules."""
    for item in items:
        if item.path.name.startswith(REALTIME):
            item.add_marker(pytest.mark.realtime)


SCALE = 0.5  # of the portrait: 320x240 px is drawn four times as fast


@dataclass(frozen=True)
class Recording:
    """A script, its frames, and a detector that needs no pictures because it knows where the face is."""

    script: Script
    face: DrawnFace
    frames: tuple[Frame, ...]

    @property
    def truth(self) -> list[Truth]:
        return self.script.truth()

    def points(self, time: float, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
        """The landmarks at ``time`` in pictures ``scale`` times as large, moved right by ``shift`` px."""
        known = (self.face.points_at(self.script, time) + 0.5) * scale - 0.5
        return (known + np.array([shift, 0])).astype(np.float32)

    def detect(self, frame: Frame) -> list[Face]:
        return [self.detection(frame.time, frame.size[0] / self.frames[0].size[0])]

    def detection(self, time: float, scale: float = 1.0, shift: float = 0.0) -> Face:
        points = self.points(time, scale, shift)
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        return Face(0, (float(x0), float(y0), float(x1), float(y1)), points, 1.0, (0.0, 0.0, 0.0))


@pytest.fixture(scope="session", autouse=True)
def signals_as_usual() -> None:
    """Whoever runs the tests in the background, or with nohup, has them ignore signals, and their children too."""
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session")
def recording() -> Recording:
    """8 s at 100 frames/s, 320x240: quiet for 2 s, then three micro-expressions, a blink and a macro-expression."""

    def pulse(name: str, peak: float, onset: float, rise: float, fall: float, hold: float = 0.0) -> Pulse:
        return Pulse(MOVEMENTS[name], peak, onset, onset + rise, onset + rise + hold + fall, hold)

    script = Script(
        duration=8.0,
        fps=100.0,
        seed=11,
        pulses=(
            pulse("inner brow raise", 2.2, 2.2, 0.12, 0.18),
            pulse("left smirk", 2.6, 3.9, 0.12, 0.18),
            pulse("upper lip raise", 2.0, 4.9, 0.12, 0.18),
            pulse("smile", 3.4, 5.9, 0.4, 0.6, hold=0.4),
        ),
        blinks=(Blink(3.10, 3.18, 3.30),),
        sway=Sway(shift=0.8, roll=0.3, yaw=0.4, pitch=0.3, scale=0.003),
    )
    image, points = portrait()
    small = cv2.resize(image, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
    points = ((points + 0.5) * SCALE - 0.5).astype(np.float32)
    return Recording(script, DrawnFace(small, points), tuple(render(script, small, points)))


@pytest.fixture(scope="session")
def detector() -> Iterator[FaceDetector]:
    with FaceDetector() as opened:
        yield opened


@pytest.fixture(scope="session")
def shown_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The clip of the app's tests, as what Chromium's fake camera plays and as an MP4."""
    from app_server import draw_clip

    return draw_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def chromium(shown_clip: tuple[Path, Path]) -> Iterator[Any]:
    from app_pages import started_chromium

    with started_chromium(shown_clip[0]) as browser:
        yield browser


@pytest.fixture(scope="module")
def shown_app() -> Iterator[Any]:
    from app_server import served

    with served(away_s=8.0) as running:
        yield running


@pytest.fixture
def page(chromium: Any, shown_app: Any) -> Iterator[Any]:
    """A page of a viewer of its own. It must ask nobody but the server, and log no error."""
    from app_pages import check_trouble, opened

    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = opened(context, shown_app)
    yield page
    context.close()
    for viewer in shown_app.live.viewers:  # it would wait for its page
        viewer.close()
    check_trouble(page)
