"""Synthetic pictures, videos and servers for the tests of the sources. Every picture carries its number as black and
white blocks, so that a test can tell which frame arrived."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.bench.sender import MjpegSender
from realtime_mer.records import Frame

BITS = 16
SIZE = (128, 96)


def picture(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """BGR picture: a blue top-left quarter on gray, its number in blocks along the lower edge."""
    width, height = size
    image = np.full((height, width, 3), 128, np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    step, tall = width // BITS, height // 4
    for bit in range(BITS):
        on = number >> (BITS - 1 - bit) & 1
        image[height - tall :, bit * step : (bit + 1) * step] = 255 * on
    return image


def number_in(gray: NDArray[np.uint8]) -> int:
    """The number that ``picture`` drew."""
    height, width = gray.shape
    step, row = width // BITS, height - height // 8
    bits = [int(gray[row, bit * step + step // 2] > 128) for bit in range(BITS)]
    return int("".join(map(str, bits)), 2)


def write_video(
    path: Path,
    times_ms: Iterable[int],
    *,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    audio: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """A video of numbered pictures with exactly these timestamps."""
    times = list(times_ms)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=100)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        sound = container.add_stream("aac", rate=44100) if audio else None
        for number, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="bgr24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            noise = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
            noise.sample_rate, noise.pts = 44100, 0
            container.mux([*sound.encode(noise), *sound.encode(None)])
    return path


def write_frames(path: Path, frames: Iterable[Frame], codec: str = "libx264", **options: str) -> Path:
    """A video of these frames at their own times (to 1 ms), coded with ``options`` of libav."""
    source = iter(frames)
    first = next(source)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=100, options=options)
        stream.pix_fmt, stream.codec_context.thread_count = "yuvj420p" if codec == "mjpeg" else "yuv420p", 1
        stream.width, stream.height = first.size
        stream.time_base = stream.codec_context.time_base = Fraction(1, 100 if path.suffix == ".avi" else 1000)
        for frame in itertools.chain([first], source):
            shown = av.VideoFrame.from_ndarray(frame.image, format="bgr24")
            shown.pts, shown.time_base = round(frame.time / stream.time_base), stream.time_base
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    return path


def jpeg(number: int, size: tuple[int, int] = SIZE) -> bytes:
    return cv2.imencode(".jpg", picture(number, size))[1].tobytes()


class MjpegServer(MjpegSender):
    """A camera of numbered pictures with a camera's faults. Numbers go on over reconnections; frames do not wait for
    slow clients.

    stall_after: send this many frames, then nothing, with the connection open. drop: numbers never sent.
    """

    boundary = "--cut"  # as some cameras give it

    def __init__(
        self,
        fps: float = 100,
        size: tuple[int, int] = SIZE,
        *,
        port: int = 0,
        count: int = 200,
        stall_after: int | None = None,
        close_after: int | None = None,
        drop: frozenset[int] = frozenset(),
        stamped: bool = False,
        with_length: bool = True,
        user: str | None = None,
        silent: bool = False,
    ) -> None:
        self.stall_after, self.close_after, self.drop = stall_after, close_after, drop
        self.with_length, self.user, self.silent = with_length, user, silent
        self.opened = time.monotonic()
        super().__init__([jpeg(number, size) for number in range(count)], fps, port=port, stamped=stamped)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.silent:
            self.stop.wait()
        elif self.user is not None and request.headers.get("Authorization") != self.user:
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="camera"')
            request.end_headers()
        elif request.path != "/stream":
            request.send_response(200)
            request.send_header("Content-Type", "image/jpeg")
            request.end_headers()
            request.wfile.write(self.pictures[0])
        else:
            super().answer(request)

    def due(self) -> Iterator[int]:
        first = int((time.monotonic() - self.opened) * self.fps) + 1
        for number in itertools.count(first):
            if self.close_after is not None and number - first == self.close_after:
                return
            if number - first == self.stall_after:
                self.stop.wait()
            if self.stop.wait(max(self.opened + number / self.fps - time.monotonic(), 0)):
                return
            if number - first not in self.drop:
                yield number

    def part(self, number: int) -> bytes:
        part = super().part(number)
        return part if self.with_length else re.sub(rb"Content-Length: \d+\r\n", b"", part, count=1)
