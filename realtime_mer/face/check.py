"""Checks that the followed faces are where registration has them, with MediaPipe's light detector: a fifth of the cost
of landmarks.

It can only confirm. Anything that it does not confirm (a face that left, a new one, one that slipped or turned) goes to
the landmark detector, which decides. Small faces, and faces cut by the edge, are checked again at a larger scale.

Its points differ from the landmarks by 0.04 of the distance between the eyes in the median, and by 0.14 (eyes) to 0.2
(nose) in the worst tenth (472 frames of 17 videos of talking and acting faces).
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.assets import face_model
from realtime_mer.errors import ModelError
from realtime_mer.face.align import eyes
from realtime_mer.face.detect import import_mediapipe
from realtime_mer.face.quiet import native_log_dropped
from realtime_mer.records import Face, Frame, Gray

Check = Callable[[Frame, Sequence[Face]], bool]
Points = NDArray[np.float64]  # (3, 2) px: right eye, left eye, tip of the nose

NETWORK: Final = "face_detector.tflite"  # in the Face Landmarker file
SIDE: Final = 256  # px, longer side of the detector's input; it uses 128
NOSE: Final = 1  # of the face mesh
# Of the distance between the eyes: largest distance of a point from the carried landmarks, and of the three in the
# mean. The second is how far registration may slip before the landmark detector corrects it
# (``motion.follow.OFF_PLACE``).
POINT_OFF: Final = 0.3
MEAN_OFF: Final = 0.18
SCALE_OFF: Final = 0.25  # of the logarithm of the distance between the eyes
NEAR: Final = 1.5  # distances between the eyes; a face further from a known one is another
GRAY: Final = 128


class FaceCheck:
    """Confirms up to ``max_faces`` faces. Safe to call from any one thread at a time.

    model: the Face Landmarker file; None uses the one downloaded by `setup`. min_score: 0 to 1, of the detector. The
    first check loads the detector, in 20 ms. Raises ModelError when the model is missing.
    """

    def __init__(self, model: Path | None = None, *, max_faces: int = 2, min_score: float = 0.5) -> None:
        self._max_faces, self._min_score = max_faces, min_score
        self._file = face_model(model)
        self._mediapipe = import_mediapipe()
        self._detector: Any = None

    def check(self, frame: Frame, faces: Sequence[Face]) -> bool:
        """Whether ``frame`` shows exactly ``faces``, each at its points and with its orientation.

        Faces beyond ``max_faces`` do not count. False when in doubt. Raises ModelError when the detector cannot be
        loaded.
        """
        if self._detector is None:
            self._detector = self._load()
        whole = self._found(frame.gray, (0, 0, *frame.size))
        expected = [_known(face) for face in faces]
        room = len(faces) < self._max_faces
        if room and any(not any(_near(points, seen) for points in expected) for seen in whole):
            return False
        return all(
            any(_same(points, seen) for seen in whole)
            or any(_same(points, seen) for seen in self._found(frame.gray, _around(face)))
            for points, face in zip(expected, faces, strict=True)
        )

    def close(self) -> None:
        """Frees the graph and its threads; may be called again."""
        if self._detector is not None:
            self._detector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self) -> Any:
        tasks = self._mediapipe.tasks
        try:
            with zipfile.ZipFile(self._file) as parts:
                network = parts.read(NETWORK)
            options = tasks.vision.FaceDetectorOptions(
                base_options=tasks.BaseOptions(model_asset_buffer=network),
                running_mode=tasks.vision.RunningMode.IMAGE,
                min_detection_confidence=self._min_score,
            )
            with native_log_dropped():
                return tasks.vision.FaceDetector.create_from_options(options)
        except (KeyError, zipfile.BadZipFile, RuntimeError, ValueError, OSError) as error:
            raise ModelError(
                f"MediaPipe cannot load the face detector in {self._file} ({error}): run `realtime-mer doctor`"
            ) from error

    def _found(self, gray: Gray, part: tuple[int, int, int, int]) -> list[Points]:
        """The points of every face in a part of the frame: x0, y0, x1, y1 px, gray outside the frame."""
        x0, y0, x1, y1 = part
        height, width = gray.shape
        inside = gray[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        if not inside.size:
            return []
        scale = min(1.0, SIDE / max(x1 - x0, y1 - y0))
        size = max(1, round(inside.shape[1] * scale)), max(1, round(inside.shape[0] * scale))
        small = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
        left, top = round(max(-x0, 0) * scale), round(max(-y0, 0) * scale)
        right, bottom = round(max(x1 - width, 0) * scale), round(max(y1 - height, 0) * scale)
        if left or top or right or bottom:
            small = cv2.copyMakeBorder(small, top, bottom, left, right, cv2.BORDER_CONSTANT, value=GRAY)
        rgb = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=rgb)
        back = np.array([x1 - x0, y1 - y0]), np.array([x0, y0])
        return [
            np.array([(point.x, point.y) for point in seen.keypoints[:3]]) * back[0] + back[1]
            for seen in self._detector.detect(image).detections
        ]


def _around(face: Face) -> tuple[int, int, int, int]:
    """A square around the face that shows the whole head, as the detector expects: twice its box."""
    x0, y0, x1, y1 = face.box
    half = max(x1 - x0, y1 - y0)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return int(x - half), int(y - half), int(x + half), int(y + half)


def _known(face: Face) -> Points:
    return np.array([*eyes(face.points), face.points[NOSE]], np.float64)


def _near(points: Points, seen: Points) -> bool:
    """Whether it may be the same face, regardless of its exact position."""
    return bool(np.hypot(*(seen.mean(axis=0) - points.mean(axis=0))) < NEAR * _between(points))


def _same(points: Points, seen: Points) -> bool:
    between = _between(points)
    off = (seen - points) / between
    close = np.hypot(*off.T).max() <= POINT_OFF and np.hypot(*off.mean(axis=0)) <= MEAN_OFF
    return bool(close and abs(math.log(_between(seen) / between)) <= SCALE_OFF)


def _between(points: Points) -> float:
    """Distance between the eyes, px."""
    return max(float(np.hypot(*(points[1] - points[0]))), 1.0)
