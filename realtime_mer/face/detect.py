"""Finds faces and their landmarks in one frame, with MediaPipe's Face Landmarker. ``track`` decides who is who.

Uses the image mode, not the video mode. It takes the same time (9 ms per face, 1.5 ms without one, on a 2-core
machine), finds a face that jumped at once, while the video mode loses it for one call, needs no clock, and gives the
same answer for the same frame. Frames are not scaled down first: MediaPipe samples only what it needs, so that would
save nothing, and at half size the landmarks are off by 1.5 px.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self

import cv2
import numpy as np

from realtime_mer.assets import face_model
from realtime_mer.errors import ConfigError, ModelError
from realtime_mer.face.quiet import native_log_dropped
from realtime_mer.records import Face, Floats, Frame, Image

POINTS: Final = 478  # landmarks of MediaPipe's face mesh, with the irises

# Outer corners of the eyes, top of the forehead and chin: the axes of the head in MediaPipe's 3-D landmarks.
_RIGHT_EYE, _LEFT_EYE, _FOREHEAD, _CHIN = 33, 263, 10, 152
# Lean of the line from chin to forehead of people who face their camera, degrees: median over the first frames of the
# 255 CASME II clips (standard deviation 4.5).
_PITCH_FACING: Final = -9.0

_MOST_FACES: Final = 32  # each takes about 7 ms

# The detector gets the frame at 128 px and expects a whole head of medium size, so two more searches follow when it
# finds nothing. The first adds a gray border: of 85 CASME II crops cut by another 15 % on every side, 43 are found
# without it and 85 with it, and the landmarks are more accurate (black or replicated borders help less).
_BORDER: Final = 0.5  # width of the border, as a fraction of the longer side
_BORDERED_SIDE: Final = 640  # px: enough for a face that fills the frame, and copying large frames takes time
_GRAY: Final = (128, 128, 128)
# Then in overlapping squares, because faces below about 14 % of the longer side are missed.
_SQUARE_SHARE: Final = 0.5  # side of a square, as a fraction of the longer side: finds faces down to 7 %
_SMALLEST_SQUARE: Final = 480  # px: finds faces of 66 px; smaller ones cannot be measured
_SQUARE_OVERLAP: Final = 0.36  # fraction of a square: more than the largest face that the first search misses
_SAME_FACE: Final = 0.4  # intersection over union above which faces found in two squares are the same


class FaceDetector:
    """Detects up to ``max_faces`` faces. Safe to call from one thread at a time; MediaPipe computes in its own.

    model: the Face Landmarker file; None uses the one downloaded by `setup`.
    min_score: required of both MediaPipe's detector and its landmark network, 0 to 1.

    Raises ModelError when the model is missing, damaged or cannot be loaded, ConfigError on a value out of range.
    """

    def __init__(self, model: Path | None = None, *, max_faces: int = 2, min_score: float = 0.5) -> None:
        if not 1 <= max_faces <= _MOST_FACES:
            raise ConfigError(f"max_faces is {max_faces}: choose 1 to {_MOST_FACES}")
        if not 0 <= min_score <= 1:
            raise ConfigError(f"min_score is {min_score}: choose 0 to 1")
        self._max_faces = max_faces
        self._closed = False
        file = face_model(model)
        self._mediapipe = import_mediapipe()
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(file)),
            running_mode=tasks.vision.RunningMode.IMAGE,
            num_faces=max_faces,
            min_face_detection_confidence=min_score,
            min_face_presence_confidence=min_score,
        )
        try:
            with native_log_dropped():
                self._landmarker: Any = tasks.vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(
                f"MediaPipe cannot load the face model {file} ({error}): run `realtime-mer doctor`"
            ) from error

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """The faces in ``frame``; an empty tuple if there are none.

        ``points`` may be outside the frame if the face is cut; ``box`` is their extent within it. ``score`` is the
        share of the points inside the frame, because MediaPipe does not return its own confidences. Raises ValueError
        after ``close``.
        """
        if self._closed:  # MediaPipe itself would crash the process
            raise ValueError("detect() was called after close()")
        rgb = cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB)
        found = self._landmarks(rgb) or self._search_bordered(rgb) or self._search_squares(rgb)
        detections = (_detection(points, frame.size) for points in found)
        return tuple(detection for detection in detections if detection is not None)

    def close(self) -> None:
        """Frees the graph and its threads; may be called again."""
        self._closed = True
        self._landmarker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _landmarks(self, rgb: Image) -> list[Floats]:
        """Landmarks of each face, float32 (478, 3): x and y in px of ``rgb``, z in the same unit, increasing away from
        the camera."""
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))
        result = self._landmarker.detect(image)
        height, width = rgb.shape[:2]
        scale = np.array([width, height, width], np.float32)  # z is in units of the width
        return [np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale for face in result.face_landmarks]

    def _search_bordered(self, rgb: Image) -> list[Floats]:
        """Finds a face that fills the frame and is cut by its edges."""
        shrink = min(1.0, _BORDERED_SIDE / max(rgb.shape))
        size = max(1, round(rgb.shape[1] * shrink)), max(1, round(rgb.shape[0] * shrink))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        width = int(_BORDER * max(small.shape))
        bordered = cv2.copyMakeBorder(small, width, width, width, width, cv2.BORDER_CONSTANT, value=_GRAY)
        scale = np.array([rgb.shape[1] / small.shape[1], rgb.shape[0] / small.shape[0], 1 / shrink], np.float32)
        return [(points - np.array([width, width, 0], np.float32)) * scale for points in self._landmarks(bordered)]

    def _search_squares(self, rgb: Image) -> list[Floats]:
        """Finds small faces in a large frame."""
        found: list[Floats] = []
        for x, y, side in _squares(rgb.shape[1], rgb.shape[0]):
            for points in self._landmarks(rgb[y : y + side, x : x + side]):
                points[:, :2] += (x, y)
                if all(overlap(_extent(points), _extent(other)) < _SAME_FACE for other in found):
                    found.append(points)
            if len(found) >= self._max_faces:
                break
        return found[: self._max_faces]


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), 0 to 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def head_pose(points: Floats) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees, signs as in Face, from 3-D landmarks (478, 3) in px, y down, z away.

    The axes come from the landmarks, not from MediaPipe's facial transformation matrix, which assumes a 63 degree
    camera and gives 6 degrees of yaw and 8 of pitch to a face that is merely off center. Good enough to distinguish a
    turned head from a frontal one; not calibrated against a measured pose.
    """
    upright = points.astype(np.float64) * (1, -1, -1)  # y up, z towards the camera
    right = upright[_LEFT_EYE] - upright[_RIGHT_EYE]
    right /= np.linalg.norm(right) or 1.0
    forward = np.cross(right, upright[_FOREHEAD] - upright[_CHIN])
    forward /= np.linalg.norm(forward) or 1.0
    up = np.cross(forward, right)
    yaw = np.degrees(np.arctan2(forward[0], forward[2]))
    pitch = np.degrees(np.arcsin(np.clip(forward[1], -1, 1))) - _PITCH_FACING
    roll = -np.degrees(np.arctan2(right[1], up[1]))
    return float(yaw), float(pitch), float(roll)


