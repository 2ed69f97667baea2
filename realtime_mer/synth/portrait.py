"""The public-domain portrait for synthetic recordings. It is not stored in the project."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from realtime_mer.errors import SourceError
from realtime_mer.face.detect import FaceDetector
from realtime_mer.records import Floats, Frame, Image

SIZE: Final = (640, 480)  # px
ZOOM: Final = 2.2  # puts the eyes 91 px apart, like someone in front of a webcam
CENTER: Final = (226.0, 122.0)  # px of the original image, between nose and eyes
# Enlarged skin has no detail finer than 2 px, so a little fixed grain replaces pores and lashes.
GRAIN: Final = 2.0  # gray levels, standard deviation


@lru_cache(maxsize=1)
def portrait() -> tuple[Image, Floats]:
    """An image, uint8 BGR (480, 640, 3), and its landmarks, float32 (478, 2) px. Read-only.

    The portrait of the astronaut Eileen Collins (NASA, public domain) that comes with scikit-image.
    Raises SourceError when scikit-image is not installed.
    """
    try:
        from skimage.data import astronaut
    except ImportError:
        raise SourceError("the demo portrait needs scikit-image: pip install 'realtime-mer[demo]'") from None
    picture = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR)
    shift = np.array(SIZE) / 2 - ZOOM * np.array(CENTER)
    matrix = np.array([[ZOOM, 0, shift[0]], [0, ZOOM, shift[1]]])
    image = cv2.warpAffine(picture, matrix, SIZE, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)
    grain = cv2.GaussianBlur(np.random.default_rng(0).standard_normal(SIZE[::-1]).astype(np.float32), (0, 0), 0.8)
    grain *= GRAIN / grain.std()
    image = cv2.add(image.astype(np.float32), cv2.merge([grain] * 3), dtype=cv2.CV_8U)
    image.setflags(write=False)
    points = _landmarks(image)
    points.setflags(write=False)
    return image, points


def _landmarks(image: Image) -> Floats:
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    with FaceDetector(max_faces=1) as detector:
        found = detector.detect(Frame(0, 0.0, gray, lambda: image))
    if not found:
        raise SourceError("no face was found in the demo portrait: run `realtime-mer doctor` to check the face model")
    return found[0].points.copy()
