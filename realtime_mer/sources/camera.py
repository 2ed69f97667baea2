"""Cameras through OpenCV: in their fastest mode, and with the time of each frame as close to the sensor as possible."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from realtime_mer.errors import SourceError
from realtime_mer.records import Image, SourceInfo
from realtime_mer.sources.feed import Counts, Feed, RawFrame, RawFrames, Source

WIDTH, HEIGHT = 640, 480
FASTEST_FPS = 240.0  # requested by default; drivers then choose the nearest rate that they have
SLOWEST_FPS, HIGHEST_FPS = 0.1, 2000.0  # values of a driver outside these are not believed: NaN, 0, a clock's 180000
WARM_UP_FRAMES = 5  # frames read at opening, to see that they arrive and whether the driver's times can be trusted
OLDEST_S = 0.5  # an older driver's time is not that of the frame just grabbed
SILENT_S = 2.0  # a camera that delivers nothing for this long is lost
RETRY_S = 0.01  # pause after a failed grab


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used."""

    def isOpened(self) -> bool: ...  # noqa: N802 - OpenCV's name
    def set(self, prop: int, value: float) -> bool: ...
    def get(self, prop: int) -> float: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


def open_camera(
    device: int | str,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    buffer_s: float = 1.0,
    capture: Callable[[int | str, int], Capture] | None = None,
) -> Source:
    """Open camera ``device`` (number, or /dev/videoN) and start capturing. Sizes in px, ``fps`` in frames/s.

    Frames have the driver's time of the buffer if it proves valid at opening (V4L2 gives it on the monotonic clock),
    otherwise the monotonic time of the grab; ``info.details["timestamp"]`` says which. OpenCV's own log is silenced in
    this process: failures are raised instead. ``capture`` stands in for cv2.VideoCapture in tests. Raises SourceError.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    api = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
    camera: Capture = (capture or cv2.VideoCapture)(device, api)
    try:
        if not camera.isOpened():
            raise SourceError(f"no camera {device}: {_present()}")
        # The pixel format first: with raw frames, USB lacks the bandwidth for the size and rate requested afterwards.
        camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, width or WIDTH)
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, height or HEIGHT)
        camera.set(cv2.CAP_PROP_FPS, fps or FASTEST_FPS)
        trusted, measured = _warm_up(device, camera)
    except BaseException:
        camera.release()
        raise
    counts, stop = Counts(), threading.Event()
    raw_frames = _raw_frames(device, camera, trusted, counts, stop)
    first = next(raw_frames)
    seen_height, seen_width = first.gray.shape
    code = int(camera.get(cv2.CAP_PROP_FOURCC))
    info = SourceInfo(
        uri=str(device),
        kind="camera",
        live=True,
        size=(seen_width, seen_height),
        rate=_rate(camera.get(cv2.CAP_PROP_FPS), measured, counts),
        clock="monotonic",
        details={
            "pixel_format": code.to_bytes(4, "little").decode("ascii", "replace").strip("\0 ")
            if code > 0
            else "unknown",
            "timestamp": "driver" if trusted else "grab",
            "asked": {"width": width or WIDTH, "height": height or HEIGHT, "fps": fps or FASTEST_FPS},
        },
    )
    return Feed(info, first, raw_frames, counts, stop, buffer_s=buffer_s)


def _present() -> str:
    found = sorted(str(path) for path in Path("/dev").glob("video*")) if sys.platform.startswith("linux") else []
    if found:
        return f"it is missing, in use, or not accessible; devices here: {', '.join(found)}"
    return "no camera is connected to this machine, or it is not accessible"


def _driver_time(camera: Capture, now: float) -> float | None:
    """The driver's time of the grabbed buffer, s on the monotonic clock; None when it is implausible."""
    told = camera.get(cv2.CAP_PROP_POS_MSEC) / 1000
    return told if 0 <= now - told <= OLDEST_S else None


def _rate(told: float, measured: float, counts: Counts) -> float:
    """The driver's frame rate if plausible, otherwise the one measured over the first frames; frames/s."""
    if SLOWEST_FPS <= told <= HIGHEST_FPS:
        return told
    counts.notes.append(
        f"the camera's driver reports {told:g} frames/s, which cannot be true; {measured:.3g} were measured"
    )
    return measured


def _warm_up(device: int | str, camera: Capture) -> tuple[bool, float]:
    """Read the first frames: whether the driver's times are plausible and increase, and the measured frames/s."""
    told: list[float | None] = []
    grabbed: list[float] = []
    end = time.monotonic() + SILENT_S
    while len(told) < WARM_UP_FRAMES:
        if camera.grab():
            now = time.monotonic()
            told.append(_driver_time(camera, now))
            grabbed.append(now)
            end = now + SILENT_S
        elif time.monotonic() > end:
            break
        else:
            time.sleep(RETRY_S)
    if len(told) < WARM_UP_FRAMES:
        raise SourceError(f"camera {device} opens but delivers no frames: is another program using it?")
    sane = [at for at in told if at is not None]
    # The first frames may have waited in the driver's buffer and arrive at once; the longest interval is the true one.
    measured = 1 / max(max(b - a for a, b in pairwise(grabbed)), 1 / HIGHEST_FPS)
    return len(sane) == len(told) and all(a < b for a, b in pairwise(sane)), measured


def _picture(camera: Capture, at: float) -> RawFrame | None:
    good, image = camera.retrieve()
    if not good or image is None:
        return None
    if image.ndim == 2:
        return RawFrame(at, image, None)
    color: Image = image
    return RawFrame(at, np.asarray(cv2.cvtColor(color, cv2.COLOR_BGR2GRAY), np.uint8), lambda: color)


def _raw_frames(device: int | str, camera: Capture, trusted: bool, counts: Counts, stop: threading.Event) -> RawFrames:
    heard = time.monotonic()
    try:
        while not stop.is_set():
            if not camera.grab():
                if time.monotonic() - heard > SILENT_S:
                    raise SourceError(f"camera {device} stopped delivering frames: was it unplugged?")
                stop.wait(RETRY_S)
                continue
            heard = now = time.monotonic()
            raw = _picture(camera, (_driver_time(camera, now) if trusted else None) or now)
            if raw is None:
                counts.skip()
            else:
                yield raw
    finally:
        camera.release()
