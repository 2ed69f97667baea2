"""A user's own recordings: a table with one row per clip, which gives a video or a folder of images, the subject, and
the class.

The columns are COLUMNS; docs/own-data.md explains them. Frames of videos are unpacked once, as the luma plane that the
runtime measures, into a folder beside the table. If a row has no key frames, the shipped spotter proposes them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from realtime_mer.config import load
from realtime_mer.errors import DataError, MerError, OutputError
from realtime_mer.records import Frame
from realtime_mer.sheets import blank, rows
from train.datasets.reading import Problem, Reading, numbered
from train.protocols import doubts
from train.records import OWN, Clip

COLUMNS: Final = ("path", "subject", "label", "onset", "apex", "offset", "unit", "fps", "aus")
KEYS: Final = ("onset", "apex", "offset")
OPTIONAL: Final = frozenset((*KEYS, "unit", "fps", "aus"))
SUFFIX: Final = ".csv"  # a data set with this suffix is a table of own clips
BEFORE: Final = 0.3  # s unpacked before the onset, to find the face
AFTER: Final = 0.2  # s after the offset
UNEVEN: Final = 0.25  # largest deviation of an interval between frames from the median, as a fraction


@dataclass(frozen=True, slots=True)
class Row:
    """One row as written. fps: 0 if not given; keys: as written, or none."""

    path: Path
    name: str
    subject: str | None
    label: str
    keys: tuple[float, float, float] | None
    unit: str
    fps: float
    aus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Key frames in s of the recording. proposed: by the spotter."""

    onset: float
    apex: float
    offset: float
    proposed: bool = False


def read_table(table: Path) -> Reading:
    """The clips of a table, and its problems by row; a row that cannot be used is skipped.

    Raises DataError when the table cannot be read or lacks a column.
    """
    clips: list[Clip] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for number, cells in rows(table, {column: (column,) for column in COLUMNS}, OPTIONAL):
        where = f"{table.name} row {number}"
        try:
            row = _row(table, cells)
            clip, notes = _clip(table, row)
        except MerError as error:
            problems.append(Problem(where, str(error), True))
            continue
        problems += [Problem(where, note, False) for note in notes]
        if clip.key in seen:
            problems.append(Problem(where, f"the same clip as {seen[clip.key]}", True))
            continue
        seen[clip.key] = where
        clips.append(clip)
    return Reading(tuple(clips), (*problems, *_doubtful(table.name, clips)))


def _row(table: Path, cells: Mapping[str, Any]) -> Row:
    """Parses a row. Raises DataError with what is wrong."""
    text = {key: "" if blank(value) else str(value).strip() for key, value in cells.items()}
    if not text["path"]:
        raise DataError("no path")
    if not text["label"]:
        raise DataError("no label")
    path = table.parent / text["path"]
    if not path.exists():
        raise DataError(f"{text['path']} does not exist (paths are relative to the folder of the table)")
    keys = _keys(text)
    unit = text.get("unit", "")
    if keys and unit not in ("s", "frames"):
        raise DataError(f"unit must be s or frames, not {unit!r}; onset, apex and offset are in this unit")
    fps = _number("fps", text["fps"]) if text.get("fps") else 0.0
    if path.is_dir() and fps <= 0:
        raise DataError("a folder of images needs fps")
    aus = tuple(part for part in re.split(r"[\s,;+]+", text.get("aus", "")) if part)
    return Row(path, text["path"], text["subject"] or None, text["label"], keys, unit, fps, aus)


def _keys(text: Mapping[str, str]) -> tuple[float, float, float] | None:
    given = [key for key in KEYS if text.get(key)]
    if not given:
        return None
    if len(given) < len(KEYS):
        missing = ", ".join(key for key in KEYS if key not in given)
        raise DataError(f"{missing} is empty: give onset, apex and offset, or none of them")
    onset, apex, offset = (_number(key, text[key]) for key in KEYS)
    if not 0 <= onset < apex <= offset:
        raise DataError(f"onset < apex <= offset does not hold: {onset:g}, {apex:g}, {offset:g}")
    return onset, apex, offset


