"""A made-up tree with what the default recipe wants, CASME II and the MEGC2019 maps, and a face that is found in it."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import openpyxl

from realtime_mer.face.regions import LEFT_EYE_CORNERS, REGIONS, RIGHT_EYE_CORNERS
from realtime_mer.records import Face

EMOTIONS = ("disgust", "happiness", "surprise")
PLACES = ((80, 75), (130, 150), (110, 60))  # x, y px: what each class moves up
FRAMES, APEX = 9, 6
UNITS = ("4", "L12", "1+2")
OBJECTIVE = ("III", "I", "II")
HEAD = [
    "Subject",
    "Filename",
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    "Action Units",
    "Estimated Emotion",
    "Objective Classes",
]


class Known:
    """In place of the face detector: always finds the same face. Its eyes lie level, 60 px apart."""

    def __init__(self, **_: object) -> None:
        points = np.full((478, 2), 100.0, np.float32)
        for i, region in enumerate(REGIONS):
            points[list(region.points)] = (60 + 20 * (i % 5), 70 + 30 * (i // 5))
        points[list(RIGHT_EYE_CORNERS)], points[list(LEFT_EYE_CORNERS)] = (70, 80), (130, 80)
        self._face = Face(0, (40.0, 30.0, 160.0, 170.0), points, 1.0, (0.0, 0.0, 0.0))

    def detect(self, _frame: object) -> tuple[Face, ...]:
        return (self._face,)

    def close(self) -> None:
        pass


def tree(data: Path, subjects: int = 3, each: int = 3) -> None:
    """``subjects`` of CASME II, with frames and maps, and as many of SMIC, with maps only; ``each`` clips of each.

    Left out on purpose: a clip of sub01 without an apex, and one that is only in the MEGC2019 list.
    """
    random = np.random.default_rng(0)
    sheet, listed = openpyxl.Workbook(), []
    sheet.active.append(HEAD)
    maps = data / "megc2019" / "STSNet_whole_norm_u_v_os"
    maps.mkdir(parents=True)
    for s in range(1, subjects + 1):
        for k in range(each):
            name, label = f"EP{k:02d}", k % 3
            _frames(data / "CASME2" / "Cropped" / f"sub{s:02d}" / name, label, random)
            sheet.active.append([f"{s:02d}", name, 1, APEX, FRAMES, UNITS[label], EMOTIONS[label], OBJECTIVE[label]])
            listed.append(("casme2", f"sub{s:02d}", name, label))
            listed.append(("smic", f"s{s:02d}", f"s{s:02d}_{('ne', 'po', 'sur')[label]}_{k:02d}", label))
    _frames(data / "CASME2" / "Cropped" / "sub01" / "EP90", 0, random)
    sheet.active.append(["01", "EP90", 1, "/", FRAMES, "4", EMOTIONS[0], OBJECTIVE[0]])
    listed += [("casme2", "sub01", "EP90", 0), ("casme2", "sub01", "EP91", 0)]
    sheet.save(data / "CASME2" / "CASME2-coding-20990101.xlsx")
    with (data / "megc2019" / "combined_3_class2_for_optical_flow.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "sub", "filename_o", "label"])
        for dataset, subject, name, label in listed:
            writer.writerow([dataset, subject, name, label])
            image = random.integers(118, 138, (28, 28, 3), np.uint8)
            image[3 + 8 * label : 8 + 8 * label, 8:20, 1] = 20  # green is v: up
            cv2.imwrite(str(maps / f"{subject}_{name}.png"), image)


def _frames(folder: Path, label: int, random: np.random.Generator) -> None:
    """A textured face in which the place of the class rises until the apex."""
    folder.mkdir(parents=True)
    face = cv2.GaussianBlur(random.integers(0, 256, (200, 200), np.uint8), (0, 0), 2)
    x, y = np.meshgrid(np.arange(200, dtype=np.float32), np.arange(200, dtype=np.float32))
    rise = 3 * np.exp(-((x - PLACES[label][0]) ** 2 + (y - PLACES[label][1]) ** 2) / 300)
    for k in range(FRAMES):
        shift = (rise * np.sin(np.pi / 2 * k / (APEX - 1))).astype(np.float32)
        cv2.imwrite(str(folder / f"reg_img{k + 1}.jpg"), cv2.remap(face, x, y + shift, cv2.INTER_CUBIC))
