"""Recorded video through PyAV: opening, metadata, and completeness. Frames come from ``decode``, times from ``clock``,
images from ``picture``. Streams are in ``rtsp`` and ``mjpeg``."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path
from statistics import median

import av
import av.error
from av.stream import Disposition

from realtime_mer.errors import SourceError
from realtime_mer.records import SourceInfo
from realtime_mer.sources.clock import NO_TIME, FileClock, Timed, at_rate
from realtime_mer.sources.decode import Pictures, Slots, deinterlaced, pictures
from realtime_mer.sources.feed import Counts, Feed, RawFrames, Source
from realtime_mer.sources.picture import STRICT, Keyframes, Upright, pixel_aspect, raw_frame

# One decoder thread takes the least CPU time (H.264 640x480: 4,400 frames/s per core, with two frame threads 3,000),
# and the pipeline needs the other cores. Above this size one core may not keep up, so libav may use all of them.
ONE_THREAD_PX = 1280 * 720
CUT_FRAMES = 3  # a track that ends this many frames before its stated end was cut off ...
CUT_LEAST_S = 0.05  # ... but not by less than this, s, because some files state a nominal rate far above the real one
CUT_S = 0.5  # the same, s, if only the file as a whole states its end
USUAL_FPS = 250.0  # a stated rate above this is checked against the frames' times: it may be a clock's
MOST_FPS = 5000.0  # more than any camera for faces delivers
USUAL_FRAMES = 64  # frames checked for that
TEXT_BYTES = 4096  # bytes checked to see whether a file is text


def reason(error: Exception) -> str:
    """libav's error message, without number and address."""
    return str(getattr(error, "strerror", None) or error)


def open_file(path: Path, rate: float | None = None) -> Source:
    """Open a recorded video. rate: frames/s at which it was captured, if the file says something else.

    Times are pts times time base, from the start of the container, and only go forward: where they restart, the frame
    has a hole before it. Frames that cannot be decoded or have no time are skipped and counted with their reason;
    problems of the file, such as an early end, are in ``stats().notes``. Raises SourceError when there is no usable
    frame.
    """
    if not path.exists():
        raise SourceError(f"no such file: {path}")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{path} is empty (0 bytes)")
    if rate is not None and not 0 < rate < float("inf"):
        raise SourceError(f"the frame rate of {path} must be a positive number, not {rate}")
    try:
        # Without "file:", a name such as 10:30.mp4 would be an address. Tags in an odd encoding do no harm.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except PermissionError:
        raise SourceError(f"no permission to read {path}") from None
    except (av.error.FFmpegError, OSError):
        what = (
            "is text, not a video" if _text(path) else "is not a readable video: no video at all, damaged, or cut off"
        )
        raise SourceError(f"{path} {what}") from None
    try:
        return _open_track(path, container, rate)
    except BaseException:
        container.close()
        raise


def _text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(TEXT_BYTES)
        return not set(start.decode("utf-8")) & {chr(code) for code in (*range(9), *range(14, 32))}
    except (OSError, UnicodeDecodeError):
        return False


