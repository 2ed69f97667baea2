"""Annotation sheets: finding the columns, and turning rows into annotations without guessing.

Works on .xlsx and .csv. What a cell cannot mean is dropped and reported by row; which pictures exist is not known here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import openpyxl

from realtime_mer.errors import DataError
from train.datasets.reading import Problem
from train.records import OBJECTIVE

# Spellings found in sheets and folder names -> the word used throughout.
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
    """One row of a sheet that makes sense. Frames are the sheet's own numbers, None when missing or contradictory."""

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
    """How a data set's sheet is written.

    columns:  field -> the headings it may have, compared without case, spaces and marks. Fields: subject, clip, onset,
              apex, offset, emotion, and optionally action_units, objective, fps.
    emotions: the words that the data set uses, after ``EMOTIONS``.
    subject, clip, emotion: from the row's values (field -> cell) to the names used in the project and the emotion word.
    fps:      frames per second, when no column says it.
    """

    columns: Mapping[str, tuple[str, ...]]
    emotions: frozenset[str]
    subject: Callable[[Mapping[str, Any]], str]
    clip: Callable[[Mapping[str, Any]], str]
    emotion: Callable[[Mapping[str, Any]], str] = lambda values: str(values["emotion"])
    fps: float = 0.0


OPTIONAL: Final = frozenset(("action_units", "objective"))


def read_sheet(path: Path, coding: Coding) -> tuple[list[Annotation], list[Problem]]:
    """All rows of a sheet. DataError when the file is missing or corrupt, or a column is."""
    found: list[Annotation] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, str], str] = {}
    for number, values in rows(path, coding.columns):
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
    """One row: the annotation, or None when it cannot be used, and what is wrong with it."""
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


def rows(path: Path, columns: Mapping[str, tuple[str, ...]]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Row number (from 1, as a spreadsheet shows it) and the wanted cells, from the first table that has all columns.

    The heading may stand below a preamble. Wholly empty rows are left out.
    """
    best: list[str] = []
    for table in tables(path):
        for start, row in enumerate(table):
            places, missing = _places(row, columns)
            if not missing:
                return [
                    (number, {field: row[i] if i < len(row) else None for field, i in places.items()})
                    for number, row in enumerate(table[start + 1 :], start + 2)
                    if any(not blank(row[i]) for i in places.values() if i < len(row))
                ]
            if not best or len(missing) < len(best):
                best = missing
    raise DataError(f"{path}: no column {' and no column '.join(repr(columns[m][0]) for m in best) or 'at all'}")


def tables(path: Path, sheet: str | None = None) -> list[list[tuple[Any, ...]]]:
    """The cells of every sheet of the file, or of one named sheet. DataError when it cannot be read."""
    if not path.is_file():
        raise DataError(f"{path} is not there: give the annotation sheet")
    if path.suffix.lower() not in (".csv", ".xlsx"):
        raise DataError(f"{path}: only .xlsx and .csv sheets can be read: save it as .xlsx first")
    try:
        if path.suffix.lower() == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as stream:
                return [[tuple(row) for row in csv.reader(stream)]]
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            pages = {page.title: [tuple(row) for row in page.iter_rows(values_only=True)] for page in book.worksheets}
        finally:
            book.close()
    except Exception as error:  # a damaged file makes zipfile, the XML parser and openpyxl raise almost anything
        raise DataError(f"{path} cannot be read as a sheet ({str(error).split(chr(10))[0]}): get it again") from None
    if sheet is not None and sheet not in pages:
        raise DataError(f"{path}: no sheet {sheet!r}; it has {', '.join(pages)}")
    return [pages[sheet]] if sheet is not None else list(pages.values())


def blank(value: Any) -> bool:
    return value is None or not str(value).strip()


def frame_number(value: Any) -> int | None:
    """A whole number not below 0, from a number or its digits; None for everything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and value >= 0 else None
    if isinstance(value, int):
        return value if value >= 0 else None
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def action_units(value: Any) -> tuple[str, ...]:
    """ "4+R12+7B" -> ("4", "R12", "7B"), as coded: sides and intensities are kept, nothing is interpreted."""
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


def _places(row: tuple[Any, ...], columns: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, int], list[str]]:
    """Where each field stands in a heading row, and the needed fields that do not."""
    plain = [re.sub(r"[^a-z0-9]", "", str(cell).lower()) if cell is not None else "" for cell in row]
    places: dict[str, int] = {}
    for field, headings in columns.items():
        wanted = [re.sub(r"[^a-z0-9]", "", heading.lower()) for heading in headings]
        hits = [plain.index(heading) for heading in wanted if heading in plain]
        if hits:
            places[field] = hits[0]
    return places, [field for field in columns if field not in places and field not in OPTIONAL]
