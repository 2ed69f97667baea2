"""Writes frames to a video file with their own times, and their ground truth beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from realtime_mer.errors import ConfigError, OutputError
from realtime_mer.records import Frame
from realtime_mer.synth.script import Truth
from realtime_mer.typed import convert, from_json

TICK: Final = Fraction(1, 90_000)  # MPEG's usual clock, 11 us; fine enough for any frame time
# codec -> encoder, pixel format
CODECS: Final[dict[str, tuple[str, str]]] = {
    "h264": ("libx264", "yuv420p"),
    "mjpeg": ("mjpeg", "yuvj420p"),
    "ffv1": ("ffv1", "bgr0"),  # lossless
    "y4m": ("wrapped_avframe", "yuv420p"),  # raw, for a browser's fake camera; constant rate only
}


def write_video(
    frames: Iterable[Frame], path: Path, codec: str = "h264", quality: int = 18, rate: float = 0.0, threads: int = 2
) -> int:
    """Writes ``frames`` to ``path`` and returns their number; each keeps its own time, rounded to 1/90000 s.

    codec: "h264", "mjpeg", "ffv1" (lossless) or "y4m" (raw; frames get the constant ``rate`` instead of their times).
    quality: of h264 the CRF, 0 (best) to 51; of mjpeg the quantizer, 2 (best) to 31; the others ignore it. rate:
    frames/s stated in the file; 0: that of the first two frames. .mkv, .mp4 and .mov can hold any times; .avi and
    .mjpeg cannot. Raises ConfigError for an unknown codec, OutputError when nothing can be written or there are no
    frames.
    """
    if codec not in CODECS:
        raise ConfigError(f"unknown codec {codec!r}: choose from {', '.join(CODECS)}")
    source = iter(frames)
    ahead = list(islice(source, 2))
    if not ahead:
        raise OutputError(f"{path}: there are no frames to write")
    nominal = rate or (1 / (ahead[1].time - ahead[0].time) if len(ahead) > 1 else 25.0)
    form = "yuv4mpegpipe" if codec == "y4m" else None
    # otherwise the start of an MP4 would be rounded to a millisecond
    options = {"movie_timescale": str(TICK.denominator)} if path.suffix.lower() in (".mp4", ".mov") else {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w", format=form, options=options) as container:
            stream = _stream(container, codec, quality, Fraction(nominal).limit_denominator(1001), ahead[0], threads)
            count = 0
            for frame in chain(ahead, source):
                _encode(container, stream, frame, count, codec)
                count += 1
            container.mux(stream.encode(None))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot write the video ({error})") from error
    return count


def _stream(container: Any, codec: str, quality: int, rate: Fraction, first: Frame, threads: int) -> Any:
    encoder, pixels = CODECS[codec]
    options = {
        "h264": {"crf": str(quality), "preset": "veryfast"},
        "mjpeg": {"qmin": str(quality), "qmax": str(quality)},
    }
    stream = container.add_stream(encoder, rate=rate, options=options.get(codec, {}))
    stream.width, stream.height = first.size
    stream.pix_fmt = pixels
    stream.codec_context.time_base = 1 / rate if codec == "y4m" else TICK
    stream.codec_context.thread_count = threads
    return stream


def _encode(container: Any, stream: Any, frame: Frame, number: int, codec: str) -> None:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.image), format="bgr24")
    picture = picture.reformat(format=stream.pix_fmt)
    if codec == "y4m":
        picture.pts, picture.time_base = number, stream.codec_context.time_base
    else:
        picture.pts, picture.time_base = round(frame.time / TICK), TICK
    container.mux(stream.encode(picture))


def write_truth(truth: Iterable[Truth], path: Path) -> None:
    """Writes ``truth`` as a JSON array, one object per event. Raises OutputError when the file cannot be written."""
    try:
        path.write_text(json.dumps([asdict(event) for event in truth], indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot write the ground truth ({error})") from error


def read_truth(path: Path) -> list[Truth]:
    """Reads what ``write_truth`` wrote. Raises OutputError when it is something else."""
    try:
        return convert(from_json(path.read_text(encoding="utf-8")), list[Truth])
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot read the ground truth ({error})") from error
