"""Recorded video through PyAV: luma planes with the container's own timestamps. Streams are in rtsp.py and mjpeg.py."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from realtime_mer.errors import SourceError
from realtime_mer.records import Gray, Image, SourceInfo
from realtime_mer.sources.feed import Counts, Feed, Shot, Shots, Source

# Pixel formats whose first plane is 8-bit luma, so that gray costs nothing.
LUMA_FIRST = frozenset(
    ("gray", "nv12", "nv21", "yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv440p", "yuvj440p")
)
# One decoder thread is the cheapest by CPU time (H.264 640x480: 4,400 frames/s per core, with two frame threads 3,000),
# and the pipeline wants the other cores. Above this size one core may not keep up, so libav may use them all.
ONE_THREAD_PX = 1280 * 720
CUT_FRAMES = 3  # a track that ends this many frames before its own announced end was cut off ...
CUT_LEAST_S = 0.05  # ... but not by less than this, s: some files announce a nominal rate far above the real one
CUT_S = 0.5  # the same, s, where only the whole file announces its end: its audio may be a little longer than its video

_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def luma(frame: av.VideoFrame) -> Gray:
    """The frame's luma, uint8 (H, W): a view of the decoder's own memory where the pixel format has such a plane."""
    if frame.format.name not in LUMA_FIRST:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def to_shot(frame: av.VideoFrame, time: float | None) -> Shot:
    """A decoded frame, turned as its display matrix says; gray and colour alike."""
    turn = _TURNS.get(frame.rotation % 360)
    gray = luma(frame)
    return Shot(
        time, gray if turn is None else np.asarray(cv2.rotate(gray, turn), np.uint8), partial(_bgr, frame, turn)
    )


def _bgr(frame: av.VideoFrame, turn: int | None) -> Image:
    # A converter of its own: the frame's is shared, and two threads (detection, drawing) that convert one frame crash.
    image = np.asarray(VideoReformatter().reformat(frame, format="bgr24").to_ndarray(), np.uint8)
    return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)


def reason(error: Exception) -> str:
    """libav's words for what went wrong, without number and address."""
    return str(getattr(error, "strerror", None) or error)


def open_file(path: Path) -> Source:
    """Open a recorded video.

    Times are pts times time base, counted from the start of the container. Frames without a timestamp, with one that
    does not increase, or that cannot be decoded are skipped and counted; that a file ends early is told in
    ``stats().notes``. Raises SourceError when no frame can be had.
    """
    if not path.exists():
        raise SourceError(f"no such file: {path}")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{path} is empty (0 bytes)")
    try:
        # Without "file:", a name such as 10:30.mp4 is taken for an address. Tags in an odd encoding do no harm.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except PermissionError:
        raise SourceError(f"{path} may not be read: check its permissions") from None
    except (av.error.FFmpegError, OSError):
        raise SourceError(f"{path} is not a readable video: no video at all, damaged, or cut off") from None
    try:
        return _open_track(path, container)
    except BaseException:
        container.close()
        raise


def _open_track(path: Path, container: av.container.InputContainer) -> Source:
    if not container.streams.video:
        raise SourceError(f"{path} has no video track")
    stream, counts = container.streams.video[0], Counts()
    codec = stream.codec_context
    if codec is None:
        raise SourceError(f"{path}: its video codec is not supported; convert the file to H.264")
    codec.thread_count = 1 if codec.width * codec.height <= ONE_THREAD_PX else 0
    codec.thread_type = "AUTO"
    shots = _shots(container, stream, counts)
    first = next(shots, None)
    while first is not None and first.time is None:
        counts.skip()
        first = next(shots, None)
    if first is None:
        untimed = "its frames carry no timestamps; put it into a container such as .mp4 or .mkv"
        raise SourceError(f"{path}: {untimed if counts.skipped else 'no frame can be decoded'}")
    height, width = first.gray.shape
    info = SourceInfo(
        uri=str(path),
        kind="file",
        live=False,
        size=(width, height),
        rate=float(stream.average_rate or 0),
        clock="container",
        frames=stream.frames or None,
        duration=_end(container, stream)[0],
        details={
            "container": container.format.name,
            "codec": codec.name,
            "pixel_format": codec.pix_fmt,
            "start_s": _start(container),
        },
    )
    return Feed(info, first, shots, counts, threading.Event())


def _start(container: av.container.InputContainer) -> float:
    """Where the container's clock starts, s: players count from there (transport streams start anywhere)."""
    ticks: int = container.start_time or 0
    return max(0.0, ticks / int(av.time_base))


def _end(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[float | None, float]:
    """When the last frame should end (s, None when nobody says) and how much earlier (s) it may do so."""
    if stream.duration and stream.average_rate:
        ticks = stream.duration + (stream.start_time or 0)
        return float(ticks * stream.time_base) - _start(container), max(
            float(CUT_FRAMES / stream.average_rate), CUT_LEAST_S
        )
    if container.duration:
        return container.duration / av.time_base, CUT_S
    return None, CUT_S


def _shots(container: av.container.InputContainer, stream: av.VideoStream, counts: Counts) -> Shots:
    base, start = float(stream.time_base), _start(container)
    announced, slack = _end(container, stream)
    ended, damaged = 0.0, 0
    try:
        for packet in container.demux(stream):
            try:
                # A packet known to be partial decodes to a smeared picture, which would be seen as motion.
                damage, frames = packet.is_corrupt, [] if packet.is_corrupt else packet.decode()
            except av.error.InvalidDataError:
                damage, frames = True, []
            if damage:
                damaged += 1
                counts.skip()
            for frame in frames:
                time = None if frame.pts is None else frame.pts * base - start
                if time is not None:
                    ended = max(ended, time + (frame.duration or 0) * base)
                yield to_shot(frame, time)
    except (av.error.FFmpegError, OSError) as error:
        counts.notes.append(f"reading stopped at {ended:.3f} s: {reason(error)}")
    finally:
        container.close()
    if damaged:
        counts.notes.append(f"{damaged} damaged frames could not be decoded and were skipped")
    if announced is not None and ended < announced - slack:
        counts.notes.append(f"the file was cut off: it ends at {ended:.3f} s of {announced:.3f} s")
