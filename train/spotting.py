"""Spotting annotations of long videos, and a method's answers, as CSV files. ``spotting.scores`` has the scores.

Frame numbers are those of the file; ``sample=1`` in the scores counts the last frame as part of the movement.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from realtime_mer.sheets import frame_number, rows
from realtime_mer.spotting.scores import Movement, SpottingScores, match, recognition_f1, spotting, strs
from train.datasets.reading import Problem

__all__ = [
    "Movement",
    "SpottingScores",
    "match",
    "read_annotations",
    "read_answers",
    "recognition_f1",
    "spotting",
    "strs",
]

_ANNOTATED: Final = {
    "video": ("video_name",),
    "onset": ("start_frame",),
    "apex": ("apex_frame",),
    "offset": ("end_frame",),
    "type": ("type_idx",),
}
_ANSWERED: Final = {"video": ("vid",), "onset": ("pred_onset",), "offset": ("pred_offset",), "type": ("type",)}
_TYPES: Final = {"1": "macro", "2": "micro", "mae": "macro", "me": "micro"}


def read_annotations(path: Path, kind: str = "micro") -> tuple[list[Movement], list[Problem]]:
    """The movements of one kind ("micro" or "macro") in a list of CAS(ME)^2 or SAMM Long Videos.

    Columns video_name, start_frame, apex_frame, end_frame, type_idx (1 macro, 2 micro). A movement without an end (0)
    or with onset after offset is skipped and reported; an impossible apex is left out and reported.
    """
    return _read(path, _ANNOTATED, kind)


def read_answers(path: Path, kind: str = "micro") -> tuple[list[Movement], list[Problem]]:
    """The answers of one kind in the MEGC submission format: columns vid, pred_onset, pred_offset, type (mae or me)."""
    return _read(path, _ANSWERED, kind)


def _read(path: Path, columns: Mapping[str, tuple[str, ...]], kind: str) -> tuple[list[Movement], list[Problem]]:
    found: list[Movement] = []
    problems: list[Problem] = []
    for number, values in rows(path, columns):
        where = f"{path.name} row {number}"
        this = _TYPES.get(str(values["type"]).strip().lower())
        if this is None:
            problems.append(Problem(where, f"unknown type {values['type']!r}", True))
        if this != kind:
            continue
        onset, offset = frame_number(values["onset"]), frame_number(values["offset"])
        if onset is None or not offset or onset > offset:
            problems.append(
                Problem(where, f"from {values['onset']!r} to {values['offset']!r} is not an interval", True)
            )
            continue
        apex = frame_number(values.get("apex"))
        if "apex" in columns and (apex is None or not onset <= apex <= offset):
            problems.append(Problem(where, f"apex {values['apex']!r} is outside {onset} to {offset}", False))
            apex = None
        found.append(Movement(str(values["video"]).strip(), onset, offset, apex))
    return found, problems
