"""Synthetic pictures, videos and servers for the tests of the sources. Every picture carries its number as black and
white blocks, so that a test can tell which frame arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

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


def jpeg(number: int, size: tuple[int, int] = SIZE) -> bytes:
    return cv2.imencode(".jpg", picture(number, size))[1].tobytes()


class MjpegServer:
    """A paced MJPEG camera on loopback. Numbers go on over reconnections; frames do not wait for slow clients.

    stall_after: send this many frames, then nothing, with the connection open. drop: numbers never sent.
    """

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
        pictures, opened, stop = [jpeg(number, size) for number in range(count)], time.monotonic(), threading.Event()
        self.stop = stop

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                if silent:
                    stop.wait()
                    return
                if user is not None and self.headers.get("Authorization") != user:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                if self.path != "/stream":
                    self.send_response(200)
                    self.send_header("Content-Type", "image/jpeg")
                    self.end_headers()
                    self.wfile.write(pictures[0])
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=--cut")
                self.end_headers()
                with suppress(OSError):
                    self.frames()

            def frames(self) -> None:
                first = int((time.monotonic() - opened) * fps) + 1
                for number in range(first, 1 << 30):
                    if close_after is not None and number - first == close_after:
                        return
                    if number - first == stall_after:
                        stop.wait()
                    if stop.wait(max(opened + number / fps - time.monotonic(), 0)):
                        return
                    if number - first in drop:
                        continue
                    body = pictures[number % count]
                    stamp = f"X-Timestamp: {1e9 + number / fps:.6f}\r\n" if stamped else ""
                    length = f"Content-Length: {len(body)}\r\n" if with_length else ""
                    head = f"--cut\r\nContent-Type: image/jpeg\r\n{length}{stamp}\r\n"
                    self.wfile.write(head.encode() + body + b"\r\n")

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.uri = f"http://127.0.0.1:{self.port}/stream"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="server", daemon=True)
        self._thread.start()

    def __enter__(self) -> MjpegServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