def video_track(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    """The video track of the file. If there is none, raises SourceError with what the file is."""
    cover = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
    videos = [stream for stream in container.streams.video if stream not in cover]
    if container.format.name == "tty":  # libav renders text files as images of a terminal
        raise SourceError(f"{path} is text, not a video")
    if videos:
        return videos[0]
    if container.streams.audio:
        raise SourceError(f"{path} is an audio file{' with a cover picture' if cover else ''}: it has no video track")
    raise SourceError(f"{path} has no video track{': it is text, not a video' if _text(path) else ''}")


def _open_track(path: Path, container: av.container.InputContainer, rate: float | None) -> Source:
    stream, counts = video_track(path, container), Counts()
    codec = stream.codec_context
    if codec is None:
        raise SourceError(f"{path}: its video codec is not supported; convert the file to H.264")
    codec.thread_count = 1 if codec.width * codec.height <= ONE_THREAD_PX else 0
    codec.thread_type = "AUTO"
    codec.options = STRICT
    announced = _rate(path, stream)
    if announced > MOST_FPS and rate is None:
        counts.notes.append(f"the file's times give {announced:.6g} frames/s, which cannot be true: give --rate")
    raw_frames = _raw_frames(container, stream, counts, announced, rate)
    first = next(raw_frames, None)
    if first is None:
        untimed = "its frames have no timestamps: specify their rate (--rate)"
        raise SourceError(f"{path}: {untimed if NO_TIME in counts.reasons else 'no frame can be decoded'}")
    if rate is not None:
        says = f"the file states {announced:g}" if announced else "the file states none"
        counts.notes.append(f"times follow from the rate given, {rate:g} frames/s; {says}")
    height, width = first.gray.shape
    info = SourceInfo(
        uri=str(path),
        kind="file",
        live=False,
        size=(width, height),
        rate=rate or announced,
        clock="container" if rate is None else "given",
        frames=stream.frames or None,
        duration=_end(container, stream)[0] if rate is None else stream.frames / rate or None,
        details=_details(container, stream, announced, rate),
    )
    return Feed(info, first, raw_frames, counts, threading.Event())


def _details(
    container: av.container.InputContainer, stream: av.VideoStream, announced: float, rate: float | None
) -> dict[str, str | float | None]:
    """Details of the file for the log, and of its times if the user gave a rate."""
    codec = stream.codec_context
    file = {
        "container": container.format.name,
        "codec": codec.name,
        "pixel_format": codec.pix_fmt,
        "start_s": starts_at(container),
    }
    given = {} if rate is None else {"rate": f"{rate:g} frames/s as given by the user", "container_rate": announced}
    return file | given


def _rate(path: Path, stream: av.VideoStream) -> float:
    """The nominal rate in frames/s, 0 when unknown. An implausible one is checked against the frames' times."""
    announced = float(stream.average_rate or 0)
    if 0 < announced <= USUAL_FPS:
        return announced
    times: list[float] = []
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as again:
            for packet in again.demux(again.streams[stream.index]):
                if packet.pts is not None and packet.time_base is not None:
                    times.append(float(packet.pts * packet.time_base))
                if len(times) == USUAL_FRAMES:
                    break
    except (av.error.FFmpegError, OSError):
        return 0.0
    times.sort()
    steps = [after - before for before, after in pairwise(times) if after > before]
    return 1 / median(steps) if steps else 0.0


def starts_at(container: av.container.InputContainer) -> float:
    """Start of the container's clock, s, from which players count (transport streams start anywhere)."""
    ticks: int = container.start_time or 0
    return max(0.0, ticks / int(av.time_base))


def _end(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[float | None, float]:
    """When the last frame of the video should end (s, None if unknown), and the tolerance (s)."""
    slack = max(float(CUT_FRAMES / stream.average_rate), CUT_LEAST_S) if stream.average_rate else CUT_S
    if stream.duration and stream.average_rate and stream.time_base:
        ticks = stream.duration + (stream.start_time or 0)
        return float(ticks * stream.time_base) - starts_at(container), slack
    # Matroska: end time of each track, on the container's own clock
    if told := re.fullmatch(r"(\d+):(\d\d):(\d\d\.?\d*)", stream.metadata.get("DURATION", "").strip("\0 ")):
        hours, minutes, seconds = told.groups()
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds) - starts_at(container), max(slack, CUT_LEAST_S)
    # the end of the file as a whole may be that of its audio
    if container.duration and len(container.streams) == 1:
        return container.duration / av.time_base - starts_at(container), CUT_S
    return None, CUT_S


def _raw_frames(
    container: av.container.InputContainer, stream: av.VideoStream, counts: Counts, announced: float, rate: float | None
) -> RawFrames:
    avi = container.format.name == "avi"
    slots = Slots() if avi else None
    start, base = starts_at(container), float(stream.time_base or 1)
    expected, slack = _end(container, stream)
    aspect = pixel_aspect(stream.sample_aspect_ratio)
    upright, keyframes, ended = Upright(), Keyframes(), 0.0

    def watched(shown: Pictures) -> Pictures:
        nonlocal ended
        for picture in shown:
            if picture.time is not None and picture.frame is not None:
                ended = max(ended, picture.time - start + (picture.frame.duration or 0) * base)
            yield picture

    shown = deinterlaced(watched(pictures(container, stream, counts, slots)), stream, counts)
    timed: Generator[Timed, None, None]
    timed = (
        FileClock(counts, start, 1 / (announced or 25.0)).run(shown) if rate is None else at_rate(shown, rate, counts)
    )
    try:
        for time, hole, frame in timed:
            yield raw_frame(frame, time, upright(frame), aspect, hole, keyframes.push(frame))
    except (av.error.FFmpegError, OSError) as error:
        counts.notes.append(f"reading stopped at {ended:.3f} s: {reason(error)}")
    finally:
        container.close()
    _tell(counts, slots, announced, aspect is not None)
    if expected is not None and ended < expected - slack:
        counts.notes.append(f"the file was cut off: it ends at {ended:.3f} s of {expected:.3f} s")


def _tell(counts: Counts, slots: Slots | None, rate: float, stretched: bool) -> None:
    """Adds further notes about the recording, once it has been read to its end."""
    if counts.reasons:
        why = ", ".join(f"{number} {reason}" for reason, number in counts.reasons.items())
        counts.notes.append(f"{counts.skipped} frames were skipped: {why}")
    if slots is not None and slots.reordered:
        counts.notes.append(
            "AVI numbers the frames of this video in decoding order: they are put in presentation order, with "
            f"times that follow from the rate of {rate:g} frames/s"
        )
    if stretched:
        counts.notes.append("the pixels are not square: frames were stretched to their true shape")
