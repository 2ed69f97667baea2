"""Measures the skin motion in a short real clip, which ``transplant`` puts into another face.

The flow is a coarse-to-fine variational one (Brox et al. 2004; OpenCV's ``VariationalRefinement`` started from zero):
neither the registration used for spotting nor the flow used by the recognizer, so that neither is tested with its own
measurement. On drawn movements of known size (portrait with sensor noise and JPEG 95; the mean of three frames at the
onset against five single ones at the apex) the flow's error in the face is 0.03, 0.04 and 0.08 px (root mean square)
for peaks of 0.3, 1 and 3 px, its correlation with the truth 0.94, 0.99 and 0.996, its size 0.95 to 0.99 of the truth.
At single regions 0.8 to 0.95 of a movement is found, because flow is smooth: a donor's movement is a little weaker and
a little wider than in the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from realtime_mer.errors import DataError, SourceError
from realtime_mer.face.align import Transform, apply, similarity, warp
from realtime_mer.face.detect import FaceDetector
from realtime_mer.face.regions import EYE_REGIONS, REGIONS, SIZE
from realtime_mer.motion.affine import AffineFit
from realtime_mer.motion.flow import OVAL
from realtime_mer.records import Floats, Frame, Gray, Image
from realtime_mer.synth.splice import RealClip
from realtime_mer.synth.warp import Box, Doubles

BOX: Final[Box] = (20, 12, 108, 122)  # px of the aligned face, within which the skin's motion is kept
FINE: Final = 2  # factor by which images are enlarged for the flow; the eyes of a CASME II face are 130 px apart
STEP: Final = 0.01  # s between measurements of the motion
AROUND: Final = 0.0055  # s: frames this close are averaged (three at 200 frames/s), to lower their noise
SMOOTH: Final = (0.25, 0.5, 0.25)  # smoothing in time: a standard deviation of 7 ms
FADE: Final = 5.0  # px of the aligned face over which the motion fades out at the face's outline
MARGIN: Final = 0.3  # border added to a tight crop in which no face is found, as a fraction of the longer side
BLINK: Final = 1.5  # px of the aligned face: largest motion of a lid without a blink
_FIT_STEP: Final = 4  # px between the points on which the head's motion is fitted
_FIT_ROUNDS: Final = 10  # of reweighting, as in ``motion.flow``
# A smile that stretches the whole lower face looks a little like a head that comes closer. So the fit is repeated on
# the points that deviate least from it.
_FIT_TRIMS: Final = 3
_FIT_KEPT: Final = 0.6  # of the points
# Weight of smoothness, chosen on the drawn movements: 5 doubles the noise, 20 halves the size of the movements. The
# other two are OpenCV's weights of constant brightness and constant gradient.
_SMOOTHNESS, _BRIGHTNESS, _GRADIENT = 10.0, 5.0, 10.0
_LINEARISED: Final = (3, 3, 2, 2)  # number at each level, the coarsest first


@dataclass(frozen=True, slots=True, eq=False)
class Donor:
    """The skin motion of one clip from its onset to its offset, without the head's motion.

    times:  float64 (n,), s from the onset: 0 first, the offset last.
    shifts: float16 (n, h, w, 2), px of the aligned face over BOX, at the place where the skin was at the onset; the
            first is 0.
    points: float32 (478, 2), landmarks at the onset, px of the aligned face.
    """

    clip: RealClip
    times: Doubles
    shifts: np.ndarray
    points: Floats

    @property
    def apex(self) -> float:
        """The annotated apex, s from the onset."""
        return (self.clip.apex - self.clip.onset) / self.clip.fps

    @property
    def offset(self) -> float:
        """The annotated offset, s from the onset."""
        return (self.clip.offset - self.clip.onset) / self.clip.fps

    def at(self, time: float) -> Floats:
        """The motion at ``time`` s from the onset, float32 (h, w, 2) px over BOX; constant beyond the ends."""
        after = int(np.clip(np.searchsorted(self.times, time), 1, len(self.times) - 1))
        start, end = self.times[after - 1 : after + 1]
        share = float(np.clip((time - start) / (end - start), 0, 1))
        before, behind = (self.shifts[i].astype(np.float32) for i in (after - 1, after))
        return np.asarray((1 - share) * before + share * behind, np.float32)

    def regions(self, time: float) -> tuple[tuple[str, float, float], ...]:
        """(name, dx, dy): mean motion of each region's landmarks at ``time``, px of the aligned face."""
        shift = self.at(time)
        return tuple((region.name, *_mean_at(shift, self.points[list(region.points)])) for region in REGIONS)

    @property
    def peak(self) -> float:
        """Displacement of the strongest region at the annotated apex, px of the aligned face."""
        return max(float(np.hypot(dx, dy)) for _, dx, dy in self.regions(self.apex))

    @property
    def blinks(self) -> bool:
        """Whether the eyes close or open: a warp cannot reproduce a lid that covers the eye."""
        lids = [list(REGIONS[number].points) for number in EYE_REGIONS]
        moved = [np.hypot(*_mean_at(self.at(time), self.points[lid])) for time in self.times for lid in lids]
        return max(moved) > BLINK


