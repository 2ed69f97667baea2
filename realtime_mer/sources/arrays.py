"""Frames that the caller already has as numpy arrays. Files and devices are elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from functools import partial
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import SourceError
from realtime_mer.records import Frame, SourceInfo, SourceStats
from realtime_mer.sources.feed import Counts, Source


class ArraySource(Source):
    """A Source over arrays: uint8, gray (H, W) or BGR (H, W, 3), all of one size, with times in s that increase.

    Both arguments may be generators: then frames are taken as they are read, in the reader's own thread. The first
    frame is taken at once, to learn the size. Raises SourceError when there is none, or a frame or time is unfit.
    """

    def __init__(self, frames: Iterable[NDArray[np.uint8]], times: Iterable[float], uri: str = "array") -> None:
        count = len(frames) if isinstance(frames, Sized) else None
        rest = iter(frames)
        first = next(rest, None)
        if first is None:
            raise SourceError(f"{uri}: there are no frames")
        _check(first, uri)
        self._pairs = zip(chain((first,), rest), times, strict=True)
        self._counts, self._began, self._closed = Counts(), False, False
        self._info = SourceInfo(
            uri=uri,
            kind="array",
            live=False,
            size=(first.shape[1], first.shape[0]),
            rate=0.0,
            clock="given",
            frames=count,
            details={"pixel_format": "gray" if first.ndim == 2 else "bgr24"},
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def stats(self) -> SourceStats:
        return self._counts.stats()

    def close(self) -> None:
        self._closed = True

    def __iter__(self) -> Iterator[Frame]:
        if self._closed:
            raise SourceError(f"{self._info.uri} is closed: create a new source")
        if self._began:
            raise SourceError(f"{self._info.uri} can be read only once: create a new source")
        self._began = True
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        uri, last = self._info.uri, float("-inf")
        for index in range(1 << 62):
            try:
                array, time = next(self._pairs)
            except StopIteration:
                return
            except ValueError:  # zip(strict=True)
                raise SourceError(f"{uri}: there must be exactly one time for each frame") from None
            if self._closed:
                return
            _check(array, uri)
            if (array.shape[1], array.shape[0]) != self._info.size:
                raise SourceError(
                    f"{uri}: frame {index} is {array.shape[1]}x{array.shape[0]}, the first was another size"
                )
            if not last < time < float("inf"):
                raise SourceError(f"{uri}: times must increase strictly, but {time} follows {last}")
            last = float(time)
            self._counts.captured += 1
            self._counts.delivered += 1
            if array.ndim == 2:
                yield Frame(index, last, array)
            else:
                gray = np.asarray(cv2.cvtColor(array, cv2.COLOR_BGR2GRAY), np.uint8)
                yield Frame(index, last, gray, partial(_same, array))


def _same(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return array


def _check(array: NDArray[np.uint8], uri: str) -> None:
    fits = isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.size > 0
    if not fits or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise SourceError(f"{uri}: frames must be uint8 arrays (H, W) or (H, W, 3) BGR, not {what}")
