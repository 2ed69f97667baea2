"""Reads the annotated expressions of long videos: SAMM Long Videos, CAS(ME)^2 and CAS(ME)^3, as published.

Only sheets are read here, no images. Frame numbers are the sheet's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from realtime_mer.errors import DataError
from realtime_mer.records import Kind
from realtime_mer.sheets import blank, frame_number, rows, tables

SAMM_LV, CASME_SQ, CASME3 = "samm-lv", "casme-sq", "casme3"

# A list of annotated intervals in the format of published spotting methods: type 1 is macro, 2 is micro.
_LIST: Final = {
    "video": ("video_name",),
    "onset": ("start_frame",),
    "apex": ("apex_frame",),
    "offset": ("end_frame",),
    "type": ("type_idx",),
}
_SAMM: Final = {
    "name": ("Filename",),
    "onset": ("Onset", "OnsetFrame"),
    "apex": ("Apex", "ApexFrame"),
    "offset": ("Offset", "OffsetFrame"),
    "type": ("Type", "Micro"),
    "emotion": ("Emotion", "Estimated Emotion"),
}
_CASME3: Final = {
    "subject": ("Subject", "sub"),
    "name": ("Filename", "seq"),
    "onset": ("Onset",),
    "apex": ("Apex",),
    "offset": ("Offset",),
    "emotion": ("emotion",),
}
_CASME_SQ: Final = ("number", "name", "onset", "apex", "offset", "action_units", "emotion", "type")  # in this order


@dataclass(frozen=True, slots=True)
class Expression:
    """One annotated expression. video: as ``long_videos`` names the folders, e.g. "006_1", "15_0401", "spNO.1/a".

    onset, offset: frame numbers, the offset the last frame; apex: None if the sheet has no valid one.
    """

    video: str
    onset: int
    apex: int | None
    offset: int
    kind: Kind
    label: str


def read_expressions(name: str, sheet: Path) -> tuple[list[Expression], int]:
    """The expressions of one data set's sheet, or of a list of intervals (.csv), and the number of invalid rows.

    name: "samm-lv", "casme-sq" or "casme3". Raises DataError when the sheet cannot be read.
    """
    reader = _listed if sheet.suffix.lower() == ".csv" and name != CASME3 else READERS[name]
    found: list[Expression] = []
    seen: set[tuple[str, int, int]] = set()
    wrong = 0
    for expression in reader(sheet):
        if expression is None:
            wrong += 1
        elif (key := (expression.video, expression.onset, expression.offset)) not in seen:  # some are listed twice
            seen.add(key)
            found.append(expression)
    return found, wrong


def casmesq_names(sheet: Path) -> tuple[dict[int | None, str], dict[str, str]]:
    """CAS(ME)^2: the sheet's subject number -> the folders' ("15"), and video name -> video code ("0401").

    Raises DataError when the pages "naming rule1" and "naming rule2" do not list them.
    """
    subjects = {
        frame_number(row[2]): str(row[1]).strip().lstrip("sS")
        for row in tables(sheet, "naming rule1")[0]
        if len(row) > 2 and frame_number(row[2]) is not None
    }
    videos = {
        str(row[1]).strip().lower(): f"{frame_number(row[0]):04d}"
        for row in tables(sheet, "naming rule2")[0]
        if len(row) > 1 and frame_number(row[0]) is not None
    }
    if not subjects or not videos:
        raise DataError(f"{sheet}: the pages 'naming rule1' and 'naming rule2' do not contain the names")
    return subjects, videos


def _samm(sheet: Path) -> Iterator[Expression | None]:
    for _, row in rows(sheet, _SAMM, ("emotion",)):
        parts = str(row["name"]).strip().split("_")  # subject, video, expression
        kind = _kind(row["type"])
        yield None if len(parts) < 2 or kind is None else _expression("_".join(parts[:2]), kind, row)


def _casme_sq(sheet: Path) -> Iterator[Expression | None]:
    subjects, videos = casmesq_names(sheet)
    for cells in tables(sheet)[0]:
        row = dict(zip(_CASME_SQ, cells, strict=False))
        if blank(row.get("number")):
            continue
        kind = _kind(row.get("type"))
        subject = subjects.get(frame_number(row["number"]))
        video = videos.get(str(row.get("name")).strip().split("_")[0].lower())
        yield None if None in (kind, subject, video) else _expression(f"{subject}_{video}", kind or Kind.MICRO, row)


def _casme3(sheet: Path) -> Iterator[Expression | None]:
    """The sheet of part A's micro-expressions; macro-expressions are in another file, recognized by its name."""
    kind = Kind.MACRO if "mae" in sheet.stem.lower() else Kind.MICRO
    for _, row in rows(sheet, _CASME3, ("emotion",)):
        yield _expression(f"{str(row['subject']).strip()}/{str(row['name']).strip()}", kind, row)


def _listed(sheet: Path) -> Iterator[Expression | None]:
    for _, row in rows(sheet, _LIST):
        kind = {"1": Kind.MACRO, "2": Kind.MICRO}.get(str(row["type"]).strip())
        video = re.sub(r"^(casme|samm)_", "", str(row["video"]).strip())
        if match := re.fullmatch(r"0*(\d+)_(\d{4})", video):  # CAS(ME)^2's folders have no leading 0
            video = f"{match[1]}_{match[2]}"
        yield None if kind is None else _expression(video, kind, row)


def _expression(video: str, kind: Kind, row: Mapping[str, Any]) -> Expression | None:
    onset, apex, offset = (frame_number(row.get(name)) for name in ("onset", "apex", "offset"))
    if onset is None or not offset or offset <= onset:  # these sheets write 0 for "not seen"
        return None
    if apex is not None and not onset <= apex <= offset:
        apex = None
    return Expression(video, onset, apex, offset, kind, str(row.get("emotion") or "").strip().lower())


def _kind(value: Any) -> Kind | None:
    """ "Micro - 1/2" and "micro-expression" -> MICRO; "Macro" and "macro-expression" -> MACRO."""
    word = str(value).strip().lower()
    return Kind.MICRO if word.startswith("micro") else Kind.MACRO if word.startswith("macro") else None


READERS: Final[dict[str, Callable[[Path], Iterator[Expression | None]]]] = {
    SAMM_LV: _samm,
    CASME_SQ: _casme_sq,
    CASME3: _casme3,
}
