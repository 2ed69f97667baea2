"""From a recipe's [data] table to clips: finds the data sets below one folder and joins them. Opens no pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from realtime_mer.errors import DataError
from train import models
from train.datasets import find_sheets, read_below
from train.datasets.micro import CODINGS
from train.datasets.sheets import read_sheet
from train.recipe import Data, Input
from train.records import Clip, labels_of, single_frames


def gather(data: Data, folder: Path) -> list[Clip]:
    """All clips of the data sets named (joined by "+"), or their single frames.

    Raises DataError when a data set is not in ``folder`` or cannot be read.
    """
    clips: list[Clip] = []
    for name in data.name.split("+"):
        clips += one(name.strip(), folder)
    if data.samples == "clip":
        return clips
    return single_frames(clips, "all" if data.samples == "frames" else "key")


def one(name: str, folder: Path) -> list[Clip]:
    """The clips of one data set, which lies in a folder of its usual name below ``folder``."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give --data the folder that holds the data sets")
    reading = read_below(name, folder)
    if reading is None:
        raise DataError(
            f"{name} is not in {folder}: `python -m train datasets {name}` says where to ask and how it must lie"
        )
    return list(reading.clips)


def class_list(clips: list[Clip], data: Data) -> tuple[str, ...]:
    """The fixed class list of the recipe: ``only`` when given, else all of the scheme."""
    return data.only or labels_of(clips, data.scheme)


def relabelled(clips: list[Clip], dataset: str, folder: Path) -> list[Clip]:
    """The clips of one data set among MEGC2019's, with emotion, action units and objective class from its own sheet.

    The composite's list has three classes only. Clips that the sheet does not name are left out.
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
    """The input with what the recipe leaves open filled in from the network's own usual one. Raises ConfigError."""
    entry = models.find(model)
    return dataclasses.replace(how, feature=how.feature or entry.feature, size=how.size or entry.size)
