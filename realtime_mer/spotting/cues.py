"""Says in FACS terms which regions a movement displaced. These are appearances that fit an action unit, not a FACS
coding."""

from __future__ import annotations

from typing import Final

import numpy as np

from realtime_mer.face.regions import EYE_DISTANCE, REGIONS, Region
from realtime_mer.records import Cue, Floats

SHARE: Final = 0.5  # a region moved when it was displaced by this share of the most displaced one
SLANT: Final = 0.5  # a direction counts when it carries this share of the displacement


def cues(displacement: Floats) -> tuple[Cue, ...]:
    """The regions that moved most, strongest first. displacement: float32 (R, 2), px of the aligned face at the
    apex."""
    size = np.hypot(displacement[:, 0], displacement[:, 1])
    order = np.argsort(-size, kind="stable")
    return tuple(_cue(REGIONS[i], displacement[i]) for i in order if size[i] >= SHARE * size[order[0]] and size[i] > 0)


def _cue(region: Region, shift: Floats) -> Cue:
    dx, dy = float(shift[0]), float(shift[1])
    length = float(np.hypot(dx, dy))
    units: list[str] = []
    if abs(dy) >= SLANT * length:
        units += region.up if dy < 0 else region.down
    if abs(dx) >= SLANT * length and region.name.startswith(("left", "right")):
        # the subject's left lies on the right of the picture, so there outward is towards greater x
        outward = (dx > 0) == region.name.startswith("left")
        units += region.outward if outward else region.inward
    scale = 100 / EYE_DISTANCE
    return Cue(region.name, round(dx * scale, 2), round(dy * scale, 2), tuple(dict.fromkeys(units)))
