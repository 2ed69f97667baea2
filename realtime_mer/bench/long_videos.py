"""Annotated long videos as cases of ``bench spotting``: folders of numbered images.

Layouts below whatever the archive unpacks to: SAMM Long Videos 006_1/006_1_0001.jpg, CAS(ME)^2
rawpic/s15/15_0401girlcrashing/img1.jpg, CAS(ME)^3 spNO.1/a/color/1.jpg (or spNO.1/a/1.jpg).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from realtime_mer.bench.annotations import CASME3, CASME_SQ, SAMM_LV, Expression, read_expressions
from realtime_mer.bench.spotting import Case
from realtime_mer.errors import DataError
from realtime_mer.records import Frame
from realtime_mer.synth import Truth

PICTURES: Final = frozenset((".jpg", ".jpeg", ".png", ".bmp"))
NAMES: Final = {SAMM_LV: "SAMM Long Videos", CASME_SQ: "CAS(ME)^2", CASME3: "CAS(ME)^3"}
RATES: Final = {SAMM_LV: 200.0, CASME_SQ: 30.0, CASME3: 30.0}  # frames/s, as published
# The folder of one video, by the end of its path; the joined groups are the video's name.
_FOLDERS: Final = {
    SAMM_LV: re.compile(r"(\d{3}_\d+)"),
    CASME_SQ: re.compile(r"(\d+_\d{4})[^/]*"),
    CASME3: re.compile(r"(spNO\.?\d+)/([^/]+)(?:/color)?", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class LongVideos:
    """cases: one per video, annotated or not. notes: a line for each thing that could not be used."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...]


def long_videos(name: str, root: Path, sheet: Path) -> LongVideos:
    """The videos of one data set below ``root``, with the annotations of its ``sheet``.

    name: "samm-lv", "casme-sq" or "casme3". Raises DataError when there are no such videos, or the sheet cannot be
    read.
    """
    expressions, wrong = read_expressions(name, sheet)
    folders = _folders(name, root)
    if not folders:
        raise DataError(f"no videos of {NAMES[name]} in {root}: give the folder that contains their image folders")
    by_video: dict[str, list[Expression]] = defaultdict(list)
    for expression in expressions:
        by_video[expression.video].append(expression)
    cases = tuple(_case(name, video, folder, by_video[video]) for video, folder in sorted(folders.items()))
    absent = sorted(by_video.keys() - folders.keys())
    notes = [f"{wrong} rows without onset, offset, kind or video are left out"] if wrong else []
    if absent:
        number = sum(len(by_video[video]) for video in absent)
        notes.append(f"{number} annotated expressions are left out: no images of {', '.join(absent[:5])}")
    outside = sum(len(by_video[case.name]) - len(case.truth) for case in cases)
    if outside:
        notes.append(f"{outside} annotated expressions are left out: their frames are missing")
    return LongVideos(cases, tuple(f"{NAMES[name]}: {note}" for note in notes))


def _folders(name: str, root: Path) -> dict[str, Path]:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: give the folder that contains the videos' images")
    found: dict[str, Path] = {}
    for where, folders, files in os.walk(root, followlinks=True):
        folders.sort()
        if not any(Path(file).suffix.lower() in PICTURES for file in files):
            continue
        parts = Path(where).absolute().as_posix().split("/")
        for length in (3, 2, 1):
            if match := _FOLDERS[name].fullmatch("/".join(parts[-length:])):
                found.setdefault("/".join(match.groups()), Path(where))
                break
    return found


def _case(name: str, video: str, folder: Path, expressions: Sequence[Expression]) -> Case:
    pictures = numbered(folder)
    first, last, rate = pictures[0][0], pictures[-1][0], RATES[name]

    def time(number: int) -> float:
        return (number - first) / rate

    truth = tuple(
        Truth(
            e.kind,
            time(e.onset),
            time(e.apex if e.apex is not None else (e.onset + e.offset) // 2),
            time(e.offset),
            video,
            label=e.label,
        )
        for e in expressions
        if first <= e.onset and e.offset <= last
    )
    subject = re.split(r"[_/]", video)[0]
    return Case(video, partial(played, folder, rate), truth, subject=subject)


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """The images of a folder with the last number in each name, in its order. Raises DataError when a name has none."""
    found: dict[int, Path] = {}
    for path in folder.iterdir():
        if path.suffix.lower() not in PICTURES or path.name.startswith("."):
            continue
        digits = re.findall(r"\d+", path.stem)
        if not digits or int(digits[-1]) in found:
            raise DataError(f"{path}: its name has no frame number")
        found[int(digits[-1])] = path
    return sorted(found.items())


def played(folder: Path, rate: float) -> Iterator[Frame]:
    """The images at the times given by their numbers; missing or damaged ones leave a gap in time."""
    pictures = numbered(folder)
    first, before, index = pictures[0][0], pictures[0][0] - 1, 0
    for number, path in pictures:
        image = cv2.imread(str(path))
        if image is None:
            continue
        picture = np.asarray(image, np.uint8)
        gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        yield Frame(index, (number - first) / rate, gray, picture.copy, lost=number - before - 1)
        before, index = number, index + 1
