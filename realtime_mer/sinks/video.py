"""Annotated video: frames with overlays, at the source's own times. ``draw`` draws the overlays."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np

from realtime_mer.errors import OutputError
from realtime_mer.records import Frame, Image, Observation
from realtime_mer.sinks import Sink
from realtime_mer.sinks.draw import Overlay
from realtime_mer.sinks.place import new_file

TICKS: Final = 90_000  # per second: MPEG's clock, 11 us
KEYFRAME: Final = 1.0  # s between keyframes: what a killed process can lose, and how finely players seek
# A fragmented file needs no index at its end, so that a killed process leaves a file that plays.
_CONTAINERS: Final = {
    ".mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"},
    ".mkv": {"cluster_time_limit": "500", "flush_packets": "1"},
}


class VideoFile:
    """An H.264 file (.mp4 or .mkv) of images with their own times, starting with the first one.

    rate: approximate frames/s, only a hint to the encoder. preset, crf: x264's effort and quality. Raises OutputError
    when the file cannot be made or written.
    """

    def __init__(self, path: Path, rate: float, *, preset: str = "veryfast", crf: int = 21) -> None:
        if path.suffix.lower() not in _CONTAINERS:
            raise OutputError(f"cannot write {path}: the name of a video must end in {' or '.join(_CONTAINERS)}")
        if path.is_fifo():
            raise OutputError(f"cannot write {path}: a video needs a file, not a FIFO")
        new_file(path).close()
        self.path = path
        self._rate = rate if rate > 0 else 30.0
        self._options = {
            "preset": preset,
            "crf": str(crf),
            "g": str(max(1, round(self._rate * KEYFRAME))),
            # reordered frames would need an edit list, which a fragmented file lacks; all times would be shifted
            "bf": "0",
        }
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)
        self._first = 0.0
        self._last = -1
        self._error: OutputError | None = None  # after a failed write, all later ones fail

    def write(self, image: Image, time: float) -> None:
        """Adds an image, uint8 BGR (H, W, 3). Images of another size than the first are fitted in with black bars."""
        if self._error is not None:
            raise self._error
        try:
            if self._container is None:
                self._open(image, time)
            picture = av.VideoFrame.from_ndarray(_fitted(image, self._size), format="bgr24")
            # equal or decreasing times (a clock that was set) would be refused, so such an image follows one tick later
            self._last = max(round((time - self._first) * TICKS), self._last + 1)
            picture.pts, picture.time_base = self._last, Fraction(1, TICKS)
            self._container.mux(self._stream.encode(picture))
        except (OSError, ValueError) as error:  # av raises either
            raise self._failed(error) from None

    def close(self) -> None:
        container, self._container = self._container, None
        if container is None:
            return
        try:
            if self._error is None:
                container.mux(self._stream.encode(None))
            container.close()
        except (OSError, ValueError) as error:
            if self._error is None:  # otherwise it was already reported
                raise self._failed(error) from None

    def _open(self, image: Image, time: float) -> None:
        height, width = image.shape[:2]
        self._size = (width + width % 2, height + height % 2)  # H.264's color planes are halved
        self._first = time
        self._container = av.open(str(self.path), "w", options=_CONTAINERS[self.path.suffix.lower()])
        self._stream = self._container.add_stream("libx264", rate=Fraction(self._rate).limit_denominator(1001))
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = self._options
        self._stream.codec_context.time_base = self._stream.time_base = Fraction(1, TICKS)

    def _failed(self, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or error
        self._error = OutputError(f"writing {self.path} stopped ({reason}); everything before that plays")
        return self._error


class AnnotatedVideo(Sink):
    """Every frame with its face, motion, curve and events.

    max_rate: frames/s of source time to draw at most, 0 for all: drawing and encoding cost more than measuring.
    """

    def __init__(self, path: Path, rate: float, *, max_rate: float = 0.0) -> None:
        self._file = VideoFile(path, min(rate, max_rate) if rate and max_rate else rate or max_rate)
        self._overlay = Overlay()
        # a tenth of a frame of tolerance, so that 200 to 50 frames/s takes every fourth frame in spite of jitter
        self._interval = 0.9 / max_rate if max_rate else 0.0
        self._drawn = -np.inf

    def write(self, observation: Observation, frame: Frame) -> None:
        self._overlay.see(observation)
        if observation.time - self._drawn < self._interval:
            return
        self._drawn = observation.time
        self._file.write(self._overlay.draw(frame.image, observation), observation.time)

    def close(self) -> None:
        self._file.close()


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """The image centered on a canvas of ``size``, scaled down if needed; odd sizes get a repeated row or column."""
    width, height = size
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    scale = min(width / image.shape[1], height / image.shape[0], 1.0)
    if scale < 1.0:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:height, :width]
    x, y = width - image.shape[1], height - image.shape[0]
    border = cv2.BORDER_REPLICATE if max(x, y) == 1 else cv2.BORDER_CONSTANT
    left, top = (0, 0) if max(x, y) == 1 else (x // 2, y // 2)
    fitted: Image = cv2.copyMakeBorder(image, top, y - top, left, x - left, border)
    return fitted
