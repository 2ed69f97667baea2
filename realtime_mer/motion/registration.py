"""Measures, in every frame, the displacement of the regions of an aligned face against an anchor image of the same
face.

Each region is registered to the anchor by one Gauss-Newton step of weighted Lucas-Kanade with a gain and a bias (Baker
& Matthews 2004, inverse compositional), starting from the previous frame's result. The anchor's gradients never change,
so a step is one small matrix product. On CASME II at 128 px this has half the noise of pyramidal Lucas-Kanade and a
quarter of that of DIS flow, at a third of the cost (docs/spotting.md). Thresholds and decisions are in ``spotting``.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.face.align import Transform, apply
from realtime_mer.face.regions import REGIONS
from realtime_mer.motion.affine import AffineFit, median
from realtime_mer.records import Floats, Gray

HALF: Final = 12  # px, half side of a region's patch
SIGMA: Final = 6.0  # px, Gaussian weight inside a patch: about the width of a lip corner at this size
BLUR: Final = 1.5  # px, smoothing before gradients: makes one linear step valid for about 2 px
RIDGE: Final = 1.0  # gray levels squared per px squared: least contrast of a usable patch
REACH: Final = 10.0  # px: a region displaced further is outside its patch
STEPS: Final = 4  # Gauss-Newton steps at most; at 100 frames/s and more one is enough
SETTLED: Final = 0.15  # px: a step shorter than this ends the iteration
# px squared over which the noise of a smoothed image is correlated. White noise smoothed with BLUR has an
# autocorrelation of 4 pi BLUR^2, of which the gradients respond to 0.6 (measured with white noise).
GRAIN: Final = 0.6 * 4 * math.pi * BLUR**2
_KERNEL: Final = cv2.getGaussianKernel(13, BLUR, cv2.CV_32F)  # reaches 4 sigma: wider changes nothing

# Points that expressions move least; they anchor the fit of the head's motion.
STEADY: Final = (168, 6, 197, 195, 33, 133, 263, 362, 4, 127, 356, 9, 151, 10)
# Weight of each point in the fit of the head's motion. All regions count, because a fit on the steady points alone
# would be extrapolated to mouth and chin, which doubles the error of a turning head there. A region that moves by
# itself deviates from the fit and loses its weight. Lids never count.
TRUST: Final = np.array([0.0 if region.eye else 0.5 for region in REGIONS] + [1.0] * len(STEADY))

# Eye patches, half width and half height in aligned px: the opening between the lids.
EYE_HALF: Final = (11, 6)
FLAT: Final = 10.0  # gray levels: length of a patch's contrast below which it is only rounding
RIGHT_EYE: Final = (33, 133, 159, 145)
LEFT_EYE: Final = (263, 362, 386, 374)


class Registered(NamedTuple):
    """A face registered to its anchor.

    displacement: float32 (R, 2) px, head motion removed. head: float64 (2, 3), maps anchor px to the current positions
    of the steady points. noise: float32 (R,) px, standard deviation per axis of the displacement: the Cramer-Rao bound
    of the patch (its gradients) for the residual in this frame. eyes: correlation of the eyes with the anchor's, 1 =
    unchanged. fit: share of the anchor's contrast that is explained, median over the points, 1 = perfect, <= 0 = a
    different image.
    """

    displacement: Floats
    noise: Floats
    head: Transform
    eyes: float
    fit: float


class Meter:
    """Registers one face's regions to its anchor. ``anchor`` first, then ``measure`` once per frame."""

    def __init__(self) -> None:
        side = np.arange(-HALF, HALF + 1, dtype=np.float32)
        self._dy, self._dx = (grid.ravel() for grid in np.meshgrid(side, side, indexing="ij"))
        weight = np.exp(-(self._dx**2 + self._dy**2) / (2 * SIGMA**2)).astype(np.float32)
        self._weight = weight / weight.sum()
        shape = len(REGIONS) + len(STEADY), len(weight)
        # Reused for every frame, because allocating them takes as long as filling them.
        self._at_x, self._at_y, self._patch, self._square = (np.empty(shape, np.float32) for _ in range(4))
        self._shift: Floats  # (K, 2) px, latest position of each point relative to the anchor
        self._rigid: Floats  # (K, 2) px, the part of it that is the head's motion

    def anchor(self, gray: Gray, points: NDArray[np.floating]) -> None:
        """Takes ``gray`` uint8 (S, S) as the anchor; ``points`` (478, 2) are its landmarks in aligned px."""
        centers = [points[list(region.points)].mean(axis=0) for region in REGIONS]
        centers += [points[i] for i in STEADY]
        self._centers = np.asarray(centers, np.float32)
        smooth = _smooth(gray)
        self._x = self._centers[:, :1] + self._dx
        self._y = self._centers[:, 1:] + self._dy
        self._template = _sample(smooth, self._x, self._y)
        gx = _sample(cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8), self._x, self._y)
        gy = _sample(cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8), self._x, self._y)
        centered = self._template - self._template.mean(axis=1, keepdims=True)
        jacobian = np.stack([gx, gy, np.ones_like(gx), centered], axis=1)  # (K, 4, n): shift, bias, gain
        weighted = jacobian * self._weight
        normal = weighted @ jacobian.transpose(0, 2, 1)
        normal[:, [0, 1, 3], [0, 1, 3]] += RIDGE
        solve = np.linalg.solve(normal, weighted)[:, :2]
        # px of displacement per gray level of noise that is constant over GRAIN
        self._unsure = np.sqrt(GRAIN * (solve**2).sum(axis=(1, 2)) / 2).astype(np.float32)[: len(REGIONS)]
        mean = np.broadcast_to(self._weight, (len(solve), 1, len(self._weight)))
        # rows: the step in x and y, the weighted and the plain mean of the difference
        self._answers = np.concatenate(
            [solve, mean, np.full_like(mean, 1 / len(self._weight))], axis=1, dtype=np.float32
        )
        self._contrast = np.sqrt(centered**2 @ self._weight) + 1.0
        self._shift = np.zeros_like(self._centers)
        self._head = AffineFit(self._centers, TRUST)
        self._eyes = [points[list(eye)].mean(axis=0).tolist() for eye in (RIGHT_EYE, LEFT_EYE)]
        self._eye_template = [_normal(_eye(gray, eye)) for eye in self._eyes]

    def measure(self, gray: Gray) -> Registered:
        """Measures ``gray`` uint8 (S, S) against the anchor."""
        smooth, difference = _smooth(gray), self._patch
        for _ in range(STEPS):
            np.add(self._x, self._shift[:, :1], out=self._at_x)
            np.add(self._y, self._shift[:, 1:], out=self._at_y)
            _sample(smooth, self._at_x, self._at_y, self._patch)
            np.subtract(self._patch, self._template, out=difference)
            answers = np.matmul(self._answers, difference[:, :, None])[:, :, 0]
            self._shift -= answers[:, :2]
            np.clip(self._shift, -REACH, REACH, out=self._shift)
            if np.abs(answers[:, :2]).max() < SETTLED:
                break
        head = self._head.fit(self._shift)
        self._rigid = (apply(head, self._centers) - self._centers).astype(np.float32)
        displacement = (self._shift - self._rigid)[: len(REGIONS)]
        residual = self._residual(difference, answers[:, 2], answers[:, 3])
        fit = 1.0 - median(residual / self._contrast)
        noise = self._unsure * residual[: len(REGIONS)]
        return Registered(displacement, noise, head, self._openness(gray), fit)

    def follow(self) -> None:
        """Moves the starting points, because from now on the images are aligned so that the head motion just measured
        is undone."""
        self._shift -= self._rigid

    def restart(self) -> None:
        """The face was not found: the next search starts from the anchor's position, not from this result."""
        self._shift[:] = 0

    def _residual(self, difference: Floats, weighted_mean: Floats, mean: Floats) -> Floats:
        """Residual gray levels (K,) that the anchor does not explain: weighted, about the plain mean."""
        square = np.multiply(difference, difference, out=self._square) @ self._weight
        residual: Floats = np.sqrt(np.maximum(square - 2 * mean * weighted_mean + mean**2, 0))
        return residual

    def _openness(self, gray: Gray) -> float:
        """Mean correlation of the eye patches with the anchor's, whose mean is 0 and length 1."""
        total = 0.0
        for eye, kept in zip(self._eyes, self._eye_template, strict=True):
            values = _eye(gray, eye)
            spread = float(np.vdot(values, values)) - float(values.sum()) ** 2 / values.size
            total += float(np.vdot(values, kept)) / math.sqrt(max(spread, FLAT**2))
        return total / len(self._eyes)


def _smooth(gray: Gray) -> Floats:
    return cv2.sepFilter2D(gray, cv2.CV_32F, _KERNEL, _KERNEL)


def _sample(image: Floats, x: Floats, y: Floats, out: Floats | None = None) -> Floats:
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, out, cv2.BORDER_REPLICATE)


def _eye(gray: Gray, center: tuple[float, float]) -> Floats:
    size = 2 * EYE_HALF[0] + 1, 2 * EYE_HALF[1] + 1
    return cv2.getRectSubPix(gray, size, center, patchType=cv2.CV_32F)


def _normal(values: Floats) -> Floats:
    values = values - values.mean()
    return values / max(float(np.linalg.norm(values)), FLAT)