def _number(what: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise DataError(f"{what} is not a number: {text!r}")
    return value


def _clip(table: Path, row: Row) -> tuple[Clip, list[str]]:
    """The clip of a row, and notes about it. Raises DataError, and whatever reading the file raises."""
    span = _span(table, row)
    notes = []
    if span.proposed:
        notes.append(f"key frames proposed by the spotter: {span.onset:.3f}, {span.apex:.3f}, {span.offset:.3f} s")
    if row.path.is_dir():
        frames, start, fps = [path for _, path in numbered(row.path)], 0.0, row.fps
    else:
        frames, start, fps = _unpacked(table, row, span)
    onset, apex, offset = (round((time - start) * fps) for time in (span.onset, span.apex, span.offset))
    if offset >= len(frames):
        raise DataError(f"the offset, {span.offset:.3f} s, is after the last frame of {row.name}")
    if apex <= onset:
        raise DataError(f"onset and apex are the same frame at {fps:.0f} frames/s")
    name = f"{row.name}@{span.onset:.3f}"
    clip = Clip(table.stem, row.subject, name, tuple(frames), onset, apex, offset, fps, row.aus, row.label, cohort=OWN)
    return clip, notes


def _span(table: Path, row: Row) -> Span:
    """The key frames in s, as given or proposed. Raises DataError when nothing moves."""
    if row.keys is None:
        onset, apex, offset = _kept(_folder(table, row) / "proposed.json", lambda: _proposed(row))
        return Span(onset, apex, offset, proposed=True)
    if row.unit == "s":
        return Span(*row.keys)
    if row.path.is_dir():
        onset, apex, offset = (key / row.fps for key in row.keys)
        return Span(onset, apex, offset)
    times = _kept(_folder(table, row) / "times.json", lambda: [frame.time for frame in _frames(row)])
    if row.keys[2] > len(times) - 1:
        raise DataError(f"offset {row.keys[2]:g} is not among the {len(times)} frames of {row.name} (the first is 0)")
    onset, apex, offset = (times[int(key)] for key in row.keys)
    return Span(onset, apex, offset)


def _proposed(row: Row) -> list[float]:
    """Onset, apex and offset of the strongest confirmed movement, or else of the strongest rejected one."""
    from realtime_mer.build import NO_MODEL, build
    from realtime_mer.records import Status
    from realtime_mer.run import watch
    from realtime_mer.sources import open_source

    config = load(None, [f"classify.model={NO_MODEL}"])
    with open_source(row.path, rate=row.fps or None) as source, build(config) as pipeline:
        events = [event for seen in watch(source, pipeline) for event in seen.events if event.final]
    if not events:
        raise DataError("no key frames, and the spotter found no movement: give onset, apex and offset")
    best = max(events, key=lambda event: (event.status is Status.CONFIRMED, event.movement.strength)).movement
    return [best.onset, best.apex, best.end]


def _frames(row: Row) -> Iterator[Frame]:
    from realtime_mer.sources import open_source

    with open_source(row.path, rate=row.fps or None) as source:
        yield from source


def _unpacked(table: Path, row: Row, span: Span) -> tuple[list[Path], float, float]:
    """Images of the frames of a video around its span, the time of the first, s, and frames/s."""
    folder = _folder(table, row) / f"{span.onset:.3f}-{span.offset:.3f}"
    times = _kept(folder / "times.json", lambda: _unpack(row, span, folder))
    if len(times) < 3:
        raise DataError(f"{row.name} has {len(times)} frames from onset to offset")
    intervals = [late - early for early, late in pairwise(times)]
    usual = float(np.median(intervals))
    if max(abs(interval - usual) for interval in intervals) > UNEVEN * usual:
        raise DataError(f"the frames of {row.name} are not evenly spaced (lost frames, or a variable rate)")
    frames = [folder / f"{number:06d}.png" for number in range(len(times))]
    return frames, times[0], (len(times) - 1) / (times[-1] - times[0])


def _unpack(row: Row, span: Span, folder: Path) -> list[float]:
    """Writes the images and returns their times. Nothing after the clip is decoded."""
    times: list[float] = []
    for frame in _frames(row):
        if frame.time > span.offset + AFTER:
            break
        if frame.time >= span.onset - BEFORE:
            if not cv2.imwrite(str(folder / f"{len(times):06d}.png"), frame.gray):
                raise OutputError(f"cannot write to {folder}: check the folder and the space left")
            times.append(frame.time)
    return times


def _folder(table: Path, row: Row) -> Path:
    """The folder for files made from a recording; a different one when the recording changes."""
    state = row.path.stat()
    identity = f"{row.name} {state.st_size} {state.st_mtime_ns} {row.fps}"
    return table.with_name(f"{table.stem}-frames") / hashlib.sha256(identity.encode()).hexdigest()[:16]


def _kept(file: Path, make: Callable[[], list[float]]) -> list[float]:
    """The numbers in ``file``, or those from ``make``, which are then stored there. Its folder must exist."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(make()), encoding="utf-8")
    numbers: list[float] = json.loads(file.read_text(encoding="utf-8"))
    return numbers


def _doubtful(name: str, clips: Sequence[Clip]) -> list[Problem]:
    """Problems of the table as a whole."""
    found = [Problem(name, doubt, False) for doubt in doubts(clips)]
    if nobody := sum(clip.subject is None for clip in clips):
        found.append(Problem(name, f"{nobody} rows have no subject: these cannot be held out by person", False))
    people: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        people[clip.emotion].add(clip.group)
    if clips and len(people) < 2:
        found.append(Problem(name, "there is only one class; at least two are needed", False))
    for label, groups in sorted(people.items()):
        if len(groups) == 1 and len(people) > 1:
            found.append(
                Problem(name, f"{label!r} is shown by only one person: it cannot be both learned and tested", False)
            )
    return found
