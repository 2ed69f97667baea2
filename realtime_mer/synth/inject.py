"""Puts known pulses into any real recording, for measurement. The face's own motion, noise and blinks are unchanged.

The pixels under a moving region are interpolated, so their noise is a little softer during the pulse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import cv2
import numpy as np

from realtime_mer.errors import SourceError
from realtime_mer.face.detect import FaceDetector
from realtime_mer.records import Face, Floats, Frame, Image
from realtime_mer.synth.movements import Pulse
from realtime_mer.synth.warp import Box, Doubles, affected_box, expression, field

STEADY: Final = 0.12  # s: landmarks are smoothed with a Gaussian of this standard deviation, so that their jitter
# does not shake the pulse; head motion below about 1 Hz is followed without lag (local line, not local mean)
Track = Sequence[tuple[float, Floats | None]]  # (time s, landmarks px of the face or None) for every frame


def landmarks(frames: Iterable[Frame]) -> list[tuple[float, Floats | None]]:
    """Landmarks of the largest face in every frame: (time, float32 (478, 2) px, or None if there is no face).

    Raises ModelError when the face model is missing.
    """
    with FaceDetector() as detector:
        found = ((frame.time, detector.detect(frame)) for frame in frames)
        return [(time, max(faces, key=_width).points if faces else None) for time, faces in found]


def _width(face: Face) -> float:
    return face.box[2] - face.box[0]


class SteadyTrack:
    """Landmarks as a smooth function of time, from their jittering values per frame."""

    def __init__(self, track: Track) -> None:
        """Raises SourceError when no frame has a face."""
        seen = [(time, points) for time, points in track if points is not None]
        if not seen:
            raise SourceError("no face was tracked, so nothing can be injected: choose a recording with a face")
        self._times = np.array([time for time, _ in seen], np.float64)
        self._points = np.stack([points for _, points in seen])

    def at(self, time: float) -> Floats | None:
        """Landmarks at ``time``, float32 (478, 2) px: a line fitted through the neighbors; None without neighbors
        nearby."""
        first, last = np.searchsorted(self._times, (time - 3 * STEADY, time + 3 * STEADY))
        past = self._times[first:last] - time
        if not len(past) or np.abs(past).min() > STEADY:
            return None
        weights = np.exp(-0.5 * (past / STEADY) ** 2)
        weights /= weights.sum()
        mean = weights @ past
        spread = weights @ (past - mean) ** 2
        slope = (past - mean) / spread if spread > 0 else np.zeros_like(past)
        lines = weights * (1 - mean * slope)  # the fitted line's value at 0, as a weighted sum over the neighbors
        return np.asarray(np.tensordot(lines, self._points[first:last], 1), np.float32)


def inject(frames: Iterable[Frame], track: Track, pulses: Sequence[Pulse]) -> Iterator[Frame]:
    """The frames with ``pulses`` (times on the frames' own clock) drawn into the face of ``track``.

    Frames outside all pulses are unchanged. If the face was not seen within STEADY of a frame, nothing is drawn: avoid
    such places (``clear``). Raises SourceError when ``track`` has no face at all.
    """
    steady = SteadyTrack(track)
    for frame in frames:
        active = [(pulse, size) for pulse in pulses if (size := pulse.at(frame.time))]
        points = steady.at(frame.time) if active else None
        yield frame if points is None else _drawn(frame, points, active)


def clear(track: Track, pulses: Iterable[Pulse]) -> list[Pulse]:
    """The ``pulses`` during which every frame of ``track`` has a face."""
    return [
        pulse
        for pulse in pulses
        if all(points is not None for time, points in track if pulse.onset - STEADY <= time <= pulse.offset + STEADY)
        and track[0][0] <= pulse.onset
        and pulse.offset <= track[-1][0]
    ]


def _drawn(frame: Frame, points: Floats, active: list[tuple[Pulse, float]]) -> Frame:
    wanted: dict[str, Doubles] = {}
    for pulse, size in active:
        for region, *direction in pulse.movement.parts:
            wanted[region] = wanted.get(region, np.zeros(2)) + size * np.array(direction, np.float64)
    bumps = expression(points, wanted)
    box = affected_box(bumps, frame.size)
    if box[0] >= box[2] or box[1] >= box[3]:
        return frame
    dx, dy = field(bumps, box)
    map_x = np.arange(box[0], box[2], dtype=np.float32) - dx
    map_y = np.arange(box[1], box[3], dtype=np.float32)[:, None] - dy
    to_bgr: Callable[[], Image] | None = None
    if frame.to_bgr is not None:
        to_bgr = partial(_color, frame.to_bgr, box, map_x, map_y)
    return replace(frame, gray=_warped(frame.gray, box, map_x, map_y), to_bgr=to_bgr)


def _color(to_bgr: Callable[[], Image], box: Box, map_x: Floats, map_y: Floats) -> Image:
    return _warped(to_bgr(), box, map_x, map_y)


def _warped(picture: Image, box: Box, map_x: Floats, map_y: Floats) -> Image:
    x0, y0, x1, y1 = box
    result = picture.copy()
    result[y0:y1, x0:x1] = cv2.remap(picture, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return result
