"""Describes in FACS terms which regions a movement displaced, and on which side of the face. These are appearances that
match an action unit, not a FACS coding."""

from __future__ import annotations

from typing import Final

import numpy as np

from realtime_mer.face.regions import EYE_DISTANCE, NAMES, REGIONS, Region
from realtime_mer.records import Cue, Floats

SHARE: Final = 0.5  # a region counts as moved above this fraction of the largest displacement
SLANT: Final = 0.5  # a direction counts above this fraction of the displacement
# One side moved alone if the other moved less than this fraction of it. Of the 208 clips of CASME II whose coded action
# units are of one side only, or of both, 72 % of left, 69 % of right and 85 % of two-sided ones are recognized, and no
# left one is confused with a right one (docs/recognizers.md).
BOTH: Final = 0.5
_RIGHT: Final = [i for i, region in enumerate(REGIONS) if region.name.startswith("right ") and not region.eye]
_LEFT: Final = [NAMES.index(NAMES[i].replace("right", "left")) for i in _RIGHT]


def side(displacement: Floats) -> str:
    """The side that moved, "left", "right" or "both", from the subject's view; lids do not count.

    displacement: float32 (R, 2), px of the aligned face at the apex.
    """
    left, right = (float(np.linalg.norm(displacement[where])) for where in (_LEFT, _RIGHT))
    if min(left, right) >= BOTH * max(left, right):
        return "both"
    return "left" if left > right else "right"


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
        # the subject's left is on the right of the frame, so outward there is towards larger x
        outward = (dx > 0) == region.name.startswith("left")
        units += region.outward if outward else region.inward
    scale = 100 / EYE_DISTANCE
    return Cue(region.name, round(dx * scale, 2), round(dy * scale, 2), tuple(dict.fromkeys(units)))
