"""Draws overlays and figures for observations. Nothing is decided or measured here.

Colors are Okabe & Ito's (2008), which remain distinct without color vision; every color also has a shape or a word.
Sizes scale with the image. All images are uint8 BGR (H, W, 3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.face.align import similarity, warp
from realtime_mer.face.regions import REGIONS
from realtime_mer.records import Event, Face, FaceSignal, Floats, Frame, Gray, Image, Kind, Observation, Status
from realtime_mer.sinks.text import event_words

Color = tuple[int, int, int]

ORANGE: Final[Color] = (0, 159, 230)
SKY: Final[Color] = (233, 180, 86)
GREEN: Final[Color] = (115, 158, 0)
YELLOW: Final[Color] = (66, 228, 240)
VERMILLION: Final[Color] = (0, 94, 213)
PURPLE: Final[Color] = (167, 121, 204)
INK: Final[Color] = (28, 24, 21)
PAPER: Final[Color] = (245, 243, 240)
GRAY: Final[Color] = (160, 155, 150)

FACE_COLORS: Final = (SKY, ORANGE, PURPLE, GREEN)  # by track
MOMENT_COLORS: Final = {"onset": SKY, "apex": VERMILLION, "offset": GREEN}
ARROW_GAIN: Final = 10.0  # ratio of an arrow to the movement, since 1 px would be invisible
VISIBLE: Final = 0.3  # px of the aligned face; smaller displacements are drawn as resting
STRONG: Final = 2.0  # px of the aligned face; drawn with the full tint
READABLE: Final = 360  # px: shorter side of an image on which text is legible; smaller ones are enlarged
SHOWN: Final = 1.5  # s that an event's name stays beside the face
_SHIFT: Final = 4  # bits of a pixel's fraction in cv2's drawing calls


class Overlay:
    """Draws observations in order: the face with its movement, and a rolling curve of the last ``window`` seconds.

    Call ``see`` for every observation, ``draw`` for those to show. The drawn image is taller by the curve's strip.
    """

    def __init__(self, window: float = 6.0) -> None:
        self._window = window
        self._curves: dict[int, deque[tuple[float, float, float]]] = {}  # track -> time, level, threshold
        self._events: dict[tuple[int, int], Event] = {}

    def see(self, observation: Observation) -> None:
        for signal in observation.faces:
            if signal.activity is not None:
                curve = self._curves.setdefault(signal.face.track, deque())
                curve.append((observation.time, signal.activity.level, signal.activity.threshold))
        for event in observation.events:
            self._events[event.key] = event  # the final event replaces the provisional one
        start = observation.time - self._window
        for track, curve in list(self._curves.items()):
            while curve and curve[0][0] < start:
                curve.popleft()
            if not curve:
                del self._curves[track]
        self._events = {k: e for k, e in self._events.items() if max(e.reported, _end(e)) >= start}

    def draw(self, image: Image, observation: Observation) -> Image:
        """``image`` with overlays, and the curve below it: a new image of even height. Small images are enlarged."""
        factor = max(1, -(-READABLE // min(image.shape[:2])))
        if factor > 1:
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        height, width = image.shape[:2]
        strip = max(48, int(0.19 * height))
        strip += (height + strip) % 2
        canvas = np.empty((height + strip, width, 3), np.uint8)
        canvas[:height] = image
        picture = canvas[:height]
        unit = _unit(picture)
        for signal in observation.faces if factor == 1 else _enlarged(observation.faces, factor):
            draw_face(picture, signal)
            latest = self._latest(signal.face.track, observation.time)
            if latest is not None:
                x, y = signal.face.box[0], signal.face.box[1] - 13 * unit
                _tag(picture, event_words(latest), (x, y), event_color(latest))
        lost = f"  lost {observation.lost}" if observation.lost else ""
        rate = f"  {observation.fps:.0f} fps" if observation.fps else ""
        _tag(
            picture, f"{observation.time:.3f} s  #{observation.index}{rate}{lost}", (6 * unit, height - 10 * unit), GRAY
        )
        for row, note in enumerate(observation.notes[:3]):
            _tag(picture, note, (6 * unit, (14 + 23 * row) * unit), YELLOW)
        draw_curve(canvas[height:], self._curves, list(self._events.values()), observation.time, self._window)
        return canvas

    def _latest(self, track: int, now: float) -> Event | None:
        shown = [e for e in self._events.values() if e.track == track and now - e.reported <= SHOWN]
        # a micro-expression is not hidden by a blink that follows it
        return max(shown, key=lambda e: (e.status is not Status.REJECTED, e.reported), default=None)


def draw_face(image: Image, signal: FaceSignal) -> None:
    """Draws onto ``image``: the corners of the face's box, and its regions, with tint and arrow showing how far they
    moved."""
    face, activity, unit = signal.face, signal.activity, _unit(image)
    color = FACE_COLORS[(face.track - 1) % len(FACE_COLORS)]
    _corners(image, face.box, color, unit)
    if signal.note:
        _tag(image, f"face {face.track}: {signal.note}", (face.box[0], face.box[3] + 13 * unit), color)
    if activity is None or len(face.points) <= max(max(r.points) for r in REGIONS):
        return
    try:
        to_picture = np.linalg.inv(similarity(face.points)[:, :2])
    except (ValueError, np.linalg.LinAlgError):
        return  # the eyes coincide: nothing to draw on
    scale = float(np.hypot(*to_picture[:, 0]))  # image px per px of the aligned face
    radius = 7.0 * scale  # regions nearly touch
    stroke = float(np.clip(0.45 * scale, 0.45 * unit, 2 * unit))  # a small face gets fine arrows
    centers = np.array([face.points[list(r.points)].mean(axis=0) for r in REGIONS], np.float64)
    moves = np.asarray(activity.displacement, np.float64)
    size = np.hypot(moves[:, 0], moves[:, 1])
    _tint(image, centers, radius, np.clip((size - VISIBLE) / (STRONG - VISIBLE), 0.0, 1.0))
    arrows = moves @ to_picture.T * ARROW_GAIN
    for center, arrow, moved in zip(centers, arrows, size > VISIBLE, strict=True):
        if moved:
            _arrow(image, center, center + arrow, stroke)
        else:
            cv2.circle(image, _fixed(center), int(2.2 * stroke * 2**_SHIFT), INK, -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(image, _fixed(center), int(1.4 * stroke * 2**_SHIFT), PAPER, -1, cv2.LINE_AA, _SHIFT)


def draw_curve(
    strip: Image,
    curves: dict[int, deque[tuple[float, float, float]]],
    events: Sequence[Event],
    now: float,
    window: float,
) -> None:
    """Fills ``strip`` with the last ``window`` s: a line per face, its threshold dashed, events as bands."""
    height, width = strip.shape[:2]
    unit = max(height / 90, 0.5)
    strip[:] = INK
    data = {track: np.array(curve) for track, curve in curves.items() if len(curve) > 1}
    peak = max((float(np.nanmax(d[:, 1:])) for d in data.values()), default=1.0)
    threshold = max((float(d[-1, 2]) for d in data.values()), default=1.0)
    top = max(peak * 1.1, threshold * 1.8, 1e-6)
    scale = np.array([width / window, -(height - 26 * unit) / top])
    origin = np.array([width - now * scale[0], height - 5 * unit])

    for event in events:
        x0, x1 = (int(origin[0] + t * scale[0]) for t in (event.movement.onset, _end(event)))
        _blend(strip, (x0, 0), (max(x1, x0 + 2), height), event_color(event), 0.34)
    for second in range(int(np.ceil(now - window)), int(now) + 1):
        x = int(origin[0] + second * scale[0])
        cv2.line(strip, (x, int(height - 5 * unit)), (x, height), GRAY, 1)
    for track, points in data.items():
        color = FACE_COLORS[(track - 1) % len(FACE_COLORS)]
        line = _thinned(points, now, window, width)
        _dashed(strip, line[:, [0, 2]] * scale + origin, PAPER, unit)
        path = np.round((line[:, :2] * scale + origin) * 2**_SHIFT).astype(np.int32)
        cv2.polylines(strip, [path], False, color, max(1, round(1.4 * unit)), cv2.LINE_AA, _SHIFT)
    for event in events:
        x = origin[0] + event.movement.apex * scale[0]
        y = 20 * unit
        corner = np.array([[x, y], [x - 4 * unit, y - 7 * unit], [x + 4 * unit, y - 7 * unit]])
        cv2.fillPoly(strip, [np.round(corner * 2**_SHIFT).astype(np.int32)], event_color(event), cv2.LINE_AA, _SHIFT)
    _text(
        strip,
        f"motion / resting noise    dashed: threshold {threshold:.1f}    last {window:g} s",
        (5 * unit, 10 * unit),
        0.36 * unit,
        GRAY,
    )


def event_color(event: Event) -> Color:
    if event.status is Status.PROVISIONAL:
        return YELLOW
    if event.status is Status.CONFIRMED:
        return VERMILLION
    return PURPLE if event.movement.kind is Kind.MACRO else GRAY


def face_crop(image: Image, box: tuple[float, float, float, float], size: int) -> Image:
    """The face as a square a little wider than its ``box``: uint8 BGR (size, size, 3); the image's border is
    repeated."""
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0, 2.0) * 1.2
    scale = size / side
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    if scale < 0.5:  # average first: bilinear sampling alone would alias
        reduce = 2 * scale
        image = cv2.resize(image, None, fx=reduce, fy=reduce, interpolation=cv2.INTER_AREA)
        middle, scale = middle * reduce, scale / reduce
    matrix = np.hstack([np.eye(2) * scale, (size / 2 - middle * scale)[:, None]])
    crop: Image = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return crop


def thumbnails(pictures: Sequence[tuple[str, float | None, Image]]) -> Image:
    """Images of one size side by side, with a caption ("onset", "motion", ...) and the time in s."""
    gap = 4
    cells = []
    for moment, time, image in pictures:
        height, width = image.shape[:2]
        bar = max(18, height // 6)
        cell = np.empty((height + bar, width + gap, 3), np.uint8)
        cell[:] = PAPER
        cell[:height, :width] = image
        cell[height : height + 3, :width] = MOMENT_COLORS.get(moment, GRAY)
        words = moment if time is None else f"{moment} {time:.3f} s"
        _text(cell, words, (2, height + bar - 4), width / 290, INK)
        cells.append(cell)
    return np.ascontiguousarray(np.hstack(cells)[:, :-gap])


def heat_map(flow: Floats, gray: Gray, full_scale: float | None = None) -> Image:
    """The aligned face, tinted by the length of the flow; parts that do not move stay gray.

    flow: float32 (3, S, S) or (2, S, S), of any side; the first two are u and v. gray: uint8 (S, S).
    full_scale: length that gets the full tint, in the flow's unit; by default the 99th percentile.
    """
    length = np.hypot(flow[0], flow[1])
    if length.shape != gray.shape:
        length = cv2.resize(length, gray.shape[::-1], interpolation=cv2.INTER_LINEAR)
    full = full_scale or max(float(np.percentile(length, 99)), 1e-6)
    share = cv2.GaussianBlur(np.clip(length / full, 0.0, 1.0).astype(np.float32), (0, 0), 1.0)
    # the upper part of inferno: from dark violet to pale yellow, increasing in lightness, so it is readable without
    # color
    heat = cv2.applyColorMap((70 + 185 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)
    # very small flow is noise and stays gray
    alpha = np.sqrt(np.clip(share - 0.1, 0.0, 1.0))[:, :, None] * 0.85
    blended: Image = (gray[:, :, None] * (1 - alpha) + heat * alpha).astype(np.uint8)
    return blended


def motion_picture(motion: Floats, frame: Frame, face: Face) -> Image:
    """``Event.motion`` drawn on its face: ``frame`` is that of the onset, ``face`` the face in it."""
    return heat_map(motion, warp(frame.gray, similarity(face.points)))


def _enlarged(signals: Sequence[FaceSignal], factor: int) -> list[FaceSignal]:
    """The faces in an image enlarged by ``factor``."""
    larger = []
    for signal in signals:
        x0, y0, x1, y1 = signal.face.box
        box = (x0 * factor, y0 * factor, x1 * factor, y1 * factor)
        larger.append(replace(signal, face=replace(signal.face, box=box, points=signal.face.points * factor)))
    return larger


def _end(event: Event) -> float:
    return max(event.reported, event.movement.apex) if event.movement.offset is None else event.movement.offset


def _unit(image: Image) -> float:
    """The length of one px in an image 480 px high."""
    return max(float(min(image.shape[:2])) / 480, 0.4)


def _fixed(point: NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.round(np.clip(point, -1e4, 1e5) * 2**_SHIFT).astype(int)
    return int(x), int(y)


def _corners(image: Image, box: tuple[float, float, float, float], color: Color, unit: float) -> None:
    x0, y0, x1, y1 = box
    arm = 0.14 * min(x1 - x0, y1 - y0)
    corners = [((x0, y0), (1, 1)), ((x1, y0), (-1, 1)), ((x1, y1), (-1, -1)), ((x0, y1), (1, -1))]
    paths = [np.array([[x + sx * arm, y], [x, y], [x, y + sy * arm]]) for (x, y), (sx, sy) in corners]
    fixed = [np.round(path * 2**_SHIFT).astype(np.int32) for path in paths]
    cv2.polylines(image, fixed, False, INK, max(2, round(4 * unit)), cv2.LINE_AA, _SHIFT)
    cv2.polylines(image, fixed, False, color, max(1, round(2 * unit)), cv2.LINE_AA, _SHIFT)


def _tint(image: Image, centers: NDArray[np.float64], radius: float, strength: NDArray[np.float64]) -> None:
    """Soft orange discs; only the part of the image around them is changed."""
    moved = [(c, s) for c, s in zip(centers, strength, strict=True) if s > 0]
    for center, share in moved:
        reach = int(np.ceil(1.5 * radius))
        x, y = int(center[0]), int(center[1])
        x0, y0 = max(x - reach, 0), max(y - reach, 0)
        part = image[y0 : max(y + reach, 0), x0 : max(x + reach, 0)]
        if part.size == 0:
            continue
        rows, columns = np.ogrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        away = np.hypot(columns - center[0], rows - center[1]) / radius
        alpha = (np.clip(1.5 - away, 0.0, 1.0) * (0.35 + 0.4 * share))[:, :, None].astype(np.float32)
        part[:] = (part * (1 - alpha) + np.array(ORANGE, np.float32) * alpha).astype(np.uint8)


def _arrow(image: Image, start: NDArray[np.float64], end: NDArray[np.float64], unit: float) -> None:
    length = float(np.hypot(*(end - start)))
    along = (end - start) / max(length, 1e-6)
    across = np.array([-along[1], along[0]])
    head = min(8 * unit, 0.6 * length)
    tip = np.array([end, end - head * along + 0.55 * head * across, end - head * along - 0.55 * head * across])
    for color, width in ((INK, 4.0), (YELLOW, 1.8)):
        thickness = max(1, round(width * unit))
        cv2.line(image, _fixed(start), _fixed(end - 0.7 * head * along), color, thickness, cv2.LINE_AA, _SHIFT)
        points = [np.round(tip * 2**_SHIFT).astype(np.int32)]
        if color == INK:
            cv2.polylines(image, points, True, color, max(1, round(2.4 * unit)), cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(image, points, color, cv2.LINE_AA, _SHIFT)


def _tag(image: Image, words: str, where: tuple[float, float], color: Color) -> None:
    """Text on a dark panel with a colored edge, vertically centered on ``where``; kept inside the image."""
    unit = _unit(image)
    (width, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * unit, 1)
    half, full = int(10 * unit), int(width + 14 * unit)
    x = int(np.clip(where[0], 0, max(image.shape[1] - full, 0)))
    y = int(np.clip(where[1], half, image.shape[0] - half))
    _blend(image, (x, y - half), (x + full, y + half), INK, 0.72)
    image[y - half : y + half, x : x + max(2, int(4 * unit))] = color
    _text(image, words, (x + 9 * unit, y + 4.5 * unit), 0.45 * unit, PAPER)


def _text(image: Image, words: str, where: tuple[float, float], scale: float, color: Color) -> None:
    plain = words.encode("ascii", "replace").decode()  # cv2's line fonts have nothing else
    at = (round(where[0]), round(where[1]))
    cv2.putText(image, plain, at, cv2.FONT_HERSHEY_SIMPLEX, scale, color, max(1, round(1.8 * scale)), cv2.LINE_AA)


def _blend(image: Image, corner: tuple[int, int], opposite: tuple[int, int], color: Color, alpha: float) -> None:
    part = image[max(corner[1], 0) : max(opposite[1], 0), max(corner[0], 0) : max(opposite[0], 0)]
    if part.size:
        cv2.addWeighted(part, 1 - alpha, np.full_like(part, color), alpha, 0, dst=part)


def _thinned(points: NDArray[np.float64], now: float, window: float, width: int) -> NDArray[np.float64]:
    """At most one point per column, the highest, so that a peak at 200 frames/s keeps its height."""
    column = ((points[:, 0] - (now - window)) * (width / window)).astype(int)
    starts = np.flatnonzero(np.r_[True, np.diff(column) != 0])
    peaks = np.maximum.reduceat(points[:, 1], starts)
    return np.column_stack([points[starts, 0], peaks, points[starts, 2]])


def _dashed(image: Image, path: NDArray[np.float64], color: Color, unit: float) -> None:
    step = max(2.0, 5 * unit)
    dash = (path[:, 0] // step).astype(int)
    pieces = np.split(np.round(path * 2**_SHIFT).astype(np.int32), np.flatnonzero(np.diff(dash)) + 1)
    cv2.polylines(image, pieces[dash[0] % 2 :: 2], False, color, 1, cv2.LINE_AA, _SHIFT)
