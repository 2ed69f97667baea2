"""Brings a face to a fixed pose, the aligned face. ``detect`` gives its landmarks; ``motion`` measures its movement."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.face.regions import EYE_DISTANCE, EYES_CENTER, LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS, SIZE
from realtime_mer.records import Floats, Gray

Transform = NDArray[np.float64]  # (2, 3), maps picture px to aligned px


def similarity(points: Floats) -> Transform:
    """The similarity that puts the eyes' centers at their standard positions.

    points: float32 (K, 2) px, face mesh order. Returns float64 (2, 3). Raises ValueError when the eyes coincide.
    """
    right, left = eyes(points)
    across = left - right
    distance_squared = float(across @ across)
    if not distance_squared >= 1.0:
        raise ValueError("the eyes coincide")
    # rotation and scale that take the line between the eyes to a horizontal of EYE_DISTANCE
    a = EYE_DISTANCE * across[0] / distance_squared
    b = EYE_DISTANCE * across[1] / distance_squared
    rotation = np.array([[a, b], [-b, a]])
    center = (right + left) / 2
    return np.hstack([rotation, (np.array(EYES_CENTER) - rotation @ center)[:, None]])


def alignable(points: NDArray[np.floating]) -> bool:
    """Whether ``similarity`` accepts these landmarks (K, 2): all finite, the eyes at least a pixel apart."""
    right, left = eyes(points)
    return bool(np.isfinite(points).all() and np.hypot(*(left - right)) >= 1.0)


def eyes(points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The centers of the right and the left eye."""
    right, left = (points[list(corners)].mean(axis=0) for corners in (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS))
    return right.astype(np.float64), left.astype(np.float64)


def warp(gray: Gray, transform: Transform, size: int = SIZE) -> Gray:
    """The aligned face, uint8 (size, size): bilinear if it is enlarged, area-averaged first if it shrinks a lot.

    Averaging avoids aliasing of a large face, which flow would measure as motion.
    """
    scale = float(np.hypot(transform[0, 0], transform[0, 1]))
    shrink = int(0.75 / scale) if scale < 0.375 else 1
    if shrink > 1:
        return _warp_shrunk(gray, transform, size, shrink)
    return cv2.warpAffine(gray, transform, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _warp_shrunk(gray: Gray, transform: Transform, size: int, shrink: int) -> Gray:
    corners = apply(inverse(transform), np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64))
    height, width = gray.shape
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int) - shrink, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + shrink, (width, height))
    # integer multiples of the factor, on a fixed grid, so that a moving box does not shift the averaging cells
    x0, y0 = x0 - x0 % shrink, y0 - y0 % shrink
    x1, y1 = x0 + max((x1 - x0) // shrink, 1) * shrink, y0 + max((y1 - y0) // shrink, 1) * shrink
    patch = gray[y0:y1, x0:x1]
    if patch.size == 0:
        return cv2.warpAffine(gray, transform, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(
        patch, (max(patch.shape[1] // shrink, 1), max(patch.shape[0] // shrink, 1)), interpolation=cv2.INTER_AREA
    )
    # the center of small pixel i is at x0 + (i + 0.5) * shrink - 0.5 in the frame
    to_picture = np.array([[shrink, 0, x0 + (shrink - 1) / 2], [0, shrink, y0 + (shrink - 1) / 2]], np.float64)
    matrix = np.hstack([transform[:, :2] @ to_picture[:, :2], apply(transform, to_picture[:, 2][None])[0][:, None]])
    return cv2.warpAffine(small, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def inverse(transform: Transform) -> Transform:
    """The inverse map. In plain Python, because OpenCV's takes twice as long for so few numbers, and releases the
    interpreter lock."""
    (a, b, x), (c, d, y) = transform.tolist()
    area = a * d - b * c
    scale = 1 / area if area else 0.0  # as in OpenCV: a map of everything to a line has no inverse
    a, b, c, d = d * scale, -b * scale, -c * scale, a * scale
    return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]])


def apply(transform: Transform, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """``points`` (K, 2) moved by ``transform`` (2, 3); float64 (K, 2)."""
    return np.asarray(points, np.float64) @ transform[:, :2].T + transform[:, 2]
