"""Draws an expression: from landmarks and moving regions to the source of each output pixel. Independent of time and
script.

An expression is a sum of smooth compact bumps, one per moving region, whose weights are solved so that the mean
displacement of each region's landmarks is exactly the requested one, whatever the neighbors do. Bumps are products of
two one-dimensional kernels along the image axes, so a whole face costs two small matrix products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.face.align import similarity
from realtime_mer.face.regions import EYE_DISTANCE, REGIONS
from realtime_mer.records import Floats

Doubles = NDArray[np.float64]
Box = tuple[int, int, int, int]  # x0, y0, x1, y1 px, x1 and y1 excluded

REACH: Final = 6.0  # px of the aligned face: standard deviation of the skin that follows a single landmark
CUT: Final = 3.0  # a bump ends this many standard deviations from its center
LID_SKIN: Final = 0.14 * EYE_DISTANCE  # px: height of the skin above the upper lid that a blink stretches
# Contours of the eyes, from one corner to the other (face mesh numbers).
LID_MARGIN: Final = (0.6, 1.3)  # px: distance of the lashes above, and of the lower lid below, the landmarks' lines
LIDS: Final = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
BY_NAME: Final = {region.name: region for region in REGIONS}


@dataclass(frozen=True, slots=True)
class Bumps:
    """n bumps: centers, standard deviations and weights, float64 (n, 2) each, in px of the frame."""

    centers: Doubles
    widths: Doubles
    weights: Doubles


def _kernel(offsets: Doubles, width: Doubles) -> Doubles:
    """A Gaussian lowered so that it meets zero at CUT standard deviations; 1 at the center."""
    floor = np.exp(-0.5 * CUT**2)
    height = (np.exp(-0.5 * (offsets / width) ** 2) - floor) / (1 - floor)
    return np.asarray(np.maximum(height, 0.0), np.float64)


def to_picture(points: Floats) -> Doubles:
    """The matrix (2, 2) from a displacement in px of the aligned face to one in px of the frame."""
    return np.asarray(np.linalg.inv(similarity(points)[:, :2]))


def expression(points: Floats, wanted: Mapping[str, Doubles]) -> Bumps:
    """The bumps that displace each region in ``wanted`` (name -> (2,) aligned px) by exactly that much.

    points: (478, 2) px, the resting face in its present pose.
    """
    linear = to_picture(points)
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    marks = [points[list(BY_NAME[name].points)].astype(np.float64) for name in wanted]
    shifts = np.array([linear @ shift for shift in wanted.values()]).reshape(-1, 2)
    # A bump is at its region's destination, because the map is evaluated at the output pixel.
    centers = np.array([m.mean(axis=0) for m in marks]).reshape(-1, 2) + shifts
    widths = np.array([np.hypot(REACH * scale, m.std(axis=0)) for m in marks]).reshape(-1, 2)
    gains = np.array(
        [
            [
                np.prod(_kernel(mark + shift - center, width), axis=1).mean()
                for center, width in zip(centers, widths, strict=True)
            ]
            for mark, shift in zip(marks, shifts, strict=True)
        ]
    ).reshape(len(marks), len(marks))
    return Bumps(centers, widths, np.linalg.solve(gains, shifts))


def joined(first: Bumps, second: Bumps) -> Bumps:
    return Bumps(
        np.vstack([first.centers, second.centers]),
        np.vstack([first.widths, second.widths]),
        np.vstack([first.weights, second.weights]),
    )


def field(bumps: Bumps, box: Box) -> tuple[Floats, Floats]:
    """The displacement (dx, dy) px over ``box``, float32 (h, w) each."""
    x0, y0, x1, y1 = box
    across = _kernel(np.arange(x0, x1) - bumps.centers[:, :1], bumps.widths[:, :1]).astype(np.float32)
    down = _kernel(np.arange(y0, y1) - bumps.centers[:, 1:], bumps.widths[:, 1:]).astype(np.float32)
    weights = bumps.weights.astype(np.float32)
    dx = ((down * weights[:, :1]).T @ across).astype(np.float32, copy=False)
    dy = ((down * weights[:, 1:]).T @ across).astype(np.float32, copy=False)
    return dx, dy


def at(bumps: Bumps, places: Doubles) -> Doubles:
    """The displacement px at ``places`` (k, 2), float64 (k, 2)."""
    kernels = [_kernel(places[:, None, i] - bumps.centers[None, :, i], bumps.widths[None, :, i]) for i in (0, 1)]
    return np.asarray((kernels[0] * kernels[1]) @ bumps.weights)


def affected_box(bumps: Bumps, size: tuple[int, int]) -> Box:
    """The box outside which ``bumps`` displace nothing, clipped to a picture of ``size`` (width, height)."""
    low = np.floor((bumps.centers - CUT * bumps.widths).min(axis=0)).astype(int)
    high = np.ceil((bumps.centers + CUT * bumps.widths).max(axis=0)).astype(int) + 1
    return max(int(low[0]), 0), max(int(low[1]), 0), min(int(high[0]), size[0]), min(int(high[1]), size[1])


def close_lids(points: Floats, closure: float, box: Box, dy: Floats) -> None:
    """Closes the upper lids: changes ``dy`` (over ``box``, as from ``field``) in place.

    closure: 0 open to 1 closed. The skin between the lid and a line above it is stretched over the eyeball; pixels
    below the lid's edge do not move, so the iris is covered, not squeezed.
    """
    scale = float(np.sqrt(abs(np.linalg.det(to_picture(points)))))
    x0, y0, x1, y1 = box
    for upper_points, lower_points in LIDS:
        upper_mark, lower_mark = points[list(upper_points)], points[list(lower_points)]
        left, right = max(int(np.ceil(upper_mark[:, 0].min())), x0), min(int(upper_mark[:, 0].max()) + 1, x1)
        columns = np.arange(left, right)
        if not len(columns):
            continue
        across = (columns - upper_mark[:, 0].min()) / np.ptp(upper_mark[:, 0])
        middle = np.clip(6 * across * (1 - across), 0, 1) * scale  # the margins end at the corners
        upper = _contour(columns, upper_mark) - LID_MARGIN[0] * middle
        lower = np.maximum(_contour(columns, lower_mark) + LID_MARGIN[1] * middle, upper)
        crease = upper - LID_SKIN * scale
        edge = upper + closure * (lower - upper)
        top, bottom = max(int(crease.min()), y0), min(int(lower.max()) + 2, y1)
        rows = np.arange(top, bottom)[:, None]
        source = crease + (rows - crease) * (upper - crease) / (edge - crease)
        lid = (rows > crease) & (rows < edge)
        part = dy[top - y0 : bottom - y0, left - x0 : right - x0]
        part[lid] += (rows - source)[lid].astype(np.float32)


def _contour(columns: NDArray[np.int64], marks: Floats) -> Doubles:
    order = np.argsort(marks[:, 0])
    return np.asarray(np.interp(columns, marks[order, 0], marks[order, 1]), np.float64)
