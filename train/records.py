"""The noun of training: one labeled clip (or image) of any data set, and the class lists.

Here are the record and the translation of a sheet's emotion word into the classes of a protocol. ``train.datasets``
reads files, ``train.protocols`` splits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from realtime_mer.errors import DataError

# MEGC2019's three classes, in the order of its label numbers 0, 1, 2.
THREE: Final = ("negative", "positive", "surprise")
_TO_THREE: Final = {
    "happiness": "positive",
    "surprise": "surprise",
    **dict.fromkeys(("anger", "contempt", "disgust", "fear", "sadness", "repression"), "negative"),
    **{label: label for label in THREE},
}

# Objective classes by action units (Davison, Merghani and Yap, arXiv 1708.07549); MEGC2018 uses the first five.
OBJECTIVE: Final = ("I", "II", "III", "IV", "V", "VI", "VII")
MEGC2018: Final = OBJECTIVE[:5]

# What papers mean by "5 classes" and "7 classes", which differs between data sets.
_BASIC: Final = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_NO_CONTEMPT: Final = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
FIVE: Final[dict[str, tuple[str, ...]]] = {
    "casme2": ("disgust", "happiness", "others", "repression", "surprise"),
    "samm": ("anger", "contempt", "happiness", "others", "surprise"),
}
SEVEN: Final[dict[str, tuple[str, ...]]] = {
    "casme2": ("disgust", "fear", "happiness", "others", "repression", "sadness", "surprise"),
    "casme3": (*_NO_CONTEMPT, "others"),
    "mmew": (*_NO_CONTEMPT, "others"),
    "samm": _BASIC,
    "dfme": _BASIC,
    "ckplus": _BASIC,
    "ckplus48": _BASIC,
    **dict.fromkeys(("fer2013", "ferplus", "jaffe", "kdef", "mug", "taiwanese"), (*_NO_CONTEMPT, "neutral")),
}

# The people of all tables of own clips are shared, so that a second table cannot hide someone whom another one tests.
OWN: Final = "own"

SCHEMES: Final = ("3", "5", "7", "objective", "emotion")

_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Clip:
    """One labeled sequence; an image data set gives clips of one frame.

    dataset:  key in ``train.datasets.DATASETS``; for the MEGC2019 composite the data set that the clip came from.
    subject:  unique within the data set; None if the data set does not say (web images).
    clip:     name of the clip, unique within data set and subject.
    frames:   paths in order of time; positions below count into it, from 0.
    onset, apex, offset: positions in ``frames``; None when not annotated or not among the frames.
    fps:      frames per second, 0 for images.
    action_units: as coded, e.g. ("4", "R12", "7B").
    emotion:  the sheet's word, lower case, spelled the same in all data sets ("others", "happiness", "sadness").
    objective: "I" to "VII", empty when the sheet gives none.
    split:    the official part ("train", "validation", "test"), empty when there is none.
    cohort:   data set whose subjects are the same people (SMIC-VIS and SMIC-HS share theirs); empty: its own.
    """

    dataset: str
    subject: str | None
    clip: str
    frames: tuple[Path, ...]
    onset: int | None
    apex: int | None
    offset: int | None
    fps: float
    action_units: tuple[str, ...]
    emotion: str
    objective: str = ""
    split: str = ""
    cohort: str = ""

    @property
    def group(self) -> str:
        """The person, across data sets, who must never be on both sides of a split.

        A clip of an unknown person is its own group.
        """
        who = self.subject if self.subject is not None else f"unknown:{self.clip}"
        return f"{self.cohort or self.dataset}/{who}"

    @property
    def key(self) -> str:
        """Data set, subject and clip as one string, for reports and caches."""
        return f"{self.dataset}/{self.subject or '-'}/{self.clip}"

    @property
    def units(self) -> frozenset[int]:
        """Numbers of the action units without side and intensity: "R12" and "12B" are 12."""
        return frozenset(int(found[0]) for unit in self.action_units if (found := _NUMBER.search(unit)))

    @property
    def timed(self) -> bool:
        """Whether it is a recording with known onset, apex and frame rate."""
        return len(self.frames) > 1 and None not in (self.onset, self.apex) and self.fps > 0

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Size and time of the first file, None when there is none; part of cache keys."""
        first = self.frames[0]
        return (found.st_size, found.st_mtime_ns) if first.exists() and (found := first.stat()) else None

    def label(self, scheme: str) -> str | None:
        """The class under a scheme of ``SCHEMES``; None when the scheme leaves this clip out.

        "5" and "7" are those of the clip's own data set, "emotion" is the sheet's word. DataError for another scheme.
        """
        match scheme:
            case "3":
                return _TO_THREE.get(self.emotion)
            case "5":
                return self.emotion if self.emotion in FIVE.get(self.dataset, ()) else None
            case "7":
                return self.emotion if self.emotion in SEVEN.get(self.dataset, ()) else None
            case "objective":
                return self.objective or None
            case "emotion":
                return self.emotion or None
        raise DataError(f"unknown class scheme {scheme!r}: use one of {', '.join(SCHEMES)}")


def labeled(clips: Iterable[Clip], scheme: str, only: Sequence[str] | None = None) -> list[Clip]:
    """The clips that have a class under the scheme, in order; with ``only``, one of these classes."""
    return [clip for clip in clips if (label := clip.label(scheme)) is not None and (only is None or label in only)]


def labels_of(clips: Sequence[Clip], scheme: str) -> tuple[str, ...]:
    """The fixed class list for these clips, in a fixed order, whether or not each class occurs.

    For "emotion" it is the classes that occur, sorted. For "5" and "7" it is the joined lists of the data sets, sorted.
    """
    if scheme == "3":
        return THREE
    if scheme == "objective":
        return OBJECTIVE
    if scheme in ("5", "7"):
        table = FIVE if scheme == "5" else SEVEN
        return tuple(sorted({label for clip in clips for label in table.get(clip.dataset, ())}))
    return tuple(sorted({label for clip in clips if (label := clip.label(scheme))}))


def class_counts(clips: Iterable[Clip], scheme: str) -> Counter[str]:
    """Number of clips of each class; clips outside the scheme are not counted."""
    return Counter(label for clip in clips if (label := clip.label(scheme)) is not None)


def single_frames(clips: Iterable[Clip], which: str = "all") -> list[Clip]:
    """One sample per frame, for papers that classify frames: every frame ("all"), or onset, apex and offset ("key").

    Each sample keeps its clip's labels, subject and name (with the frame's position), so that protocols and checks know
    whose face it is. Key frames that are not annotated are left out.
    """
    if which not in ("all", "key"):
        raise DataError(f"unknown choice of frames {which!r}: use 'all' or 'key'")
    samples = []
    for clip in clips:
        chosen: Iterable[int | None] = (
            range(len(clip.frames)) if which == "all" else (clip.onset, clip.apex, clip.offset)
        )
        for position in dict.fromkeys(chosen):
            if position is None:
                continue
            samples.append(
                Clip(
                    dataset=clip.dataset,
                    subject=clip.subject,
                    clip=f"{clip.clip}@{position}",
                    frames=(clip.frames[position],),
                    onset=None,
                    apex=0,
                    offset=None,
                    fps=0.0,
                    action_units=clip.action_units,
                    emotion=clip.emotion,
                    objective=clip.objective,
                    split=clip.split,
                    cohort=clip.cohort,
                )
            )
    return samples
