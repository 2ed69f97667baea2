"""For the tests of the app: serves it in a thread, and draws the clip that the fake camera and the uploads show."""

from __future__ import annotations

import gc
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime_mer.app.settings import AppSettings
from realtime_mer.synth import MOVEMENTS, Pulse, Script, Sway, portrait, render, write_video

RATE = 30.0  # what Chromium's fake camera plays a bare MJPEG file at
LAP = 7.0  # s: the fake camera plays the clip again and again
APEXES = (2.64, 5.16)
SCRIPT = Script(
    duration=LAP,
    fps=RATE,
    seed=3,
    pulses=(
        Pulse(MOVEMENTS["inner brow raise"], 1.8, 2.5, APEXES[0], 2.84),
        Pulse(MOVEMENTS["left smirk"], 1.8, 5.0, APEXES[1], 5.4),
    ),
    sway=Sway(0, 0, 0, 0, 0),  # the head is where it was when the clip begins again
)


def draw_clip(folder: Path) -> tuple[Path, Path]:
    """The clip as a camera's MJPEG and as an MP4, with one drawing."""
    frames = list(render(SCRIPT, *portrait()))
    camera, video = folder / "camera.mjpeg", folder / "clip.mp4"
    write_video(frames, camera, "mjpeg", 3, RATE)
    write_video(frames, video)
    return camera, video


@dataclass(frozen=True)
class Served:
    """A running app. port: on 127.0.0.1."""

    port: int
    app: Any

    @property
    def live(self) -> Any:
        return self.app.live

    @property
    def jobs(self) -> Any:
        return self.app.jobs

    @property
    def root(self) -> Path:
        """Where uploads and results are kept."""
        return self.app.jobs.root

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(settings: AppSettings | None = None, port: int = 0, **times: float) -> Iterator[Served]:
    """The app on a free port, or on ``port``; ended and cleared away afterwards. times: see ``create_app``."""
    import uvicorn

    from realtime_mer.app.server import create_app, listen, server_config

    settings = settings or AppSettings(port=0)
    listener = listen("127.0.0.1", port)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Gradio leaves event loops behind when it builds a page
        app = create_app(settings, **times)
        gc.collect()
    server = uvicorn.Server(server_config(app.web, settings.root_path))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="app")
    thread.start()
    try:
        until(lambda: server.started, 60)
        yield Served(listener.getsockname()[1], app)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        app.close()


def until(true: Any, seconds: float) -> None:
    """Waits for a condition. Raises AssertionError when it does not come true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def working_threads() -> list[str]:
    """Names of the threads that a viewer or an analysis starts."""
    names = ("viewer", "face-detection", "source ", "classif", "recording")
    return sorted(t.name for t in threading.enumerate() if t.name.startswith(names))
