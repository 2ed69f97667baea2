"""Folders of numbered images, as in published data sets. A folder has no times: the rate or the times are given."""

from __future__ import annotations

import re
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import SourceError
from realtime_mer.records import Image, SourceInfo
from realtime_mer.sources.feed import Counts, Feed, RawFrame, RawFrames, Source
from realtime_mer.sources.picture import jpeg_luma

JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"  # first bytes of their files
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"))


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts img9 before img10."""
    # decimal digits of any script; a superscript is a digit, but not a number
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name.lower()) if part
    ]


def missing(paths: Sequence[Path]) -> list[int]:
    """Numbers missing before each image: [0, 0, 2] for img1, img2, img5.

    None are missing if the names are not a sequence: if most steps are not equal, or one is not a multiple of these.
    """
    numbers = [[number for number, _ in natural(path) if number >= 0] for path in paths]
    if len(paths) < 3 or len({len(found) for found in numbers}) > 1 or not numbers[0]:
        return [0] * len(paths)
    last = [found[-1] for found in numbers]
    if any(found[:-1] != numbers[0][:-1] for found in numbers):
        return [0] * len(paths)
    steps = [after - before for before, after in pairwise(last)]
    usual, often = Counter(steps).most_common(1)[0]
    if 2 * often <= len(steps) or usual <= 0 or any(step <= 0 or step % usual for step in steps):
        return [0] * len(paths)
    return [0, *(step // usual - 1 for step in steps)]


def open_images(folder: Path, rate: float | None, times: Sequence[float] | None) -> Source:
    """Open a folder of images in natural order; give either ``rate`` (frames/s) or ``times`` (s, one for each image).

    An image that cannot be read is skipped and counted; it leaves a gap in time, and with a rate so does an image whose
    number is missing. Hidden files, and the ``._`` files of macOS, are ignored. Raises SourceError.
    """
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    paths = sorted((path for path in visible if path.suffix.lower() in SUFFIXES), key=natural)
    if not paths:
        raise SourceError(f"{folder} has no images ({', '.join(sorted(SUFFIXES))})")
    if (rate is None) == (times is None):
        raise SourceError(f"{folder} is a folder of images: give their frame rate (--rate) or their times")
    if rate is not None and not 0 < rate < float("inf"):
        raise SourceError(f"the frame rate of {folder} must be a positive number, not {rate}")
    gaps = missing(paths) if rate is not None else [0] * len(paths)
    places = (index + gap for index, gap in enumerate(accumulate(gaps)))
    when = [place / rate for place in places] if rate is not None else [float(time) for time in times or ()]
    if len(when) != len(paths):
        raise SourceError(f"{folder} has {len(paths)} images, but {len(when)} times were given")
    if not all(before < after for before, after in pairwise(when)):
        raise SourceError(f"the times given for {folder} must increase strictly")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # unreadable images are counted once
    counts = Counts()
    if sum(gaps):
        before = paths[next(index for index, gap in enumerate(gaps) if gap)].name
        counts.notes.append(
            f"{sum(gaps)} numbers are missing among the images, first before {before}: their time stays"
        )
    raw_frames = _raw_frames(paths, when, gaps, counts)
    first = next(raw_frames, None)
    if first is None:
        raise SourceError(f"{folder}: none of its {len(paths)} images can be read")
    height, width = first.gray.shape
    span = when[-1] - when[0]
    info = SourceInfo(
        uri=str(folder),
        kind="images",
        live=False,
        size=(width, height),
        rate=rate or ((len(when) - 1) / span if span else 0.0),
        clock="given",
        frames=len(paths),
        duration=span + 1 / rate if rate else span,
        details={"pixel_format": paths[0].suffix.lower().lstrip("."), "first": paths[0].name, "last": paths[-1].name},
    )
    return Feed(info, first, raw_frames, counts, threading.Event())


def decode(data: NDArray[np.uint8], flags: int) -> NDArray[np.uint8] | None:
    """The decoded image; None when it cannot be decoded completely. JPEG's luma is as stored."""
    content = data.tobytes()
    if content.startswith(JPEG) and flags == cv2.IMREAD_GRAYSCALE:
        try:
            return jpeg_luma(content)
        except NotImplementedError:
            pass
    elif content.startswith(PNG) and not _whole_png(content):
        return None
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error:  # no bytes at all
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _whole_png(content: bytes) -> bool:
    """Whether every chunk is present and undamaged; libpng would print to standard error."""
    at = len(PNG)
    while at + 12 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        end = at + 8 + size
        if end + 4 > len(content) or zlib.crc32(content[at + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            return False
        if kind == b"IEND":
            return True
        at = end + 4
    return False


def _read(path: Path, flags: int) -> NDArray[np.uint8] | None:
    try:
        return decode(np.fromfile(path, np.uint8), flags)
    except OSError:
        return None


def _color(path: Path) -> Image:
    image = _read(path, cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"{path} can no longer be read")
    return image


def _raw_frames(paths: list[Path], times: list[float], gaps: list[int], counts: Counts) -> RawFrames:
    unreadable, lost = [], 0
    for path, time, gap in zip(paths, times, gaps, strict=True):
        gray = _read(path, cv2.IMREAD_GRAYSCALE)
        lost += gap
        if gray is None:
            unreadable.append(path.name)
            counts.skip("damaged or unreadable")
        else:
            yield RawFrame(time, gray, partial(_color, path), lost=lost)
            lost = 0
    if unreadable:
        counts.notes.append(f"{len(unreadable)} images cannot be read and were skipped, the first is {unreadable[0]}")
