"""Videos with the faults of real ones, made by taking the packets of a good encoder and spoiling them. Each picture
carries its number and some texture, so that what a damaged frame would leave behind can be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from source_media import picture

SIZE = (320, 240)
RATE = 100
Change = Callable[
    [int, bytes], bytes | None
]  # number of the packet and its content -> what is stored, None for nothing


def textured(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """As ``picture``, BGR, with waves that travel and sensor noise."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    waves = 40 * np.sin((x + 3 * number) / 9) + 40 * np.cos((y - 2 * number) / 7)
    noise = np.random.default_rng(number).integers(-6, 7, (height, width))
    image = picture(number, size)
    ground = height - height // 4  # the number stays readable
    image[:ground, :, 1] = np.clip(image[:ground, :, 1] + waves[:ground] + noise[:ground], 0, 255)
    return image


def encode(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: int = RATE,
    options: dict[str, str] | None = None,
    gop: int = 30,
    change: Change | None = None,
    first: int = 0,
    aspect: Fraction | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """A video of ``pictures`` at ``rate``. change: spoils the stored packets. first: time of the first, in frames."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = None
        stored = 0
        for number, image in enumerate([*pictures, None]):
            if stream is None:
                assert image is not None
                stream = container.add_stream(codec, rate=rate, options=options or {})
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt, stream.gop_size = pixel_format, gop
                if aspect is not None:
                    stream.codec_context.sample_aspect_ratio = aspect
            frame = None
            if image is not None:
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = first + number, Fraction(1, rate)
            for packet in stream.encode(frame):
                content = bytes(packet) if change is None else change(stored, bytes(packet))
                stored += 1
                if content is not None:
                    container.mux(packet if content == bytes(packet) else _like(packet, content))
    return path


def _like(packet: av.Packet, content: bytes) -> av.Packet:
    new = av.Packet(content)
    new.pts, new.dts, new.time_base, new.duration = packet.pts, packet.dts, packet.time_base, packet.duration
    new.is_keyframe, new.stream = packet.is_keyframe, packet.stream
    return new


def half(number: int, jpeg: bool = False) -> Change:
    """Stores the first half of packet ``number`` only; of a JPEG with its end marker."""
    end = b"\xff\xd9" if jpeg else b""
    return lambda at, content: content[: len(content) // 2] + end if at == number else content


def half_jpeg(number: int, size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG whose data are cut in the middle, with the end marker."""
    whole = cv2.imencode(".jpg", textured(number, size))[1].tobytes()
    return whole[: len(whole) // 2] + b"\xff\xd9"


def luma_error(gray: NDArray[np.uint8], number: int) -> float:
    """How much the upper part of ``gray`` differs from that of picture ``number``, gray levels on average.

    Video keeps luma in 16 to 235, JPEG in 0 to 255: the better of both.
    """
    rows = gray.shape[0] * 3 // 4
    drawn = cv2.cvtColor(textured(number, (gray.shape[1], gray.shape[0])), cv2.COLOR_BGR2GRAY)[:rows].astype(float)
    seen = gray[:rows].astype(float)
    return min(float(np.abs(seen - drawn).mean()), float(np.abs(seen - (16 + drawn * 219 / 255)).mean()))


def joined(path: Path, parts: Iterable[Path]) -> Path:
    """Transport streams one after the other, as ``cat`` joins them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path
