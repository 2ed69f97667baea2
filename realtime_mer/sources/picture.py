"""Makes decoded frames upright: luma and color, rotated and mirrored by the display matrix, with square pixels.
``clock`` gives their times, ``decode`` decides whether they can be trusted."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import NamedTuple

import av
import av.error
import cv2
import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from realtime_mer.records import Gray, Image
from realtime_mer.sources.feed import RawFrame

# Pixel formats whose first plane is 8-bit luma, so that gray costs nothing.
LUMA_FIRST = frozenset(
    ("gray", "nv12", "nv21", "yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv440p", "yuvj440p")
)
# A decoder set to stop at an error reports it; otherwise it fills the rest with gray or old blocks, which would be
# measured as a movement.
STRICT = {"err_detect": "explode", "max_pixels": str(1 << 27)}  # more pixels than any camera has are not decoded
EXIF, EXIF_BYTES = b"Exif\0", 4096  # marker of EXIF data, and the latest position in a file
LOOK_FRAMES = 250  # key frames closer than this are not checked again
PREDICTED = frozenset((PictureType.P, PictureType.B, PictureType.S, PictureType.SP))
ASPECT_MOST = 4  # larger pixel aspect ratios are not believed


class Orientation(NamedTuple):
    """How a stored frame is made upright: transposed first, then flipped left to right, then top to bottom."""

    transpose: bool = False
    mirror: bool = False
    upside_down: bool = False

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture, (H, W) or (H, W, 3), upright."""
        if self.transpose:
            picture = np.asarray(cv2.transpose(picture), np.uint8)
        if self.mirror or self.upside_down:
            code = -1 if self.mirror and self.upside_down else 1 if self.mirror else 0
            picture = np.asarray(cv2.flip(picture, code), np.uint8)
        return picture


UPRIGHT = Orientation()
TURNS = {
    90: Orientation(transpose=True, upside_down=True),
    180: Orientation(mirror=True, upside_down=True),
    270: Orientation(transpose=True, mirror=True),
}  # by degrees counter-clockwise


def orientation(frame: av.VideoFrame) -> Orientation:
    """The frame's display matrix, as the nearest of the eight orientations.

    libav's ``rotation`` alone cannot distinguish a mirrored frame from one rotated by 180 degrees.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know every kind of side data, EXIF among them
        return TURNS.get(frame.rotation % 360, UPRIGHT)
    if matrix is None:
        return UPRIGHT
    # x' = a x + c y, y' = b x + d y, stored as a b u c d v x y w
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


class Upright:
    """The orientation of each frame of a recording.

    Reading a frame's side data ties it to an object that only the garbage collector frees, with all its pixels. So it
    is read only where libav's own ``rotation`` changes, and at an occasional key frame.
    """

    def __init__(self) -> None:
        self._way, self._rotation, self._next = UPRIGHT, -1, 0

    def __call__(self, frame: av.VideoFrame) -> Orientation:
        self._next -= 1
        if frame.rotation != self._rotation or (frame.key_frame and self._next <= 0):
            self._way, self._rotation, self._next = orientation(frame), frame.rotation, LOOK_FRAMES
        return self._way


class Keyframes:
    """Finds the frames of a stream that were coded again after predicted ones. ``push`` every frame in order.

    It uses the picture type, not libav's ``key_frame``, which says where decoding may start: that is unset at an I
    frame across which others are still predicted, as x264 uses at a cut soon after a keyframe, and sometimes set in
    FFV1, where it concerns the entropy coder and no frame is predicted. A stream with gradual refresh has no such
    frames.
    """

    def __init__(self) -> None:
        self._predicted = False  # a previous frame was predicted from others

    def push(self, frame: av.VideoFrame) -> bool:
        """Whether ``frame`` may jump against the frames before it."""
        kind = frame.pict_type
        self._predicted |= kind in PREDICTED
        return self._predicted and kind == PictureType.I


def luma(frame: av.VideoFrame) -> Gray:
    """The frame's luma, uint8 (H, W): a view of the decoder's own memory where the pixel format has such a plane."""
    if frame.format.name not in LUMA_FIRST:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def raw_frame(
    frame: av.VideoFrame,
    time: float | None,
    way: Orientation = UPRIGHT,
    aspect: Fraction | None = None,
    hole: float = 0.0,
    keyframe: bool = False,
) -> RawFrame:
    """A decoded frame made upright, gray and color alike. aspect: width of a pixel by its height, None for square."""
    gray = _square(way.apply(luma(frame)), way, aspect)
    return RawFrame(time, gray, partial(_bgr, frame, way, aspect), hole, keyframe=keyframe)


def _bgr(frame: av.VideoFrame, way: Orientation, aspect: Fraction | None) -> Image:
    # A separate converter: the frame's is shared, and two threads (detection, drawing) that convert one frame crash.
    image = np.asarray(VideoReformatter().reformat(frame, format="bgr24").to_ndarray(), np.uint8)
    return _square(way.apply(image), way, aspect)


def pixel_aspect(given: Fraction | None) -> Fraction | None:
    """The pixel aspect ratio stated in a file (width by height); None if square, unknown or impossible."""
    if given is None or given <= 0 or given == 1 or not Fraction(1, ASPECT_MOST) <= given <= ASPECT_MOST:
        return None
    return given


def _square(picture: NDArray[np.uint8], way: Orientation, aspect: Fraction | None) -> NDArray[np.uint8]:
    """The frame with square pixels; the side with fewer samples is stretched, so that no detail is lost."""
    if aspect is None:
        return picture
    stretch = float(1 / aspect if way.transpose else aspect)
    height, width = picture.shape[:2]
    size = (round(width * stretch), height) if stretch > 1 else (width, round(height / stretch))
    return picture if size == (width, height) else np.asarray(cv2.resize(picture, size), np.uint8)


def jpeg_luma(data: bytes) -> Gray | None:
    """The luma of a JPEG as stored; None when it is damaged or truncated.

    Not with OpenCV, which fills missing parts with gray and reports that only on standard error. Raises
    NotImplementedError for a JPEG that libav cannot read, or with EXIF data, which may rotate it; OpenCV reads those.
    """
    decoder = CodecContext.create("mjpeg", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.options, decoder.thread_count = STRICT, 1
    try:
        frames = decoder.decode(av.Packet(data))
    except av.error.InvalidDataError:
        return None
    except (av.error.FFmpegError, ValueError) as error:
        raise NotImplementedError(str(error)) from None
    if not frames or frames[0].is_corrupt:
        return None
    if EXIF in data[:EXIF_BYTES]:
        raise NotImplementedError("EXIF")
    return luma(frames[0])
