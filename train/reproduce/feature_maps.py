"""The output of a network's last block for one image, every channel as a gray tile: figures 5 and 6 of Ab Razak.

The image shows a person from the data folder, and some channels still show the face, so the file stays with the user.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from realtime_mer.errors import OutputError
from train.models.efficient_me import Truncated
from train.unit import open_unit

COLUMNS: Final = 10
GAP: Final = 2  # px between tiles
TILE: Final = 56  # px


def of(model: Truncated, picture: NDArray[Any], device: str) -> NDArray[np.float32]:
    """The output of the last block, (C, h, w), for an input (3, S, S)."""
    unit = open_unit(device)
    unit.place(model)
    model.eval()
    with torch.inference_mode():
        found = model.features(model.scale(unit.inputs(picture[None])))
    return np.asarray(found[0].float().cpu().numpy())


def draw(maps: NDArray[np.float32], at_most: int, file: Path) -> None:
    """Writes the first ``at_most`` channels as a PNG, each scaled from its smallest to its largest value.

    Raises OutputError.
    """
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    gray = (255 * (maps - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)[:at_most]
    rows = -(-len(gray) // COLUMNS)
    step = TILE + GAP
    sheet = np.full((rows * step + GAP, COLUMNS * step + GAP), 255, np.uint8)
    for number, tile in enumerate(gray):
        top, left = GAP + number // COLUMNS * step, GAP + number % COLUMNS * step
        sheet[top : top + TILE, left : left + TILE] = cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_NEAREST)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror}") from None
