"""Reader of SMIC: HS (100 fps), VIS and NIR (25 fps). The folders are the annotation; a sheet may add the apex.

Clips run from onset to offset (Li et al., FG 2013). The three cameras recorded the same people, who form one cohort.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from realtime_mer.errors import DataError
from train.datasets.micro import attach
from train.datasets.reading import Problem, Reading, Tree, numbered
from train.datasets.sheets import Annotation, Coding, read_sheet
from train.records import Clip

FPS: Final = {"smic": 100.0, "smic-vis": 25.0, "smic-nir": 25.0}
_PART: Final = {"smic": "hs", "smic-vis": "vis", "smic-nir": "nir"}
_CLIP: Final = re.compile(r"s(\d+)_(ne|po|sur)_(\d+)", re.IGNORECASE)
_EMOTION: Final = {"ne": "negative", "po": "positive", "sur": "surprise"}


def subject_of(clip: str) -> str | None:
    """ "s1_ne_03" -> "s01"; None when the name is not of this form."""
    match = _CLIP.fullmatch(clip)
    return f"s{int(match.group(1)):02d}" if match else None


def clip_name(text: str) -> str:
    """The canonical name of a clip: "s01_ne_03" and "s1_ne_03" are the same."""
    match = _CLIP.fullmatch(text.strip())
    return f"s{int(match.group(1))}_{match.group(2).lower()}_{match.group(3)}" if match else text.strip()


def _emotion(values: Mapping[str, Any]) -> str:
    match = _CLIP.fullmatch(str(values["clip"]).strip())
    return _EMOTION[match.group(2).lower()] if match else f"of clip {values['clip']}"


CODING: Final = Coding(
    columns={
        "subject": ("subject",),
        "clip": ("clip", "Filename"),
        "onset": ("onset_frame", "OnsetF", "Onset"),
        "apex": ("apex_frame", "Apex"),
        "offset": ("offset_frame", "OffsetF", "Offset"),
    },
    emotions=frozenset(_EMOTION.values()),
    subject=lambda values: subject_of(str(values["clip"]).strip()) or str(values["subject"]),
    clip=lambda values: clip_name(str(values["clip"])),
    emotion=_emotion,  # the clip's name carries the class
)


def read_smic(dataset: str, root: Path, sheets: Sequence[Path]) -> Reading:
    """Reads one camera's part: .../HS/s1/micro/negative/s1_ne_01/*; ``root`` may hold all parts, or be one of them."""
    tree = Tree(root)
    part = re.compile(rf"(?:^|[^a-z]){_PART[dataset]}(?:[^a-z]|$)", re.IGNORECASE)
    folders = tree.folders()
    folders = [path for path in folders if any(part.search(name) for name in path.relative_to(root).parts)] or folders
    problems: list[Problem] = []
    coded: dict[str, Annotation] = {}
    for sheet in sheets:
        found, faults = read_sheet(sheet, CODING)
        coded.update({annotation.clip: annotation for annotation in found})
        problems += faults
    clips: dict[str, Clip] = {}
    for folder in folders:
        match = _CLIP.fullmatch(folder.name)
        if match is None:  # non-micro parts and references are beside it
            continue
        name = clip_name(folder.name)
        if name in clips:
            raise DataError(f"{name} is under {tree.root} more than once: give the folder of one version of one part")
        frames = numbered(folder)
        emotion = _EMOTION[match.group(2).lower()]
        first, last = frames[0][0], frames[-1][0]
        plain = Annotation(str(folder), str(subject_of(name)), name, first, None, last, (), emotion, "", FPS[dataset])
        annotation = replace(coded.pop(name), fps=FPS[dataset]) if name in coded else plain
        clip, faults = attach(dataset, annotation, frames, cohort="smic")
        problems += faults
        if clip is not None:
            clips[name] = clip
    problems += [Problem(a.where, f"no folder .../{a.clip} with pictures", True) for a in coded.values()]
    return Reading(tuple(clips.values()), tuple(problems))
