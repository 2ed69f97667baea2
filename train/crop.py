"""Face crops as the papers define them, from a detected face. Pure geometry; faces are detected in
``realtime_mer.face``.

The papers used MTCNN (Ab Razak), an SSD (Ibrahim), dlib (Hata) and active appearance models (Peng); here all use
MediaPipe's 478 points, so that differences between papers are not differences between detectors.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np

from realtime_mer.face.regions import LEFT_EYE_CORNERS, REGIONS, RIGHT_EYE_CORNERS
from realtime_mer.records import Face, Image

# Half side of a region of interest, as a fraction of the distance between the eyes' centers; adjacent lip corners just
# touch.
REGION_HALF: Final = 0.3


def face(image: Image, found: Face) -> Image:
    """The box of the landmarks."""
    return _cut(image, found.box)


def by_eyes(image: Image, found: Face) -> Image:
    """Rotated around the image center until the eyes are level, then cropped at the box found *before* rotating.

    Ab Razak & Sahran 2023, eq. 2 and the text after it.
    """
    right = found.points[list(RIGHT_EYE_CORNERS)].mean(axis=0)
    left = found.points[list(LEFT_EYE_CORNERS)].mean(axis=0)
    # Their atan(dy / dx) is this angle for any face that is not upside down.
    angle = math.degrees(math.atan2(float(left[1] - right[1]), float(left[0] - right[0])))
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    level = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _cut(level, found.box)


def regions(image: Image, found: Face) -> Image:
    """The face's box with everything but the 15 regions black.

    Hata et al. 2025 do not say how the 15 regions enter the network; here they keep their places in the image.
    """
    right = found.points[list(RIGHT_EYE_CORNERS)].mean(axis=0)
    left = found.points[list(LEFT_EYE_CORNERS)].mean(axis=0)
    half = REGION_HALF * float(np.linalg.norm(left - right))
    mask = np.zeros(image.shape[:2], np.uint8)
    for region in REGIONS:
        x, y = found.points[list(region.points)].mean(axis=0)
        corner, opposite = (
            (round(float(x - half)), round(float(y - half))),
            (round(float(x + half)), round(float(y + half))),
        )
        cv2.rectangle(mask, corner, opposite, 255, thickness=-1)
    return _cut(cv2.bitwise_and(image, image, mask=mask), found.box)


CROPS: Final = {"face": face, "eyes": by_eyes, "regions": regions}


def _cut(image: Image, box: tuple[float, float, float, float]) -> Image:
    x0, y0, x1, y1 = (round(v) for v in box)
    return image[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)]
