"""Readers of micro-expression data sets that consist of folders of frames and an annotation sheet: CASME, CASME II,
CAS(ME)^3, SAMM, MMEW, DFME. SMIC and CAS(ME)^2 have their own modules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from realtime_mer.sheets import frame_number
from train.datasets.reading import Problem, Reading, Tree, numbered
from train.datasets.sheets import Annotation, Coding, read_sheet
from train.records import Clip

_EMOTIONS: Final = frozenset(("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise", "others"))


def _text(field: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda values: str(values[field]).strip()


def _padded(prefix: str, digits: int) -> Callable[[Mapping[str, Any]], str]:
    """1, "01", "sub01" -> prefix + digits, e.g. "sub01"; a name without a number stays as it is."""

    def name(values: Mapping[str, Any]) -> str:
        text = str(values["subject"]).strip()
        number = frame_number(values["subject"])
        if number is None and (match := re.fullmatch(r"[A-Za-z]*0*(\d+)", text)):
            number = int(match.group(1))
        return text if number is None else f"{prefix}{number:0{digits}d}"

    return name


# The headings of most sheets, without regard to case, spaces and punctuation; each data set below states its own.
_COLUMNS: Final = {
    "subject": ("Subject",),
    "clip": ("Filename",),
    "onset": ("OnsetFrame",),
    "apex": ("ApexFrame",),
    "offset": ("OffsetFrame",),
    "action_units": ("Action Units",),
    "emotion": ("Estimated Emotion",),
}

CODINGS: Final[dict[str, Coding]] = {
    "casme": Coding(
        columns=_COLUMNS
        | {
            "onset": ("OnsetF", "OnsetFrame"),
            "apex": ("ApexF1", "ApexFrame"),
            "offset": ("OffsetF", "OffsetFrame"),
            "action_units": ("AU", "Action Units"),
            "emotion": ("Emotion", "Estimated Emotion"),
        },
        emotions=_EMOTIONS | {"repression", "tense"},
        subject=_padded("sub", 2),
        clip=_text("clip"),
        fps=60.0,
    ),
    "casme2": Coding(
        columns=_COLUMNS | {"apex": ("ApexFrame", "ApexFrame1"), "objective": ("Objective Classes",)},
        emotions=_EMOTIONS | {"repression"},
        subject=_padded("sub", 2),
        clip=_text("clip"),
        fps=200.0,
    ),
    "casme3": Coding(
        columns=_COLUMNS
        | {
            "onset": ("Onset",),
            "apex": ("Apex",),
            "offset": ("Offset",),
            "action_units": ("AU",),
            "emotion": ("emotion",),
            "objective": ("Objective class",),
        },
        emotions=_EMOTIONS,
        subject=_text("subject"),
        # A recording holds several expressions; the names of the clips' folders carry the onset.
        clip=lambda values: f"{str(values['clip']).strip()}_{str(values['onset']).strip()}",
        fps=30.0,
    ),
    "samm": Coding(
        columns=_COLUMNS | {"objective": ("Objective Classes",)},
        emotions=_EMOTIONS,
        subject=_padded("", 3),
        clip=_text("clip"),
        fps=200.0,
    ),
    "mmew": Coding(columns=_COLUMNS, emotions=_EMOTIONS, subject=_padded("S", 2), clip=_text("clip"), fps=90.0),
    "dfme": Coding(
        columns=_COLUMNS | {"action_units": ("AU",), "emotion": ("Emotion",), "fps": ("Fps",)},
        emotions=_EMOTIONS,
        subject=_text("subject"),
        clip=_text("clip"),
    ),
}

# The end of the path of a clip's folder, below whatever the archive unpacks to.
_FOLDERS: Final[dict[str, str]] = {
    "casme": "{subject}/{clip}",
    "casme2": "{subject}/{clip}",
    "casme3": "frame/{subject}_{clip}",  # the depth images are in depth/ under the same names
    "samm": "{subject}/{clip}",
    "mmew": "{clip}",
    "dfme": "{clip}",
}


def read_micro(dataset: str, root: Path, sheets: Sequence[Path]) -> Reading:
    """Reads a data set of ``CODINGS``. DFME's three sheets are its official split, recognized by their names."""
    tree = Tree(root)
    clips: list[Clip] = []
    problems: list[Problem] = []
    for sheet in sheets:
        found, faults = read_sheet(sheet, CODINGS[dataset])
        split = "" if dataset != "dfme" else "train" if "train" in sheet.name.lower() else "test"
        problems += faults
        for annotation in found:
            ending = _FOLDERS[dataset].format(subject=annotation.subject, clip=annotation.clip)
            folder = tree.find(ending)
            if folder is None:
                problems.append(Problem(annotation.where, f"no folder .../{ending} with pictures", True))
                continue
            clip, faults = attach(dataset, annotation, numbered(folder), split=split)
            problems += faults
            if clip is not None:
                clips.append(clip)
    return Reading(tuple(clips), tuple(problems))


def attach(
    dataset: str,
    annotation: Annotation,
    frames: Iterable[tuple[int, Path]],
    split: str = "",
    cohort: str = "",
) -> tuple[Clip | None, list[Problem]]:
    """Joins an annotation and its numbered frames: the sheet's frame numbers become positions among the frames.

    A key frame that is missing is left out and reported; None when no frame from onset to offset exists.
    """
    name, paths = f"{annotation.subject}/{annotation.clip}", dict(frames)
    position = {number: i for i, number in enumerate(paths)}
    problems = []
    if annotation.onset is not None and annotation.offset is not None:
        wanted = range(annotation.onset, annotation.offset + 1)
        lost = sum(number not in position for number in wanted)
        if lost:
            what = f"{name}: {lost} of {len(wanted)} frames from onset to offset are missing"
            problems.append(Problem(annotation.where, what, lost == len(wanted)))
        if lost == len(wanted):
            return None, problems
    places: dict[str, int | None] = {}
    for field in ("onset", "apex", "offset"):
        number = getattr(annotation, field)
        places[field] = None if number is None else position.get(number)
        if number is not None and places[field] is None:
            problems.append(Problem(annotation.where, f"{name}: {field} frame {number} is missing", False))
    clip = Clip(
        dataset=dataset,
        subject=annotation.subject,
        clip=annotation.clip,
        frames=tuple(paths.values()),
        onset=places["onset"],
        apex=places["apex"],
        offset=places["offset"],
        fps=annotation.fps,
        action_units=annotation.action_units,
        emotion=annotation.emotion,
        objective=annotation.objective,
        split=split,
        cohort=cohort,
    )
    return clip, problems
