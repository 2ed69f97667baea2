"""Slow motion of a short part of a video, with the movement of the face magnified on request.

Magnification is Lagrangian (Liu et al. 2005): the recognizer's own flow measures the motion of the skin since a still
moment, without the head's motion; the motion is multiplied, and the frame is warped by the difference. So it shows what
was measured, in the regions that were reported, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from realtime_mer.errors import SourceError
from realtime_mer.face.align import apply, similarity, warp
from realtime_mer.face.detect import FaceDetector
from realtime_mer.face.regions import REGIONS, SIZE
from realtime_mer.motion.flow import oval, skin_flow
from realtime_mer.records import Face, Floats, Frame, Gray, Image
from realtime_mer.sinks.video import VideoFile
from realtime_mer.sources.window import read_window

WIDTH: Final = 640  # px: wider frames are scaled down
REACH: Final = 14.0  # px of the aligned face: standard deviation of the spot around a magnified region
SMOOTH: Final = 1.2  # px: Gaussian on the flow, whose noise would also be magnified
TRIALS: Final = 4  # of the gain
MOST_GAIN: Final = 3.0  # times the factor; flow that shows less than a third of a movement is noise
ROUNDS: Final = 6  # of tracing a magnified movement back to its origin


def slow_motion(
    media: Path,
    out: Path,
    start: float,
    end: float,
    *,
    slow: float = 8.0,
    magnify: float = 1.0,
    still: float | None = None,
    regions: Sequence[str] = (),
) -> None:
    """Writes the frames of ``media`` from ``start`` to ``end``, s, ``slow`` times slower.

    magnify: factor for the movement since ``still`` (s; by default ``start``); 1 leaves the frames unchanged. regions:
    names of the magnified ones; by default the whole face. The video begins at ``start``, and frames keep their own
    times. Raises SourceError when nothing can be read, or no face is found to magnify; OutputError.
    """
    frames = list(read_window(media, start, end))
    if not frames:
        raise SourceError(f"{media.name} has no frames from {start:.2f} to {end:.2f} s")
    larger = (
        None
        if magnify <= 1
        else _Magnifier(frames, _nearest(frames, start if still is None else still), magnify, regions)
    )
    rate = (len(frames) - 1) / (frames[-1].time - frames[0].time) if len(frames) > 1 else 30.0
    part = out.with_name(f"part-{out.name}")
    file = VideoFile(part, rate / slow, crf=18)
    try:
        for frame in frames:
            image = frame.image if larger is None else larger(frame)
            if frame is frames[0] and frame.time > start:
                file.write(_fitting(image), 0.0)  # so that the video begins at ``start``, not at its first frame
            file.write(_fitting(image), (frame.time - start) * slow)
        file.write(_fitting(image), (frames[-1].time - start + 1 / rate) * slow)  # so that the last one is visible, too
    finally:
        file.close()
    part.replace(out)


class _Magnifier:
    """Magnifies the movement since ``still``.

    Flow underestimates the movement of a small spot (``motion.flow``), and so would its multiple. So the gain is found
    iteratively: where the movement is largest, the magnified frame is measured again, until it shows the requested
    factor.
    """

    def __init__(self, frames: Sequence[Frame], still: Frame, factor: float, regions: Sequence[str]) -> None:
        with FaceDetector(max_faces=1) as detector:
            faces = detector.detect(still)
        if not faces:
            raise SourceError("no face was found at the onset: the movement cannot be magnified")
        self._transform = similarity(faces[0].points)
        self._still = self._aligned(still)
        self._weight = _weight(faces[0], regions, self._transform)
        self._x, self._y = np.meshgrid(np.arange(SIZE, dtype=np.float32), np.arange(SIZE, dtype=np.float32))
        self._to_picture = np.linalg.inv(self._transform[:, :2]).astype(np.float32)
        pictures = [self._aligned(frame) for frame in frames]
        flows = [self._flow(picture) for picture in pictures]
        self._gain = self._found(*max(zip(flows, pictures, strict=True), key=lambda pair: _peak(pair[0])), factor)

    def __call__(self, frame: Frame) -> Image:
        flow = self._added(self._flow(self._aligned(frame)), self._gain)
        height, width = frame.gray.shape
        shift = cv2.warpAffine(
            flow @ self._to_picture.T, self._transform, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        moved = cv2.remap(
            frame.image, x - shift[..., 0], y - shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(moved, np.uint8)

    def _aligned(self, frame: Frame) -> Gray:
        return warp(frame.gray, self._transform)

    def _flow(self, picture: Gray) -> Floats:
        """The motion in the regions since ``still``, float32 (SIZE, SIZE, 2) px."""
        flow: Floats = cv2.GaussianBlur(skin_flow(self._still, picture), (0, 0), SMOOTH) * self._weight[..., None]
        return flow

    def _added(self, flow: Floats, gain: float) -> Floats:
        """The origin of each pixel of the magnified frame: ``flow`` times ``gain``, followed backwards."""
        added = flow = flow * gain
        for _ in range(ROUNDS):
            flow = cv2.remap(added, self._x - flow[..., 0], self._y - flow[..., 1], cv2.INTER_LINEAR)
        return flow

    def _found(self, flow: Floats, picture: Gray, factor: float) -> float:
        """The gain at which the measured peak of the movement is ``factor`` times the original."""
        gain, plain = factor - 1, _peak(flow)
        for _ in range(TRIALS):
            shift = self._added(flow, gain)
            seen = cv2.remap(picture, self._x - shift[..., 0], self._y - shift[..., 1], cv2.INTER_LINEAR)
            more = _peak(self._flow(np.asarray(seen, np.uint8))) - plain
            if more <= 0:
                return gain  # there is no measurable motion
            gain = float(np.clip(gain * (factor - 1) * plain / more, 0.5 * (factor - 1), MOST_GAIN * (factor - 1)))
        return gain


def _peak(flow: Floats) -> float:
    return float(np.hypot(flow[..., 0], flow[..., 1]).max())


def _weight(face: Face, regions: Sequence[str], transform: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Floats:
    """Weight of the magnification, float32 (SIZE, SIZE), 0 to 1: around the regions, inside the face."""
    places = [face.points[list(region.points)].mean(axis=0) for region in REGIONS if region.name in regions]
    if not places:
        return oval(SIZE)
    grid = np.arange(SIZE, dtype=np.float64)
    spots = [
        np.exp(-((grid[None, :] - x) ** 2 + (grid[:, None] - y) ** 2) / (2 * REACH**2))
        for x, y in apply(transform, np.asarray(places))
    ]
    return (np.max(spots, axis=0) * oval(SIZE)).astype(np.float32)


def _nearest(frames: Sequence[Frame], time: float) -> Frame:
    return min(frames, key=lambda frame: abs(frame.time - time))


def _fitting(image: Image) -> Image:
    height, width = image.shape[:2]
    if width <= WIDTH:
        return image
    size = (WIDTH, round(height * WIDTH / width))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
