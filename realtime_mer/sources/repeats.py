"""Detects frames that repeat the previous one: a camera that doubles frames in low light, a file that stores 8 frames/s
as 60. Such frames show no new moment, so only the others count for the rate."""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np

from realtime_mer.records import Gray

# After compression, repeated frames are not identical: in H.264 the first copies still refine the image, by a hundredth
# to a thirtieth of the change of a new frame, and later ones change nothing. A face at rest, filmed without noise, also
# changes little from frame to frame, but equally little in all of them.
MOST = 6  # gray levels by which any pixel of a repeated frame may differ
SAME = 0.02  # gray levels, the mean difference below which a frame shows nothing new, whatever came before
COPY = 1 / 25  # of the largest mean difference of late: below this a frame refines the one before ...
COPY_MOST = 0.07  # ... but not above this, gray levels
LATE_FRAMES = 16  # frames over which the largest difference is taken; enough for 4 frames/s stored as 60
SAMPLE_PX = 2000  # compared first, in 10 us: nearly every new frame differs in them


class Repeats:
    """``seen`` each frame in turn."""

    def __init__(self) -> None:
        self._last: tuple[Gray, Gray] | None = None  # the frame before, and its sample
        self._late: deque[float] = deque([0.0], maxlen=LATE_FRAMES)  # mean differences, gray levels

    def seen(self, gray: Gray) -> bool:
        """Whether ``gray``, uint8 (H, W), shows the same as the frame before it."""
        step = max(1, math.isqrt(gray.size // SAMPLE_PX))
        sample = np.ascontiguousarray(gray[::step, ::step])
        before, self._last = self._last, (gray, sample)
        if before is None or before[0].shape != gray.shape:
            return False
        part = cv2.absdiff(sample, before[1])
        mean = cv2.mean(part)[0]
        limit = min(max(SAME, COPY * max(self._late)), COPY_MOST)
        self._late.append(mean)
        if mean > 2 * limit or cv2.norm(part, cv2.NORM_INF) > MOST:
            return False
        apart = cv2.absdiff(gray, before[0])
        return cv2.mean(apart)[0] <= limit and cv2.norm(apart, cv2.NORM_INF) <= MOST
