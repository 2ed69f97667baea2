"""Follows the face of a clip as the runtime does: it is detected once, then registered frame by frame
(``motion.follow``).

No alignment is computed here. Networks are trained on the output of ``motion.flow.recognizer_input`` for the ring.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from realtime_mer.face.detect import FaceDetector
from realtime_mer.motion.follow import Follower, follow_clip
from realtime_mer.motion.ring import NEAR, SPAN, Ring
from realtime_mer.records import Face, Frame, Image
from train.datasets.reading import load_image
from train.records import Clip

_MARGIN: Final = 0.3  # border around a tight crop in which no face is found, as a fraction of its longer side
_NO_RATE: Final = "the frame rate is not known"


class Faces:
    """Finds the largest face of an image. The detector is opened for the first image, because that is slow."""

    def __init__(self) -> None:
        self._detector: FaceDetector | None = None

    def close(self) -> None:
        if self._detector is not None:
            self._detector.close()

    def find(self, image: Image) -> Face | None:
        """image: uint8 BGR (H, W, 3)."""
        if self._detector is None:
            self._detector = FaceDetector(max_faces=1)
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        found = self._detector.detect(Frame(0, 0.0, gray, lambda: image))
        return max(found, key=lambda f: (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]), default=None)

    def find_in_crop(self, image: Image) -> Face | None:
        """As ``find``, but tries again with the image's border extended, for faces that fill the image."""
        for margin in (0, int(_MARGIN * max(image.shape))):
            found = self.find(cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REPLICATE))
            if found is not None:
                x0, y0, x1, y1 = (side - margin for side in found.box)
                return replace(found, box=(x0, y0, x1, y1), points=found.points - np.float32(margin))
        return None


def follow(clip: Clip, faces: Faces, onset: int, last: int) -> Ring | str:
    """The aligned images from just before the onset until NEAR after position ``last``, or why there are none.

    The face is detected in the first frame that shows one, at the onset at the latest. A frame's time is its position /
    ``clip.fps``, in s.
    """
    if clip.fps <= 0:
        return _NO_RATE
    near = math.ceil(NEAR * clip.fps)
    first, end = max(onset - near, 0), min(last + near, len(clip.frames) - 1)
    if end - first > SPAN * clip.fps:
        return f"more than {SPAN} s from onset to apex"
    for position in range(first, onset + 1):
        face = faces.find_in_crop(load_image(clip.frames[position]))
        if face is not None:
            frames = _Frames(clip, position, end)
            ring = follow_clip(face, frames)
            return ring if frames.all_taken else "the face is lost between onset and apex"
    return "no face found at the onset"


def moved_most(clip: Clip, faces: Faces) -> int | str:
    """Position of the frame in which the two regions that moved most are furthest from the first frame, or why there is
    none.

    This is the runtime's measurement without the spotter's thresholds, because a clip that begins at its onset has no
    resting part from which to learn the noise.
    """
    face = faces.find_in_crop(load_image(clip.frames[0]))
    if face is None or clip.fps <= 0:
        return "no face found" if face is None else _NO_RATE
    follower, levels = None, []
    for frame in _Frames(clip, 0, len(clip.frames) - 1):
        follower = follower or Follower(face, frame)
        moved = np.linalg.norm(follower.step(frame).displacement, axis=1)
        levels.append(float(np.sort(moved)[-2:].mean()))
    return int(np.argmax(levels))


class _Frames:
    """The frames of a clip from position ``first`` to ``last``. all_taken: whether all of them have been used."""

    def __init__(self, clip: Clip, first: int, last: int) -> None:
        self._clip, self._positions, self.all_taken = clip, range(first, last + 1), False

    def __iter__(self) -> Iterator[Frame]:
        for position in self._positions:
            yield Frame(position, position / self._clip.fps, load_image(self._clip.frames[position], gray=True))
        self.all_taken = True
