"""The synthetic recordings for timing: the demo portrait, made on demand in the cache. Measures nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from realtime_mer.assets import cache_dir
from realtime_mer.records import Frame, Image

VERSION: Final = 1  # part of the file names; increased when the clips change
GRAY: Final = 96  # of areas without a face
# The part of the 640x480 portrait that is repeated. It is tight, so that even 16 of them in a square frame show faces
# wider than 14 % of it, which the detector finds in its first search.
TILE: Final = (slice(100, 400), slice(170, 470))  # rows, columns


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording: size in px, number of faces (copies of one face), frames/s, seconds."""

    width: int = 640
    height: int = 480
    faces: int = 1
    fps: float = 100.0
    seconds: float = 20.0

    @property
    def path(self) -> Path:
        """The path of the file, whether or not it exists."""
        name = f"v{VERSION}-{self.width}x{self.height}-{self.faces}f-{self.fps:g}fps-{self.seconds:g}s.mp4"
        return cache_dir() / "bench" / name


def make(clip: Clip) -> Path:
    """The file of ``clip``, H.264 at CRF 18, with its truth beside it; drawn if it is not in the cache.

    Raises SourceError without scikit-image, ModelError without the face model, OutputError when it cannot be written.
    """
    from realtime_mer.synth import demo_script, portrait, render, write_truth, write_video

    path = clip.path
    if not path.is_file():
        script = replace(demo_script(clip.fps), duration=clip.seconds)
        unfinished = path.with_name(f"{os.getpid()}-{path.name}")
        try:
            write_video(_tiled(render(script, *portrait()), clip), unfinished)
            write_truth(
                [truth for truth in demo_script(clip.fps).truth() if truth.offset < clip.seconds],
                path.with_suffix(".truth.json"),
            )
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def _tiled(frames: Iterable[Frame], clip: Clip) -> Iterator[Frame]:
    for frame in frames:
        image = arrange(frame.image, clip)
        gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        yield Frame(frame.index, frame.time, gray, lambda image=image: image)  # type: ignore[misc]


def arrange(image: Image, clip: Clip) -> Image:
    """For one face, the portrait cropped to the clip's shape and scaled; for several, a grid of squares with one face
    each."""
    size = clip.width, clip.height
    if clip.faces == 1:
        height, width = image.shape[:2]
        tall, wide = min(height, width * size[1] // size[0]), min(width, height * size[0] // size[1])
        y, x = (height - tall) // 2, (width - wide) // 2
        return np.asarray(cv2.resize(image[y : y + tall, x : x + wide], size, interpolation=cv2.INTER_LINEAR), np.uint8)
    side, columns = largest_square(clip.faces, *size)
    tile = cv2.resize(image[TILE], (side, side), interpolation=cv2.INTER_AREA)
    canvas = np.full((clip.height, clip.width, 3), GRAY, np.uint8)
    for face in range(clip.faces):
        y, x = face // columns * side, face % columns * side
        canvas[y : y + side, x : x + side] = tile
    return canvas


def largest_square(number: int, width: int, height: int) -> tuple[int, int]:
    """Side of the largest squares of which ``number`` fit into width x height, and the number per row."""
    sides = [(min(width // columns, height // -(-number // columns)), columns) for columns in range(1, number + 1)]
    return max(sides, key=lambda entry: (entry[0], -entry[1]))
