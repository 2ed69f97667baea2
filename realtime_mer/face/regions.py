"""The aligned face: its size, the measured regions, and their landmarks.

Landmark numbers are MediaPipe's face mesh (478 points). Left and right are the subject's own: "left" regions are on the
right of an unmirrored frame. Nothing is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SIZE: Final = 128  # px, side of the aligned face
EYE_DISTANCE: Final = 44.0  # px between the eyes' centers in the aligned face
EYES_CENTER: Final = (64.0, 46.0)  # px, midpoint between the eyes in the aligned face

# Corners of the eyes: the landmarks that expressions move least. They define the eyes' centers.
RIGHT_EYE_CORNERS: Final = (33, 133)
LEFT_EYE_CORNERS: Final = (263, 362)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the face whose displacement is measured.

    points: landmarks whose mean is its center. up/down/inward/outward: the FACS action units that appear as a movement
    of this region in that direction (Ekman, Friesen & Hager 2002); inward is towards the face's midline.
    """

    name: str
    points: tuple[int, ...]
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    inward: tuple[str, ...] = ()
    outward: tuple[str, ...] = ()
    eye: bool = False  # moved by every blink
    mouth: bool = False  # moved by speech


REGIONS: Final[tuple[Region, ...]] = (
    Region("right inner brow", (107, 66, 55, 65), ("AU1",), ("AU4",), ("AU4",)),
    Region("left inner brow", (336, 296, 285, 295), ("AU1",), ("AU4",), ("AU4",)),
    Region("right outer brow", (70, 63, 46, 53), ("AU2",), ("AU4",)),
    Region("left outer brow", (300, 293, 276, 283), ("AU2",), ("AU4",)),
    Region("right eyelid", (159, 158, 160), ("AU5",), ("AU7", "AU43"), eye=True),
    Region("left eyelid", (386, 385, 387), ("AU5",), ("AU7", "AU43"), eye=True),
    Region("right cheek", (50, 101, 118), ("AU6",), outward=("AU12",)),
    Region("left cheek", (280, 330, 347), ("AU6",), outward=("AU12",)),
    Region("right nose wing", (129, 49, 102), ("AU9", "AU10"), outward=("AU38",)),
    Region("left nose wing", (358, 279, 331), ("AU9", "AU10"), outward=("AU38",)),
    Region("right lip corner", (61, 185, 146), ("AU12",), ("AU15",), ("AU18",), ("AU20", "AU12"), mouth=True),
    Region("left lip corner", (291, 409, 375), ("AU12",), ("AU15",), ("AU18",), ("AU20", "AU12"), mouth=True),
    Region("upper lip", (0, 37, 267, 39, 269), ("AU10",), ("AU23", "AU24"), mouth=True),
    Region("lower lip", (17, 84, 314, 181, 405), ("AU17", "AU24"), ("AU16", "AU25"), mouth=True),
    Region("chin", (199, 200, 175), ("AU17",), ("AU26",), mouth=True),
)

NAMES: Final = tuple(region.name for region in REGIONS)
EYE_REGIONS: Final = tuple(i for i, r in enumerate(REGIONS) if r.eye)
BROW_REGIONS: Final = (0, 1, 2, 3)
MOUTH_REGIONS: Final = tuple(i for i, r in enumerate(REGIONS) if r.mouth)