def _detection(points: Floats, size: tuple[int, int]) -> Face | None:
    """The face, or None when it is entirely outside the frame."""
    x0, y0, x1, y1 = _extent(points)
    box = (max(x0, 0.0), max(y0, 0.0), min(x1, float(size[0])), min(y1, float(size[1])))
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    flat = np.ascontiguousarray(points[:, :2])
    flat.setflags(write=False)
    inside = float(np.mean(np.all((flat >= 0) & (flat < size), axis=1)))
    return Face(0, box, flat, inside, head_pose(points))


def _extent(points: Floats) -> tuple[float, float, float, float]:
    x0, y0 = points[:, :2].min(axis=0)
    x1, y1 = points[:, :2].max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _squares(width: int, height: int) -> Iterator[tuple[int, int, int]]:
    """x, y and side of the overlapping squares that cover a large frame; none for a small one."""
    side = max(int(max(width, height) * _SQUARE_SHARE), _SMALLEST_SQUARE)
    if side >= max(width, height):
        return
    step = side * (1 - _SQUARE_OVERLAP)
    columns = 1 + int(np.ceil(max(0, width - side) / step))
    rows = 1 + int(np.ceil(max(0, height - side) / step))
    for y in np.linspace(0, max(0, height - side), rows).astype(int):
        for x in np.linspace(0, max(0, width - side), columns).astype(int):
            yield int(x), int(y), side


def import_mediapipe() -> ModuleType:
    """Imports MediaPipe at first use, in 0.2 s.

    Its audio part would import sounddevice, which opens the machine's audio and takes a third of that time, but works
    without it.
    """
    unwanted = "sounddevice" not in sys.modules
    if unwanted:
        sys.modules["sounddevice"] = None  # type: ignore[assignment]
    try:
        import mediapipe
    except ImportError as error:
        raise ModelError(f"MediaPipe cannot be imported ({error}): run `pip install realtime-mer` again") from error
    finally:
        if unwanted:
            del sys.modules["sounddevice"]
    module: ModuleType = mediapipe
    return module
