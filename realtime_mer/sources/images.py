"""Folders of numbered images, as data sets are published. A folder knows no times: the rate or the times are given."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import SourceError
from realtime_mer.records import Image, SourceInfo
from realtime_mer.sources.feed import Counts, Feed, Shot, Shots, Source

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"))


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts img9 before img10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name.lower()) if part]


def open_images(folder: Path, rate: float | None, times: Sequence[float] | None) -> Source:
    """Open a folder of images in natural order; give either ``rate`` (frames/s) or ``times`` (s, one for each image).

    An image that cannot be read is skipped and counted; its place in time stays empty. Raises SourceError.
    """
    paths = sorted((path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES), key=natural)
    if not paths:
        raise SourceError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    if (rate is None) == (times is None):
        raise SourceError(f"{folder} is a folder of images: give their frame rate (--rate) or their times")
    if rate is not None and not 0 < rate < float("inf"):
        raise SourceError(f"the frame rate of {folder} must be a positive number, not {rate}")
    when = [index / rate for index in range(len(paths))] if rate is not None else [float(time) for time in times or ()]
    if len(when) != len(paths):
        raise SourceError(f"{folder} holds {len(paths)} images, but {len(when)} times were given")
    if not all(before < after for before, after in pairwise(when)):
        raise SourceError(f"the times given for {folder} must increase strictly")
    counts = Counts()
    shots = _shots(paths, when, counts)
    first = next(shots, None)
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
        duration=len(paths) / rate if rate else span,
        details={"pixel_format": paths[0].suffix.lower().lstrip("."), "first": paths[0].name, "last": paths[-1].name},
    )
    return Feed(info, first, shots, counts, threading.Event())


def decode(data: NDArray[np.uint8], flags: int) -> NDArray[np.uint8] | None:
    """The picture in an encoded image, or None when it cannot be decoded. JPEG's luma comes as it was stored."""
    try:
        image = cv2.imdecode(data, flags)
    except cv2.error:  # no bytes at all
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _read(path: Path, flags: int) -> NDArray[np.uint8] | None:
    try:
        return decode(np.fromfile(path, np.uint8), flags)
    except OSError:
        return None


def _colour(path: Path) -> Image:
    image = _read(path, cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"{path} can no longer be read")
    return image


def _shots(paths: list[Path], times: list[float], counts: Counts) -> Shots:
    unreadable = []
    for path, time in zip(paths, times, strict=True):
        gray = _read(path, cv2.IMREAD_GRAYSCALE)
        if gray is None:
            unreadable.append(path.name)
            counts.skip()
        else:
            yield Shot(time, gray, partial(_colour, path))
    if unreadable:
        counts.notes.append(f"{len(unreadable)} images cannot be read and were skipped, the first is {unreadable[0]}")
