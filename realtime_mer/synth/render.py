"""Draws a script: from one portrait with its landmarks to frames, with one inverse map and one interpolation per frame.

The head moves over a resting background; the skin between them stretches. Sensor noise and light come after the warp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import cv2
import numpy as np

from realtime_mer.face.regions import EYE_DISTANCE
from realtime_mer.records import Floats, Frame, Gray, Image
from realtime_mer.synth.script import Script
from realtime_mer.synth.warp import (
    Box,
    Bumps,
    Doubles,
    affected_box,
    at,
    close_lids,
    expression,
    field,
    joined,
    to_picture,
)

NOSE_TIP: Final = 1  # face mesh number
# Relief of a face in px of the aligned face (depth, standard deviations): the head's dome, and the nose on it. A turn
# moves near parts more than far ones, which no similarity can undo.
RELIEF: Final = ((0.35 * EYE_DISTANCE, 0.6 * EYE_DISTANCE, 0.8 * EYE_DISTANCE), (8.0, 6.0, 8.0))
HEAD: Final = (0.85, 0.95)  # half axes of the head, in units of width and height of the landmarks' box
FADE: Final = 0.7  # the head's motion fades out over this many half axes
NOISE_SHIFT: Final = 97  # px: the noise image is larger by this much, and each frame uses another part of it


class DrawnFace:
    """A portrait prepared for drawing: image, landmarks, and how much each pixel follows the head."""

    def __init__(self, image: Image, points: Floats) -> None:
        """image: uint8 BGR (H, W, 3). points: float32 (478, 2) px on it, face mesh order."""
        luma = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)
        self.luma: Floats = luma[:, :, 0].astype(np.float32)
        self.chroma: Gray = cv2.resize(luma[:, :, 1:], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        self.points = np.asarray(points, np.float32)
        self.to_picture = to_picture(self.points)
        self.scale = float(np.sqrt(abs(np.linalg.det(self.to_picture))))
        self.box, self.follow = _head(self.points, image.shape[1], image.shape[0])

    def transform(self, script: Script, time: float) -> Doubles:
        """The head's similarity at ``time``, float64 (2, 3): from px of the resting image to px of the current one."""
        dx, dy, roll, _, _, scale = script.head(time)
        cx, cy = (float(v) for v in self.points.mean(axis=0))
        matrix = np.asarray(cv2.getRotationMatrix2D((cx, cy), -roll, 1 + scale))
        matrix[:, 2] += self.to_picture @ (dx, dy)
        return matrix

    def bumps(self, script: Script, time: float, points: Floats) -> Bumps:
        """Everything that displaces the skin at ``time`` beyond the head's similarity; ``points`` are the posed
        landmarks."""
        _, _, _, yaw, pitch, _ = script.head(time)
        # yaw > 0 turns to the subject's left (the picture's right), pitch > 0 looks up
        tilt = np.tan(np.radians([yaw, -pitch]))
        relief = Bumps(
            np.repeat(points[NOSE_TIP : NOSE_TIP + 1].astype(np.float64), len(RELIEF), axis=0),
            np.array([widths for _, *widths in RELIEF]) * self.scale,
            np.array([depth * self.scale * tilt for depth, *_ in RELIEF]),
        )
        return joined(relief, expression(points, script.wanted(time)))

    def points_at(self, script: Script, time: float) -> Floats:
        """Where the landmarks are at ``time``, float32 (478, 2) px (lids as in the open eye)."""
        matrix = self.transform(script, time)
        posed = (self.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        bumps, start = self.bumps(script, time, posed), posed.astype(np.float64)
        moved = start
        for _ in range(4):  # the displacement is defined at the destination
            moved = start + at(bumps, moved)
        return moved.astype(np.float32)

    def map(self, script: Script, time: float) -> tuple[Floats, Floats]:
        """The source of each pixel of ``box`` at ``time``: x and y in px, float32 (h, w)."""
        matrix = self.transform(script, time)
        back = cv2.invertAffineTransform(matrix).astype(np.float32)
        x0, y0, x1, y1 = self.box
        xs, ys = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)[:, None]
        map_x = xs + self.follow * (((back[0, 0] - 1) * xs + back[0, 2]) + back[0, 1] * ys)
        map_y = ys + self.follow * ((back[1, 0] * xs + back[1, 2]) + (back[1, 1] - 1) * ys)
        posed = (self.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        bumps = self.bumps(script, time, posed)
        face = affected_box(bumps, (self.luma.shape[1], self.luma.shape[0]))
        face = max(face[0], x0), max(face[1], y0), min(face[2], x1), min(face[3], y1)
        dx, dy = field(bumps, face)
        if closure := script.closure(time):
            close_lids(posed, closure, face, dy)
        part = np.s_[face[1] - y0 : face[3] - y0, face[0] - x0 : face[2] - x0]
        map_x[part] -= back[0, 0] * dx + back[0, 1] * dy
        map_y[part] -= back[1, 0] * dx + back[1, 1] * dy
        return map_x, map_y


def _head(points: Floats, width: int, height: int) -> tuple[Box, Floats]:
    """The box in which something moves, and how much each of its pixels follows the head, 0 to 1."""
    low, high = points.min(axis=0), points.max(axis=0)
    center, half = (low + high) / 2, (high - low) * HEAD
    x0, y0 = (max(int(v), 0) for v in center - half * (1 + FADE))
    x1, y1 = (min(int(v) + 1, limit) for v, limit in zip(center + half * (1 + FADE), (width, height), strict=True))
    across = (np.arange(x0, x1) - center[0]) / half[0]
    down = (np.arange(y0, y1) - center[1]) / half[1]
    beyond = np.clip((np.hypot(across, down[:, None]) - 1) / FADE, 0, 1)
    return (x0, y0, x1, y1), (0.5 + 0.5 * np.cos(np.pi * beyond)).astype(np.float32)


def render(script: Script, image: Image, points: Floats, times: Doubles | None = None) -> Iterator[Frame]:
    """The frames of ``script``, drawn on ``image`` (uint8 BGR (H, W, 3), even sides) with its ``points`` (478, 2) px.

    times: s, to draw at other times than ``script.times()``. The same script gives the same frames, bit for bit, on the
    same machine.
    """
    face = DrawnFace(image, points)
    noise = _noise(script, face.luma)
    x0, y0, x1, y1 = face.box
    luma = face.luma.copy()
    for index, time in enumerate(script.times() if times is None else times):
        map_x, map_y = face.map(script, float(time))
        luma[y0:y1, x0:x1] = cv2.remap(face.luma, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        lit = luma * np.float32(script.light(float(time)))
        gray: Gray = cv2.add(lit, noise(index), dtype=cv2.CV_8U)
        small = map_x[y0 % 2 :: 2, x0 % 2 :: 2].copy(), map_y[y0 % 2 :: 2, x0 % 2 :: 2].copy()
        yield Frame(index, float(time), gray, partial(_color, gray, face, *small))


def _color(gray: Gray, face: DrawnFace, map_x: Floats, map_y: Floats) -> Image:
    """The frame in color: chroma is warped at half size on request, without noise."""
    x0, y0 = (face.box[0] + 1) // 2, (face.box[1] + 1) // 2
    chroma = face.chroma.copy()
    height, width = map_x.shape
    height, width = min(height, chroma.shape[0] - y0), min(width, chroma.shape[1] - x0)
    half_x, half_y = map_x[:height, :width] / 2, map_y[:height, :width] / 2
    moved = cv2.remap(face.chroma, half_x, half_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    chroma[y0 : y0 + height, x0 : x0 + width] = moved
    full = cv2.resize(chroma, (gray.shape[1], gray.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(cv2.merge([gray, *cv2.split(full)]), cv2.COLOR_YCrCb2BGR), np.uint8)


def _noise(script: Script, luma: Floats) -> Callable[[int], Floats]:
    """A function from frame number to that frame's noise, float32 (H, W) gray levels.

    Drawing new normal numbers for every pixel would cost more than the rest of the frame. A shifted part of one large
    noise image has the same statistics, and differs at every pixel between neighboring frames.
    """
    camera, (height, width) = script.camera, luma.shape
    if camera.noise <= 0 and camera.shot <= 0:
        nothing = np.zeros_like(luma)
        return lambda _: nothing
    sigma = np.sqrt(camera.noise**2 + camera.shot * luma).astype(np.float32)
    random = np.random.default_rng((script.seed, 3))
    pool = random.standard_normal((height + NOISE_SHIFT, width + NOISE_SHIFT), np.float32)

    def of(index: int) -> Floats:
        # coprime steps: a shift repeats only after NOISE_SHIFT squared frames
        y, x = index // NOISE_SHIFT * 31 + index * 41, index * 60
        y, x = y % NOISE_SHIFT, x % NOISE_SHIFT
        return np.asarray(cv2.multiply(pool[y : y + height, x : x + width], sigma))

    return of
