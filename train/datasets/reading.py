"""What a reader returns, and how it walks a folder of images. Nothing here is specific to a data set."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import DataError
from train.records import Clip

PICTURES: Final = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"))
_LAST_NUMBER: Final = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something missing or contradictory. where: the sheet's row or the folder. skipped: the clip is left out;
    otherwise only the value named in ``what`` is missing (an apex, an onset, some frames)."""

    where: str
    what: str
    skipped: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.what}{' (left out)' if self.skipped else ''}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: the usable clips, and the problems."""

    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...]

    @property
    def skipped(self) -> int:
        """Number of rows or clips left out."""
        return sum(problem.skipped for problem in self.problems)


class Tree:
    """All folders with images below a root, found by the end of their path, whatever folders the archive put around
    them."""

    def __init__(self, root: Path) -> None:
        """Scans once. DataError when the root is not a folder or contains no image."""
        self.root = require_folder(root)
        self._by_name: dict[str, list[Path]] = {}
        for folder, _, names in os.walk(root, followlinks=True):
            if any(os.path.splitext(name)[1].lower() in PICTURES for name in names):
                path = Path(folder)
                self._by_name.setdefault(path.name.lower(), []).append(path)
        if not self._by_name:
            raise DataError(f"no images under {root}: unpack the data set there, or give another folder")

    def folders(self) -> list[Path]:
        """Every folder that contains images, sorted."""
        return sorted(path for paths in self._by_name.values() for path in paths)

    def find(self, ending: str) -> Path | None:
        """The folder whose path ends with ``ending`` ("sub01/EP02_01f", case ignored); None when there is none.

        DataError when several do: then two versions of the images (raw and cropped) are under one root.
        """
        parts = ending.lower().split("/")
        hits = [
            path
            for path in self._by_name.get(parts[-1], ())
            if [part.lower() for part in path.parts[-len(parts) :]] == parts
        ]
        if len(hits) > 1:
            raise DataError(
                f"{ending} is under {self.root} more than once ({hits[0]}, {hits[1]}): give the folder of one version"
            )
        return hits[0] if hits else None


def require_folder(root: Path) -> Path:
    """The root itself, or DataError when it is not a folder."""
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: give the folder that holds the data set")
    return root


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """The images of a folder with the last number in each file name, sorted by it.

    DataError when a name has no number or two images have the same.
    """
    found: dict[int, Path] = {}
    for path in pictures(folder):
        match = _LAST_NUMBER.search(path.stem)
        if match is None:
            raise DataError(f"{path}: no frame number in the name")
        number = int(match.group(1))
        if number in found:
            raise DataError(f"{path} and {found[number].name} both say frame {number}")
        found[number] = path
    return sorted(found.items())


def pictures(folder: Path) -> list[Path]:
    """The images in a folder, sorted by name. DataError with the first that is an empty file."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if os.path.splitext(entry.name)[1].lower() in PICTURES and not entry.name.startswith("."):
                if entry.stat().st_size == 0:
                    raise DataError(f"{entry.path} is an empty file: unpack the data set again")
                found.append(Path(entry.path))
    return sorted(found)


def load_image(path: Path, gray: bool = False) -> NDArray[np.uint8]:
    """An image as uint8 BGR (H, W, 3), or gray (H, W). DataError when it cannot be read."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    image: Any = None
    if len(data):
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path} is not a readable image: unpack the data set again")
    return np.asarray(image, np.uint8)


def sequence(
    dataset: str, subject: str, clip: str, frames: Sequence[Path], emotion: str, fps: float, apex: int | None = None
) -> Clip:
    """A clip that is annotated only by its folder."""
    return Clip(dataset, subject, clip, tuple(frames), None, apex, None, fps, (), emotion)


def still(
    dataset: str, subject: str | None, path: Path, emotion: str, split: str = "", cohort: str = "", clip: str = ""
) -> Clip:
    """A single image as a clip of one frame, its apex."""
    return Clip(dataset, subject, clip or path.stem, (path,), None, 0, None, 0.0, (), emotion, "", split, cohort)
