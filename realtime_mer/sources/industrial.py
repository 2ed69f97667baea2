"""Industrial cameras: what GenICam and Basler cameras share, from their buffers to a source.

Such cameras number their frames and stamp them with their own clock. So losses are counted exactly, not estimated, and
intervals are the camera's own (``device_clock``). ``genicam`` and ``basler`` have what is specific to each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qs

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import SourceError
from realtime_mer.records import Image, SourceInfo
from realtime_mer.sources.device_clock import DeviceClock, FrameNumbers
from realtime_mer.sources.feed import Counts, Feed, RawFrame, RawFrames, Source

# OpenCV's old names of Bayer patterns are shifted by a pixel; these are the new, correct ones.
BAYER: Final = {
    "BayerRG8": (cv2.COLOR_BayerRGGB2GRAY, cv2.COLOR_BayerRGGB2BGR),
    "BayerGB8": (cv2.COLOR_BayerGBRG2GRAY, cv2.COLOR_BayerGBRG2BGR),
    "BayerGR8": (cv2.COLOR_BayerGRBG2GRAY, cv2.COLOR_BayerGRBG2BGR),
    "BayerBG8": (cv2.COLOR_BayerBGGR2GRAY, cv2.COLOR_BayerBGGR2BGR),
}
FORMATS: Final = ("Mono8", *BAYER)  # in this order: monochrome is already the luma, at no cost
WARM_UP_FRAMES: Final = 10  # frames read at opening to match the camera's clock
FIRST_S: Final = 3.0  # for the first frame
SILENT_S: Final = 2.0  # a camera that delivers nothing for this long is lost; at slow rates four intervals
WAIT_S: Final = 0.2  # wait for one frame, before checking whether to stop
SPARE: Final = 1.5  # times the frames that fit into an interval: largest possible loss in it


class Grab(NamedTuple):
    """One buffer as received. number: of the frame. stamp: s on the camera's clock, None if it has none.

    picture: uint8 (H, W), a copy; None if a part of it was lost in transfer.
    """

    number: int
    stamp: float | None
    picture: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class CameraRequest:
    """Requested settings of a camera; None leaves one unchanged. width, height: px, from the middle of the sensor.

    fps: frames/s; None requests the maximum. exposure: ms.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    exposure: float | None = None
    pixel_format: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The actual settings of a camera. rate: frames/s. exposure: ms, None if unknown. about: vendor, model, serial."""

    size: tuple[int, int]
    rate: float
    exposure: float | None
    pixel_format: str
    about: dict[str, str] = field(default_factory=dict)


class Grabber(Protocol):
    """An open, delivering camera."""

    chosen: Chosen

    def grab(self, seconds: float) -> Grab | None:
        """The next buffer, None when none arrived in time. Raises SourceError when the camera has gone."""

    def close(self) -> None: ...


def address_of(text: str, request: CameraRequest) -> tuple[str, CameraRequest]:
    """NAME of "NAME?format=FORMAT", and ``request`` with that format. Raises SourceError."""
    name, _, query = text.partition("?")
    asked = parse_qs(query)
    if set(asked) - {"format"} or not set(asked.get("format", ())) <= set(FORMATS):
        raise SourceError(f"{text}: an industrial camera takes ?format= with {', '.join(FORMATS)}")
    return name, replace(request, pixel_format=asked["format"][0]) if asked else request


def choose_format(available: Sequence[str], requested: str | None, name: str) -> str:
    """The pixel format to request. Raises SourceError when none is supported."""
    for pixel_format in (requested,) if requested else FORMATS:
        if pixel_format in available:
            return pixel_format
    raise SourceError(f"{name} has none of the pixel formats {requested or ', '.join(FORMATS)}: {', '.join(available)}")


def open_industrial(uri: str, camera: Grabber, *, buffer_s: float) -> Source:
    """A source of ``camera``'s frames; closes it at the end. Raises SourceError when none arrive."""
    counts, stop, clock = Counts(), threading.Event(), DeviceClock()
    chosen = camera.chosen
    try:
        stamped = _warm_up(uri, camera, clock)
    except BaseException:
        camera.close()
        raise
    raw_frames = _raw_frames(uri, camera, clock if stamped else None, counts, stop)
    first = next(raw_frames)
    info = SourceInfo(
        uri=uri,
        kind="camera",
        live=True,
        size=(first.gray.shape[1], first.gray.shape[0]),
        rate=chosen.rate,
        clock="device" if stamped else "monotonic",
        details={
            "pixel_format": chosen.pixel_format,
            "timestamp": "device" if stamped else "arrival",
            "losses": "frame numbers",
            "exposure_ms": chosen.exposure,
            **chosen.about,
        },
    )
    return Feed(info, first, raw_frames, counts, stop, buffer_s=buffer_s, numbered=True)


def _warm_up(uri: str, camera: Grabber, clock: DeviceClock) -> bool:
    """Reads the first frames, and returns whether they are stamped."""
    seen: list[tuple[float, float]] = []
    came, end = 0, time.monotonic() + max(FIRST_S, (WARM_UP_FRAMES + 2) / max(camera.chosen.rate, 1.0))
    while came < WARM_UP_FRAMES and time.monotonic() < end:
        grab = camera.grab(WAIT_S)
        if grab is not None:
            came += 1
            if grab.stamp is not None:
                seen.append((grab.stamp, time.monotonic()))
    if not came:
        raise SourceError(f"{uri} opens but delivers no frames: is it waiting for a trigger, or is the network slow?")
    stamped = len(seen) == came and all(a[0] < b[0] for a, b in pairwise(seen))
    if stamped:
        clock.settle(seen)
    return stamped


def _raw_frames(
    uri: str, camera: Grabber, clock: DeviceClock | None, counts: Counts, stop: threading.Event
) -> RawFrames:
    numbers, rate = FrameNumbers(), max(camera.chosen.rate, 1.0)
    heard, last, lost = time.monotonic(), None, 0
    try:
        while not stop.is_set():
            grab = camera.grab(WAIT_S)
            now = time.monotonic()
            if grab is None:
                if now - heard > max(SILENT_S, 4 / rate):
                    raise SourceError(f"{uri} stopped delivering frames: was it unplugged?")
                continue
            longest = int(SPARE * (now - heard) * rate) + 2
            heard, hole, at = now, 0.0, now
            missing = numbers.lost(grab.number, longest)
            if clock is not None and grab.stamp is not None:
                at, again = clock.local(grab.stamp, now)
                if again:
                    missing = None
            if missing is None and last is not None:
                hole = max(now - last, 0.0)
                counts.note("the camera restarted its frame numbers: losses before that are not known")
            lost += missing or 0
            if grab.picture is None:
                counts.skip("incomplete: parts were lost in transfer")
                continue
            last = at if last is None else max(at, last)
            yield _raw_frame(grab.picture, camera.chosen.pixel_format, at)._replace(hole=hole, lost=lost)
            lost = 0
    finally:
        camera.close()


def _raw_frame(picture: NDArray[np.uint8], pixel_format: str, at: float) -> RawFrame:
    if pixel_format not in BAYER:
        return RawFrame(at, picture, None)
    to_gray, to_bgr = BAYER[pixel_format]
    return RawFrame(at, np.asarray(cv2.cvtColor(picture, to_gray), np.uint8), partial(_color, picture, to_bgr))


def _color(picture: NDArray[np.uint8], code: int) -> Image:
    return np.asarray(cv2.cvtColor(picture, code), np.uint8)
