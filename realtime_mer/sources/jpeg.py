"""Decodes the frames of an MJPEG stream with libav, which reports damage.

OpenCV fills missing parts with gray, which would be measured as a movement, and reports it only on standard error.
"""

from __future__ import annotations

from functools import partial

import av
import av.error
import cv2
import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from realtime_mer.errors import SourceError
from realtime_mer.records import Image
from realtime_mer.sources.feed import RawFrame
from realtime_mer.sources.images import decode
from realtime_mer.sources.picture import EXIF, EXIF_BYTES, STRICT, raw_frame

JPEG_END = b"\xff\xd9"
END_BYTES = 64  # some cameras pad a frame after its end marker


class JpegDecoder:
    """Turns one JPEG after another into raw frames. Not thread-safe."""

    def __init__(self) -> None:
        codec = CodecContext.create("mjpeg", "r")
        assert isinstance(codec, VideoCodecContext)
        codec.options, codec.thread_count = STRICT, 1
        self._codec = codec

    def __call__(self, data: bytes) -> RawFrame | None:
        """The frame without a time; None when it is damaged, truncated, or not a JPEG.

        Truncation within the last block, 16x16 px in the lower right corner, is not detected.
        """
        if JPEG_END not in data[-END_BYTES:]:
            return None
        try:
            frames = self._codec.decode(av.Packet(data))
        except (av.error.FFmpegError, ValueError, MemoryError):
            return None
        if len(frames) != 1 or frames[0].is_corrupt:
            return None
        if EXIF not in data[:EXIF_BYTES]:
            return raw_frame(frames[0], None)
        # EXIF may require rotation, which OpenCV does; this image is complete.
        gray = decode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        return None if gray is None else RawFrame(None, gray, partial(_color, data))


def _color(data: bytes) -> Image:
    image = decode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError("frames of the stream can only be decoded in gray")
    return image
