"""Reader of CAS(ME)^2: long videos as frames (rawpic/s15/15_0401girlcrashing/*.jpg) and one sheet without a header.

The sheet's first page lists expressions; pages "naming rule1" and "naming rule2" translate its subject numbers and
video names to those of the folders. Micro- and macro-expressions are two data sets here ("casmesq", "casmesq-macro").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from realtime_mer.bench.annotations import casmesq_names
from realtime_mer.errors import DataError
from realtime_mer.sheets import blank, frame_number, tables
from train.datasets.micro import attach
from train.datasets.reading import Problem, Reading, Tree, numbered
from train.datasets.sheets import Annotation, Coding, judge
from train.records import Clip

FPS: Final = 30.0
KIND: Final = {"casmesq": "micro-expression", "casmesq-macro": "macro-expression"}
_FIELDS: Final = ("number", "name", "onset", "apex", "offset", "action_units", "emotion", "type")  # in this order
_FOLDER: Final = re.compile(r"(\d+)_(\d{4})")  # subject and video at the start of a video's folder

CODING: Final = Coding(
    columns={},
    emotions=frozenset(("negative", "positive", "surprise", "others")),
    subject=lambda values: f"s{values['subject']}",
    clip=lambda values: str(values["clip"]),
    fps=FPS,
)


def casmesq_annotations(sheet: Path, dataset: str) -> tuple[list[tuple[Annotation, tuple[str, str]]], list[Problem]]:
    """Each expression of the data set's kind with (subject, video) as in the folder names, and the problems."""
    subjects, videos = casmesq_names(sheet)
    found: list[tuple[Annotation, tuple[str, str]]] = []
    problems: list[Problem] = []
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(tables(sheet)[0], 1):
        values: dict[str, Any] = dict(zip(_FIELDS, row, strict=False))
        if blank(values.get("number")):
            continue
        where = f"{sheet.name} row {number}"
        if len(row) < len(_FIELDS):
            raise DataError(f"{where}: {len(row)} columns, expected {len(_FIELDS)} or more ({', '.join(_FIELDS)})")
        if str(values["type"]).strip().lower() != KIND[dataset]:
            if str(values["type"]).strip().lower() not in KIND.values():
                problems.append(
                    Problem(where, f"type is {values['type']!r}, neither micro- nor macro-expression", True)
                )
            continue
        name = str(values["name"]).strip()
        subject, video = subjects.get(frame_number(values["number"])), videos.get(name.split("_")[0].lower())
        if subject is None or video is None:
            what = f"subject {values['number']!r} or video {name!r} is not in the naming rules"
            problems.append(Problem(where, what, True))
            continue
        annotation, faults = judge(where, {**values, "subject": subject, "clip": name}, CODING)
        problems += faults
        if annotation is None:
            continue
        if (annotation.subject, name) in seen:
            problems.append(Problem(where, f"{annotation.subject}/{name} was already given", True))
            continue
        seen.add((annotation.subject, name))
        found.append((annotation, (subject, video)))
    return found, problems


def read_casmesq(dataset: str, root: Path, sheets: Sequence[Path]) -> Reading:
    """One clip for each expression: the frames from onset to offset of its long video."""
    tree = Tree(root)
    videos: dict[tuple[str, str], Path] = {}
    for folder in tree.folders():
        if match := _FOLDER.match(folder.name):
            if match.groups() in videos:
                raise DataError(
                    f"{folder} and {videos[match.group(1), match.group(2)]} are the same video: give one root"
                )
            videos[match.group(1), match.group(2)] = folder
    clips: list[Clip] = []
    problems: list[Problem] = []
    listed: dict[Path, list[tuple[int, Path]]] = {}
    for sheet in sheets:
        found, faults = casmesq_annotations(sheet, dataset)
        problems += faults
        for annotation, video in found:
            if video not in videos:
                problems.append(Problem(annotation.where, f"no folder {'_'.join(video)}* with pictures", True))
                continue
            if annotation.onset is None or annotation.offset is None:
                problems.append(
                    Problem(annotation.where, "without onset and offset it cannot be cut from the video", True)
                )
                continue
            if videos[video] not in listed:
                listed[videos[video]] = numbered(videos[video])
            frames = listed[videos[video]]
            cut = [frame for frame in frames if annotation.onset <= frame[0] <= annotation.offset]
            clip, faults = attach(dataset, annotation, cut, cohort="casmesq")
            problems += faults
            if clip is not None:
                clips.append(clip)
    return Reading(tuple(clips), tuple(problems))
