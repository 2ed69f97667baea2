"""Turns rows of annotation sheets into annotations, without guessing. ``realtime_mer.sheets`` reads the files.

Impossible values are dropped and reported by row; which images exist is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from realtime_mer.sheets import blank, frame_number, rows
from train.datasets.reading import Problem
from train.records import OBJECTIVE

# Spellings in sheets and folder names -> the word used here.
EMOTIONS: Final[dict[str, str]] = {
    **{word: word for word in ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")},
    **{word: word for word in ("repression", "tense", "others", "negative", "positive")},
    "angry": "anger",
    "disgusted": "disgust",
    "afraid": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "other": "others",
}


@dataclass(frozen=True, slots=True)
class Annotation:
    """A valid row of a sheet. Frames are the sheet's own numbers, None when missing or contradictory."""

    where: str
    subject: str
    clip: str
    onset: int | None
    apex: int | None
    offset: int | None
    action_units: tuple[str, ...]
    emotion: str
    objective: str
    fps: float


@dataclass(frozen=True, slots=True)
class Coding:
    """The format of a data set's sheet.

    columns:  field -> possible headings, compared without regard to case, spaces and punctuation. Fields: subject,
              clip, onset, apex, offset, emotion, and optionally action_units, objective, fps.
    emotions: the data set's own words, applied after ``EMOTIONS``.
    subject, clip, emotion: functions from the row's values (field -> cell) to the names used here.
    fps:      frames/s, when there is no column.
    """

    columns: Mapping[str, tuple[str, ...]]
    emotions: frozenset[str]
    subject: Callable[[Mapping[str, Any]], str]
    clip: Callable[[Mapping[str, Any]], str]
    emotion: Callable[[Mapping[str, Any]], str] = lambda values: str(values["emotion"])
    fps: float = 0.0


OPTIONAL: Final = frozenset(("action_units", "objective"))


def read_sheet(path: Path, coding: Coding) -> tuple[list[Annotation], list[Problem]]:
    """All rows of a sheet. DataError when the file is missing or corrupt, or lacks a column."""
    found: list[Annotation] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, str], str] = {}
    for number, values in rows(path, coding.columns, OPTIONAL):
        where = f"{path.name} row {number}"
        annotation, faults = judge(where, values, coding)
        problems += faults
        if annotation is None:
            continue
        key = (annotation.subject, annotation.clip)
        if key in seen:
            problems.append(Problem(where, f"{'/'.join(key)} was already given in {seen[key]}", True))
            continue
        seen[key] = where
        found.append(annotation)
    return found, problems


def judge(where: str, values: Mapping[str, Any], coding: Coding) -> tuple[Annotation | None, list[Problem]]:
    """The annotation of a row, or None when it cannot be used, and its problems."""
    if blank(values["subject"]) or blank(values["clip"]):
        return None, [Problem(where, "no subject or no clip name", True)]
    subject, clip = coding.subject(values), coding.clip(values)
    name = f"{subject}/{clip}"
    word = coding.emotion(values).strip().lower()
    emotion = EMOTIONS.get(word, word)
    if emotion not in coding.emotions:
        return None, [Problem(where, f"{name}: unknown emotion {word!r}", True)]
    numbers = {field: frame_number(values[field]) for field in ("onset", "apex", "offset")}
    onset, apex, offset = numbers["onset"], numbers["apex"], numbers["offset"]
    if offset == 0 and onset:  # how these sheets write "not seen"
        offset = None
    problems = [
        Problem(where, f"{name}: {field} is {values[field]!r}, not a frame number", False)
        for field, number in (("onset", onset), ("apex", apex), ("offset", offset))
        if number is None
    ]
    if onset is not None and offset is not None and onset > offset:
        return None, [*problems, Problem(where, f"{name}: onset {onset} comes after offset {offset}", True)]
    if apex is not None and ((onset is not None and apex < onset) or (offset is not None and apex > offset)):
        problems.append(Problem(where, f"{name}: apex {apex} lies outside onset {onset} to offset {offset}", False))
        apex = None
    objective, fps = "", coding.fps
    if not blank(values.get("objective")):
        objective = _objective(values["objective"])
        if not objective:
            problems.append(Problem(where, f"{name}: unknown objective class {values['objective']!r}", False))
    if "fps" in coding.columns:
        fps = float(frame_number(values["fps"]) or 0)
        if fps <= 0:
            return None, [*problems, Problem(where, f"{name}: frame rate is {values['fps']!r}", True)]
    units = action_units(values.get("action_units"))
    return Annotation(where, subject, clip, onset, apex, offset, units, emotion, objective, fps), problems


def action_units(value: Any) -> tuple[str, ...]:
    """ "4+R12+7B" -> ("4", "R12", "7B"), as coded: sides and intensities are kept and not interpreted."""
    if blank(value):
        return ()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return tuple(part for part in (re.sub(r"(?i)^au\s*", "", p.strip()) for p in re.split(r"[+,]", str(value))) if part)


def _objective(value: Any) -> str:
    number = frame_number(value)
    if number is not None:
        return OBJECTIVE[number - 1] if 1 <= number <= len(OBJECTIVE) else ""
    text = str(value).strip().upper()
    return text if text in OBJECTIVE else ""
