"""Reads a few seconds in the middle of a recorded video, without reading everything before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import av.error

from realtime_mer.errors import SourceError
from realtime_mer.records import Frame
from realtime_mer.sources.file import open_file, starts_at, video_track
from realtime_mer.sources.picture import Upright, pixel_aspect, raw_frame

BACK_S: Final = (0.0, 1.0, 5.0, 30.0, float("inf"))  # before the wanted time, s
SLACK_S: Final = 1e-6  # rounding between the times of a log and those of a container


def read_window(path: Path, start: float, end: float) -> Iterator[Frame]:
    """The frames from ``start`` to ``end``, s, with the times of ``open_file``.

    Their indices count from 0. AVI, whose frames have no times, is read from its beginning. Raises SourceError when the
    video cannot be read.
    """
    if path.suffix.lower() == ".avi":
        with open_file(path) as source:
            for frame in source:
                if frame.time > end + SLACK_S:
                    return
                if frame.time >= start - SLACK_S:
                    yield frame
        return
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            yield from _frames(path, container, start, end)
    except (av.error.FFmpegError, OSError):
        raise SourceError(f"{path} is not a readable video") from None


def _frames(path: Path, container: av.container.InputContainer, start: float, end: float) -> Iterator[Frame]:
    stream = video_track(path, container)
    zero, base = starts_at(container), float(stream.time_base or 1)
    aspect, upright, index, last = pixel_aspect(stream.sample_aspect_ratio), Upright(), 0, -1.0
    for decoded in _from(container, stream, start + zero, base):
        if decoded.pts is None:
            continue
        time = decoded.pts * base - zero
        if time > end + SLACK_S:
            return
        if time < start - SLACK_S or time <= last:
            continue
        raw = raw_frame(decoded, time, upright(decoded), aspect, 0.0, False)
        yield Frame(index, time, raw.gray, raw.to_bgr)
        index, last = index + 1, time


def _from(
    container: av.container.InputContainer, stream: av.VideoStream, time: float, base: float
) -> Iterator[av.VideoFrame]:
    """The decoded frames from a key frame at or before ``time`` on, s of the container.

    Containers without an index (transport streams) are searched by estimate, which may end after the key frame: then
    further back, and finally from the beginning.
    """
    for margin in BACK_S:
        container.seek(int(max(0.0, time - margin) / base), stream=stream)
        frames = container.decode(stream)
        first = next(frames, None)
        if first is not None and ((first.pts is not None and first.pts * base <= time) or margin >= time):
            yield first
            yield from frames
            return