def _mean_at(shift: Floats, points: Floats) -> tuple[float, float]:
    places = (points - np.array(BOX[:2], np.float32)).astype(np.float32)[None]
    found = cv2.remap(shift, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    dx, dy = found[0].mean(axis=0)
    return float(dx), float(dy)


@cache
def measure(clip: RealClip) -> Donor:
    """The skin motion of ``clip``; cached in memory (1 to 3 MB), because it takes about a second.

    Raises DataError when an image is missing, SourceError when the first one shows no face.
    """
    paths = clip.frames[clip.onset : clip.offset + 1]
    first = _read(paths[0])
    points = _landmarks(first)
    if points is None:
        raise SourceError(f"{paths[0]}: no face was found, so its movement cannot be transplanted: exclude the clip")
    transform = similarity(points)
    pictures = [aligned_fine(cv2.cvtColor(_read(path), cv2.COLOR_BGR2GRAY), transform) for path in paths]
    moments = np.unique(np.append(np.arange(0, len(paths) - 1, max(round(STEP * clip.fps), 1)), len(paths) - 1))
    near = int(AROUND * clip.fps)
    still = _mean(pictures[: 2 * near + 1])
    aligned_points = apply(transform, points).astype(np.float32)
    weight = _weight(aligned_points, first, transform)
    shifts = np.zeros((len(moments), *weight.shape[:2], 2), np.float32)
    for shift, moment in zip(shifts[1:], moments[1:], strict=True):
        moved = flow(still, _mean(pictures[max(moment - near, 0) : moment + near + 1]))
        shift[:] = without_head(moved) * weight
    return Donor(clip, moments / clip.fps, _smoothed(shifts), aligned_points)


def flow(first: Gray, last: Gray) -> Floats:
    """The motion of each point from ``first`` to ``last``, float32 (h, w, 2) px of the aligned face over BOX.

    first, last: uint8 (FINE h, FINE w), as from ``aligned_fine``.
    """
    levels = [(first, last)]
    for _ in _LINEARISED[1:]:
        levels.append((cv2.pyrDown(levels[-1][0]), cv2.pyrDown(levels[-1][1])))
    refine = cv2.VariationalRefinement.create()
    refine.setAlpha(_SMOOTHNESS)
    refine.setDelta(_BRIGHTNESS)
    refine.setGamma(_GRADIENT)
    refine.setFixedPointIterations(5)
    refine.setSorIterations(10)
    found = np.zeros((*levels[-1][0].shape, 2), np.float32)
    for (a, b), rounds in zip(reversed(levels), _LINEARISED, strict=True):
        if found.shape[:2] != a.shape:
            found = np.ascontiguousarray(2 * cv2.resize(found, a.shape[::-1], interpolation=cv2.INTER_LINEAR))
        for _ in range(rounds):
            found = refine.calc(a, b, found)
    width, height = BOX[2] - BOX[0], BOX[3] - BOX[1]
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_AREA) / FINE, np.float32)


