"""Overlays leave the picture's size in order, mark what moved where it moved, and never fail on odd input."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from made_observations import activity, event, face, recording

from realtime_mer.face.regions import REGIONS
from realtime_mer.records import Face, FaceSignal, Image, Kind, Observation
from realtime_mer.sinks.draw import (
    GRAY,
    SKY,
    VERMILLION,
    YELLOW,
    Overlay,
    draw_face,
    event_color,
    event_words,
    face_crop,
    heat_map,
    thumbnails,
)


def gray(height: int = 480, width: int = 640) -> Image:
    return np.full((height, width, 3), 128, np.uint8)


def spread_face(box: tuple[float, float, float, float] = (200, 100, 440, 380)) -> Face:
    """A face whose regions lie apart, on a grid inside the box."""
    made = face(1, box)
    points = made.points.copy()
    x0, y0, x1, y1 = box
    for number, region in enumerate(REGIONS):
        at = (x0 + (x1 - x0) * (0.1 + 0.2 * (number % 5)), y0 + (y1 - y0) * (0.55 + 0.15 * (number // 5)))
        points[list(region.points)] = at
    return dataclasses.replace(made, points=points)


def has(image: Image, color: tuple[int, int, int]) -> int:
    return int(np.all(np.abs(image.astype(int) - color) < 40, axis=2).sum())


@pytest.mark.parametrize(
    ("size", "width"), [((480, 640), 640), ((75, 97), 485), ((361, 641), 641), ((720, 1280), 1280)]
)
def test_the_strip_is_added_below_and_the_height_is_even(size: tuple[int, int], width: int) -> None:
    overlay = Overlay()
    image = gray(*size)
    for observation in recording(150):
        overlay.see(observation)
    out = overlay.draw(image, observation)
    assert out.dtype == np.uint8
    assert out.shape[1] == width
    assert out.shape[0] % 2 == 0
    assert out.shape[0] > size[0] * width // size[1]
    assert (image == 128).all()  # the picture itself is not drawn on


def test_the_curve_shows_level_and_events() -> None:
    overlay = Overlay()
    for observation in recording(120):
        overlay.see(observation)
    strip = overlay.draw(gray(), observation)[480:]
    assert has(strip, SKY) > 20
    assert has(strip, YELLOW) > 5  # the provisional event's mark
    for observation in list(recording(150))[120:]:
        overlay.see(observation)
    strip = overlay.draw(gray(), observation)[480:]
    assert has(strip, VERMILLION) > 5  # confirmed
    assert has(strip, YELLOW) == 0


def test_what_is_past_the_window_is_forgotten() -> None:
    overlay = Overlay(window=0.5)
    for observation in recording(300):
        overlay.see(observation)
    assert {e.movement.id for e in overlay._events.values()} <= {2}
    assert len(overlay._curves[1]) <= 51
    overlay.see(Observation(300, 9.0, (), (), 0.0))
    assert not overlay._curves
    assert not overlay._events


def test_a_moved_region_is_tinted_and_the_others_are_not() -> None:
    signal = FaceSignal(spread_face(), activity(10.0, moved=7))
    image = gray()
    draw_face(image, signal)
    for number, region in enumerate(REGIONS):
        x, y = signal.face.points[list(region.points)].mean(axis=0).astype(int)
        saturation = int(cv2.cvtColor(image[y - 7 : y + 8, x - 7 : x + 8], cv2.COLOR_BGR2HSV)[:, :, 1].max())
        assert (saturation > 60) == (number == 7), region.name


def test_faces_partly_outside_or_without_landmarks_do_not_fail() -> None:
    for box in ((-200, -50, 40, 60), (600, 400, 900, 700), (5000, 5000, 5100, 5100), (10, 10, 10, 10)):
        draw_face(gray(), FaceSignal(spread_face(box), activity(9.0), "turned away"))
    draw_face(gray(), FaceSignal(dataclasses.replace(face(), points=np.zeros((0, 2), np.float32)), activity(9.0)))
    draw_face(gray(), FaceSignal(dataclasses.replace(face(), points=np.zeros((478, 2), np.float32)), activity(9.0)))


def test_words_and_colors_of_events() -> None:
    made = [
        event(),
        event(label=None),
        event(provisional=True),
        event(kind=Kind.BLINK, reason="eyes"),
        dataclasses.replace(event(), prediction=None),
    ]
    assert [event_words(e) for e in made] == [
        "micro: negative 70 %", "micro: abstained", "micro? negative 70 %", "blink", "micro-expression",
    ]  # fmt: skip
    assert [event_color(e) for e in made] == [VERMILLION, VERMILLION, YELLOW, GRAY, VERMILLION]


def test_a_crop_shows_the_face_and_repeats_the_edge() -> None:
    image = gray(400, 600)
    image[100:200, 300:400] = (0, 0, 255)
    crop = face_crop(image, (300, 100, 400, 200), 60)
    assert crop.shape == (60, 60, 3)
    assert crop[30, 30].tolist() == [0, 0, 255]
    assert crop[1, 1].tolist() == [128, 128, 128]
    big = cv2.resize(image, None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST)
    assert np.abs(face_crop(big, (1800, 600, 2400, 1200), 60)[10:50, 10:50].astype(int) - crop[10:50, 10:50]).max() <= 2
    assert face_crop(image, (-50, -50, 10, 10), 40).shape == (40, 40, 3)


def test_thumbnails_stand_side_by_side() -> None:
    strip = thumbnails([(name, 1.0, np.full((64, 64, 3), v, np.uint8)) for v, name in ((10, "onset"), (90, "apex"))])
    assert strip.shape[1] == 2 * 68 - 4
    assert (strip[:64, :64] == 10).all()
    assert (strip[:64, 68:] == 90).all()


def test_the_heat_is_where_the_flow_is_and_still_places_stay_gray() -> None:
    flow = np.zeros((3, 128, 128), np.float32)
    flow[0, 80:100, 60:90] = -2.0
    heat = heat_map(flow, np.full((128, 128), 100, np.uint8)).astype(int)
    colorful = np.ptp(heat, axis=2) > 30
    assert colorful[84:96, 64:86].all()
    assert not colorful[:70].any()
    still = heat_map(np.zeros_like(flow), np.full((128, 128), 100, np.uint8))
    assert (still == 100).all()
