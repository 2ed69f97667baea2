"""From a recipe's [data] table to clips: finds the data sets below one folder and joins them. Opens no images."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from realtime_mer.errors import DataError
from train import models
from train.datasets import Reading, find_sheets, own, read_below
from train.datasets.micro import CODINGS
from train.datasets.sheets import read_sheet
from train.recipe import Data, Input
from train.records import Clip, labeled, labels_of, single_frames


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """clips: one per sample. weights: of each in the loss; empty: equal. twins: by the key of a clip, the same clip in
    another data set. skipped: one line for each clip left out."""

    clips: tuple[Clip, ...]
    weights: tuple[float, ...] = ()
    twins: Mapping[str, Clip] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


def gather(data: Data, folder: Path) -> list[Clip]:
    """All clips of the data sets named (joined by "+"), whatever their class, or their single frames.

    Raises DataError when a data set is not in ``folder``, cannot be read, or shares a clip with another.
    """
    sets = [one(name, folder) for name in data.names]
    sources = Counter(key for clips in sets for key in {clip.key for clip in clips})
    if twice := [key for key, count in sources.items() if count > 1]:
        raise _twice(twice)
    clips = [clip for clips in sets for clip in clips]
    if data.samples == "clip":
        return clips
    return single_frames(clips, "all" if data.samples == "frames" else "key")


def joined(data: Data, folder: Path) -> Gathered:
    """The samples of a recipe's [data] table: clips that have a class, are listed and complete, each once.

    With ``data.twins``, a clip in two data sets is joined. Raises DataError as ``gather``.
    """
    if not (data.listed or data.complete or data.weights or data.twins):
        return Gathered(tuple(gather(data, folder)))
    sets = {name: labeled(one(name, folder), data.scheme) for name in data.names}
    listed = {clip.key for clip in sets[data.listed]} if data.listed else set()
    found: dict[str, tuple[Clip, float]] = {}
    twins: dict[str, Clip] = {}
    left_out: dict[str, str] = {}  # by key: the reason
    for (name, clips), weight in zip(sets.items(), data.weights or (1.0,) * len(sets), strict=True):
        chosen = clips if name == data.listed or not listed else [clip for clip in clips if clip.key in listed]
        held = {clip.dataset for clip in clips}
        absent = {key for key in listed if key.split("/")[0] in held} - {clip.key for clip in chosen}
        left_out |= dict.fromkeys(sorted(absent), f"not in {name}")
        for clip in chosen:
            if clip.key in found:
                twins[clip.key] = clip
            elif data.complete and len(clip.frames) > 1 and None in (clip.onset, clip.apex, clip.offset):
                left_out[clip.key] = "onset, apex or offset is not annotated or not among the frames"
            elif clip.key not in left_out:
                found[clip.key] = clip, weight
    if twins and not data.twins:
        raise _twice(list(twins))
    skipped = tuple(f"{key}: {reason}" for key, reason in left_out.items())
    clips_found, weights = zip(*found.values(), strict=True) if found else ((), ())
    return Gathered(clips_found, weights, twins, skipped)


def _twice(keys: Sequence[str]) -> DataError:
    return DataError(
        f"{len(keys)} clips are in two of the data sets, e.g. {min(keys)}: name one of the data sets, or join "
        "such clips with `twins`"
    )


def one(name: str, folder: Path) -> list[Clip]:
    """The clips of a data set in a folder with one of its usual names below ``folder``, or of a table there."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give --data the folder that holds the data sets")
    reading = _own(folder / name) if name.endswith(own.SUFFIX) else read_below(name, folder)
    if reading is None:
        raise DataError(
            f"{name} is not in {folder}: `python -m train datasets {name}` says where to request it and how to "
            "arrange its files"
        )
    return list(reading.clips)


@cache
def _own(table: Path) -> Reading:
    """A table of own clips, read once per run, because its videos are decoded. Its problems go to standard error."""
    reading = own.read_table(table)
    for problem in reading.problems:
        print(problem, file=sys.stderr)
    if not reading.clips:
        raise DataError(f"no row of {table} can be used: `python -m train check {table}` says why")
    return reading


def class_list(clips: Sequence[Clip], data: Data) -> tuple[str, ...]:
    """The fixed class list of the recipe: ``only`` when given, else all of the scheme."""
    return data.only or labels_of(clips, data.scheme)


def relabeled(clips: list[Clip], dataset: str, folder: Path) -> list[Clip]:
    """The clips of one data set in MEGC2019, with emotion, action units and objective class from its own sheet, because
    the composite's list has only three classes.

    Clips that the sheet does not list are left out.
    """
    sheets = find_sheets(dataset, folder)
    if not sheets:
        raise DataError(f"no annotation sheet of {dataset} below {folder}: put it there")
    rows = {(row.subject, row.clip): row for row in read_sheet(sheets[0], CODINGS[dataset])[0]}
    found = []
    for clip in clips:
        row = rows.get((str(clip.subject), clip.clip))
        if clip.dataset == dataset and row is not None:
            found.append(
                dataclasses.replace(clip, emotion=row.emotion, objective=row.objective, action_units=row.action_units)
            )
    return found


def usual_input(how: Input, model: str) -> Input:
    """The input, completed with the network's usual values. Raises ConfigError."""
    entry = models.find(model)
    return dataclasses.replace(how, feature=how.feature or entry.feature, size=how.size or entry.size)