def without_head(moved: Floats) -> Floats:
    """``moved`` (h, w, 2) over BOX without the head's motion: the affine motion that most of the face shares."""
    places = grid()
    fitted, shift = places[_middle()], moved[_middle()]
    trust = np.ones(len(fitted))
    for _ in range(_FIT_TRIMS + 1):
        head = AffineFit(fitted, trust, _FIT_ROUNDS).fit(shift)
        departs = np.hypot(*(fitted + shift - apply(head, fitted)).T)
        trust = (departs <= np.quantile(departs, _FIT_KEPT)).astype(np.float64)
    back = cv2.invertAffineTransform(head)
    own = apply(back, (places + moved).reshape(-1, 2)).reshape(places.shape) - places
    return np.asarray(own, np.float32)


def aligned_fine(gray: Gray, transform: Transform) -> Gray:
    """The aligned face over BOX, enlarged FINE times: uint8 (FINE h, FINE w)."""
    fine = FINE * transform
    fine[:, 2] += (FINE - 1) / 2  # center of a coarse pixel: between the fine ones that it is averaged from
    x0, y0, x1, y1 = (FINE * side for side in BOX)
    return np.ascontiguousarray(warp(gray, fine, FINE * SIZE)[y0:y1, x0:x1])


@cache
def grid() -> Doubles:
    """The points (x, y) over BOX, px of the aligned face: float64 (h, w, 2)."""
    x0, y0, x1, y1 = BOX
    places = np.stack(np.meshgrid(np.arange(x0, x1, dtype=np.float64), np.arange(y0, y1, dtype=np.float64)), axis=-1)
    places.setflags(write=False)
    return places


@cache
def _middle() -> np.ndarray:
    """The points over BOX on which the head's motion is fitted, a grid within the face's oval: bool (h, w)."""
    cx, cy, a, b = OVAL
    chosen = np.hypot((grid()[..., 0] - cx) / a, (grid()[..., 1] - cy) / b) < 1
    sparse = np.zeros_like(chosen)
    sparse[::_FIT_STEP, ::_FIT_STEP] = True
    return np.asarray(chosen & sparse)


def _weight(points: Floats, picture: Image, transform: Transform) -> Floats:
    """1 on the skin, falling to 0 at the face's outline and at the edges of image and BOX: float32 (h, w, 1).

    points: landmarks, px of the aligned face. transform: from ``picture`` px to those.
    """
    x0, y0, x1, y1 = BOX
    outline = cv2.convexHull(np.rint(points - (x0, y0)).astype(np.int32))
    face = cv2.fillConvexPoly(np.zeros((y1 - y0, x1 - x0), np.uint8), outline, 1)
    to_box = transform - np.array([[0, 0, x0], [0, 0, y0]])
    face &= cv2.warpAffine(np.ones(picture.shape[:2], np.uint8), to_box, (x1 - x0, y1 - y0), flags=cv2.INTER_NEAREST)
    inside = cv2.distanceTransform(cv2.copyMakeBorder(face, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 5)
    depth = np.clip((inside[1:-1, 1:-1, None] - 1) / FADE, 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * depth), np.float32)


def _smoothed(shifts: Floats) -> np.ndarray:
    before, after = np.concatenate([shifts[:1], shifts[:-1]]), np.concatenate([shifts[1:], shifts[-1:]])
    result = SMOOTH[0] * before + SMOOTH[1] * shifts + SMOOTH[2] * after
    result[0] = 0  # nothing has moved at the onset
    halves = result.astype(np.float16)
    halves.setflags(write=False)
    return halves


def _mean(pictures: Sequence[Gray]) -> Gray:
    return np.asarray(np.rint(np.mean(np.asarray(pictures, np.float32), axis=0)), np.uint8)


def _landmarks(picture: Image) -> Floats | None:
    """Landmarks of the largest face, (478, 2) px; in a tight crop, searched again with the border extended."""
    with FaceDetector(max_faces=1) as detector:
        for margin in (0, int(MARGIN * max(picture.shape))):
            wide = cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
            gray = cv2.cvtColor(wide, cv2.COLOR_BGR2GRAY)
            faces = detector.detect(Frame(0, 0.0, gray, wide.copy))
            if faces:
                return np.asarray(faces[0].points - np.float32(margin), np.float32)
    return None


def _read(path: Path) -> Image:
    image = cv2.imread(str(path))
    if image is None:
        raise DataError(f"{path}: missing, or not an image")
    return np.asarray(image, np.uint8)
