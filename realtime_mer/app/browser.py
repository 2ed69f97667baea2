"""The browser's camera as a Source: JPEG frames with their own capture times, as the page sends them.

Times come from the browser's clock: intervals are exact, the origin is arbitrary. ``live`` receives the frames.
"""

from __future__ import annotations

import queue
import struct
import threading
from functools import partial
from time import monotonic
from typing import Final

import cv2
import numpy as np

from realtime_mer.errors import SourceError
from realtime_mer.records import Image, SourceInfo
from realtime_mer.sources.feed import Counts, Feed, RawFrame, RawFrames, Source
from realtime_mer.sources.images import decode

HEAD: Final = struct.Struct("<d")  # capture time in s, then the JPEG
WAITING: Final = 64  # packets that may wait to be decoded: half a second at 120 frames/s
PACKET_BYTES: Final = 4 << 20  # a 1080p JPEG of the best quality has about one million
LONGEST_SIDE: Final = 4096  # px
FIRST_S: Final = 15.0  # wait for the first frame: the browser still asks for permission to use the camera
SILENT_S: Final = 40.0  # longest pause after that: the connection may have to be made again


class BrowserCamera:
    """Takes the page's packets (``push``, any thread) and gives a live Source (``open``).

    buffer_s: how long a frame may wait here, s; older ones are dropped evenly, and counted.
    """

    def __init__(self, *, buffer_s: float = 1.0) -> None:
        self._buffer_s = buffer_s
        self._packets: queue.Queue[tuple[float, bytes]] = queue.Queue(WAITING)
        self._stop = threading.Event()
        self._counts = Counts()

    def push(self, packet: bytes) -> None:
        """Takes a packet. When too many are waiting, the newest is dropped; the source sees the gap in the times."""
        try:
            self._packets.put_nowait((monotonic(), packet))
        except queue.Full:
            self._counts.dropped += 1

    def stop(self) -> None:
        self._stop.set()

    def open(self) -> Source:
        """Waits for the first frame. Raises SourceError when none arrives."""
        raw_frames = self._raw_frames()
        first = next(raw_frames, None)
        if first is None:
            raise SourceError("the browser sent no frames: allow the page to use the camera, then start again")
        height, width = first.gray.shape
        info = SourceInfo(
            uri="browser camera",
            kind="camera",
            live=True,
            size=(width, height),
            rate=0.0,
            clock="page",
            details={"pixel_format": "jpeg", "protocol": "websocket"},
        )
        return Feed(info, first, raw_frames, self._counts, self._stop, buffer_s=self._buffer_s)

    def _raw_frames(self) -> RawFrames:
        waited, patience, skipped = 0.0, FIRST_S, False
        while not self._stop.is_set() and waited < patience:
            try:
                came, packet = self._packets.get(timeout=0.1)
            except queue.Empty:
                waited += 0.1
                continue
            waited, patience = 0.0, SILENT_S
            # decoding is too slow: drop every second frame, so that the rest are evenly spaced
            skipped = not skipped and monotonic() - came > self._buffer_s
            if skipped:
                self._counts.dropped += 1
            elif (raw := read(packet)) is None:
                self._counts.skip()
            else:
                yield raw


def read(packet: bytes) -> RawFrame | None:
    """A packet as a raw frame; None when it is not a JPEG with a time."""
    if not HEAD.size + 4 < len(packet) <= PACKET_BYTES or not np.isfinite(time := HEAD.unpack_from(packet)[0]):
        return None
    content = packet[HEAD.size :]
    width, height = jpeg_size(content)
    if not 0 < max(width, height) <= LONGEST_SIDE:
        return None
    gray = decode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if gray is None else RawFrame(time, gray, partial(_color, content))


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height from the header, (0, 0) when it is no JPEG; read before memory is allocated for the image."""
    at = 2
    while content[:2] == b"\xff\xd8" and at + 9 < len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return 0, 0


def _color(content: bytes) -> Image:
    image = decode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError("frames of the browser's camera can only be decoded in gray")
    return image
