"""A live source at an exact rate: a recorded clip, decoded and delivered like a camera, with the time of each grab.

It uses the same thread, queue and counting as a camera; only the device is missing.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from realtime_mer.errors import ConfigError
from realtime_mer.records import Frame, SourceInfo, SourceStats
from realtime_mer.sources import open_source
from realtime_mer.sources.feed import Counts, Feed, RawFrames
from realtime_mer.sources.picture import Keyframes, Upright, raw_frame


class PacedSource:
    """A Source that plays ``video`` repeatedly at ``fps`` frames/s, in real time; capture times are monotonic.
    remember: record when each frame was played, 16 bytes per frame.

    lateness: seconds from when each frame was due to its stamp, which measures the sender itself. Raises ConfigError
    for a rate that is not positive, SourceError for an unreadable video.
    """

    def __init__(self, video: Path, fps: float, buffer_s: float = 1.0, *, remember: bool = True) -> None:
        if fps <= 0:
            raise ConfigError("the rate of a live source must be positive")
        self.lateness, self._remember = array("d"), remember
        self._played = array("d")  # capture times; the time in the clip, counted over its repetitions, follows
        self._length: float | None = None  # s from one repetition to the next, once known
        self._fps, self._stop = fps, threading.Event()
        with open_source(video) as recorded:  # refuses what is no video
            size = recorded.info.size
        raw_frames, counts = self._raw_frames(video), Counts()
        first = next(raw_frames)
        info = SourceInfo(f"{video.name} at {fps:g} frames/s", "array", True, size, fps, "monotonic")
        self._feed = Feed(info, first, raw_frames, counts, self._stop, buffer_s=buffer_s)

    @property
    def info(self) -> SourceInfo:
        return self._feed.info

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._feed)

    def stats(self) -> SourceStats:
        return self._feed.stats()

    def close(self) -> None:
        self._feed.close()

    def __enter__(self) -> PacedSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def captured(self, clip_time: float) -> list[float]:
        """The times on the capture clock at which ``clip_time`` (s in the clip) was played, one per repetition."""
        if not self._played:
            return []
        capture = np.array(self._played)
        clip = np.arange(len(capture)) / self._fps
        repetitions = 1 if self._length is None else int(clip[-1] / self._length) + 1
        wanted = [clip_time + number * (self._length or 0.0) for number in range(repetitions)]
        return [float(np.interp(t, clip, capture)) for t in wanted if clip[0] <= t <= clip[-1]]

    def _raw_frames(self, video: Path) -> RawFrames:
        start, index, upright, keyframes = time.monotonic(), 0, Upright(), Keyframes()
        while not self._stop.is_set():
            before = index
            with av.open(str(video)) as container:
                for picture in container.decode(video=0):
                    due = start + index / self._fps
                    if (early := due - time.monotonic()) > 0:
                        time.sleep(early)
                    now = time.monotonic()
                    if now - due > 1 / self._fps:  # a camera would have missed it; do not catch up in a burst
                        start += now - due
                    if self._remember:
                        self.lateness.append(now - due)
                        self._played.append(now)
                    index += 1
                    yield raw_frame(picture, now, upright(picture), keyframe=keyframes.push(picture))
                    if self._stop.is_set():
                        return
            self._length = (index - before) / self._fps
