"""Converts the public flow maps of the MEGC2019 composite to motion of the runtime's aligned face.

They are images of 28 x 28 px: red u, green v, blue strain, scaled to the extremes of each clip and channel. So they
show where and in which direction the skin moves, but not how far; the strain is left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from realtime_mer.face.regions import SIZE
from realtime_mer.records import Floats, Image

SIDE: Final = 28  # px
# Part of the aligned face that the maps show, px: rows, columns. Symmetric about the face's midline; chosen where own
# flow and the maps of the same CASME II clips correlate best.
ROWS: Final = (26, 110)
COLUMNS: Final = (29, 99)


def is_map(image: Image) -> bool:
    return image.shape == (SIDE, SIDE, 3)


def on_face(image: Image) -> Floats:
    """A map, uint8 BGR (28, 28, 3), as float32 (3, SIZE, SIZE): u, v, and 0 for the strain; in gray levels.

    The medians of u and v count as rest. Outside the part that the map shows, nothing moves.
    """
    uv = image[:, :, :0:-1].astype(np.float32)  # red, green
    return placed((uv - np.median(uv, axis=(0, 1)).astype(np.float32)).transpose(2, 0, 1))


def placed(uv: Floats) -> Floats:
    """Motion (2 or 3, 28, 28), 0 at rest, on the face: (3, SIZE, SIZE), the strain left out."""
    # 28 px cover 84 rows and 70 columns: each is repeated 3 times down and 5 times across, and two columns averaged.
    fine = np.repeat(np.repeat(uv[:2], 3, axis=1), 5, axis=2)
    face = np.zeros((3, SIZE, SIZE), np.float32)
    face[:2, slice(*ROWS), slice(*COLUMNS)] = (fine[:, :, ::2] + fine[:, :, 1::2]) / 2
    return face
