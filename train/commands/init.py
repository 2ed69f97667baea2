"""``python -m train init``: a table for own clips and a recipe that trains on it."""

from __future__ import annotations

import argparse
import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from realtime_mer.errors import DataError, OutputError
from train.datasets.own import COLUMNS
from train.datasets.reading import PICTURES

TABLE: Final = "clips.csv"
RECIPE: Final = "own.toml"
VIDEOS: Final = frozenset((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv"))
TEMPLATE: Final = Path(__file__).parents[1] / "recipes" / "own.toml"


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.description = f"Create a table for your own clips, {TABLE}, and a recipe that trains on it, {RECIPE}."
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to put them in")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="SOURCE",
        help="fill the table from a folder LABEL/SUBJECT/CLIP (videos or folders of images), from the confirmed events "
        "in a log (.jsonl), or from the events that a coder accepted or added (review-CODER.jsonl beside a log)",
    )  # fmt: skip
    parser.add_argument("--fps", type=float, default=0.0, help="frame rate of folders of images")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes both. Returns 0. Raises DataError, OutputError."""
    table, recipe = args.folder / TABLE, args.folder / RECIPE
    if taken := next((path for path in (table, recipe) if path.exists()), None):
        raise OutputError(f"{taken} already exists: remove it, or choose another folder")
    found = list(_rows(args.source, args.folder, args.fps)) if args.source else []
    try:
        args.folder.mkdir(parents=True, exist_ok=True)
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(found)
        shutil.copyfile(TEMPLATE, recipe)
    except OSError as error:
        raise OutputError(f"cannot write to {args.folder}: {error.strerror}") from None
    print(f"{table}: {len(found)} rows{'' if found else '; fill it in, one row per clip (docs/own-data.md)'}")
    print(f"{recipe}: a recipe that trains on it")
    print(f"python -m train check {table}")
    print(f"python -m train evaluate {recipe} --data {args.folder}")
    return 0


def _rows(source: Path, folder: Path, fps: float) -> Iterator[dict[str, str]]:
    """Rows for the clips at ``source``; paths are relative to ``folder``. Raises DataError."""
    if source.is_dir():
        found = list(_folders(source, folder, fps))
        if not found:
            raise DataError(f"no videos and no folders of images below {source}: expected LABEL/SUBJECT/CLIP")
        yield from found
    elif source.suffix == ".jsonl":
        yield from _events(source, folder)
    else:
        raise DataError(f"{source} is neither a folder nor a log (.jsonl) of analyze")


def _folders(source: Path, folder: Path, fps: float) -> Iterator[dict[str, str]]:
    """Rows of LABEL/CLIP or LABEL/SUBJECT/CLIP; deeper folders are part of the clip's name."""
    for path in _clips(source):
        inside = path.relative_to(source).parts
        if len(inside) < 2:
            raise DataError(f"{path} is not in a folder named after its class: expected LABEL/SUBJECT/CLIP")
        subject = inside[1] if len(inside) > 2 else ""
        rate = f"{fps:g}" if path.is_dir() and fps else ""
        yield _row(path, folder, subject=subject, label=inside[0], fps=rate)


def _clips(source: Path) -> list[Path]:
    """Videos, and folders that hold images."""
    found = []
    for where, folders, names in os.walk(source):
        folders.sort()
        found += [Path(where, name) for name in names if Path(name).suffix.lower() in VIDEOS]
        if any(Path(name).suffix.lower() in PICTURES for name in names):
            found.append(Path(where))
    return sorted(found)


def _events(log: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Rows for the confirmed events of a log, with the recognizer's label, to be corrected by hand; for a review, the
    events that its coder accepted or added."""
    from realtime_mer.records import Status
    from realtime_mer.review.apply import coded
    from realtime_mer.review.decisions import is_review, log_of, read_review
    from realtime_mer.sinks import RECORDED
    from realtime_mer.sinks.jsonl import read_jsonl
    from realtime_mer.sinks.media import linked

    review, log = (read_review(log), log_of(log)) if is_review(log) else (None, log)
    recording = linked(read_jsonl(log), log, log.parent)
    if review is not None:
        recording = coded(recording, review)
    source = recording.header.source
    video = Path(source.uri) if source.kind == "file" else log.with_name(RECORDED)
    if not video.is_file():
        raise DataError(
            f"{log} is a log of {source.uri}, and there is no {video}: record the video, too, or put it there"
        )
    for event in recording.events:
        if event.status is Status.CONFIRMED:
            moved = event.movement
            times = {"onset": moved.onset, "apex": moved.apex, "offset": moved.end}
            label = event.prediction.label or "" if event.prediction else ""
            written = {key: f"{recording.header.media_time(time):.4f}" for key, time in times.items()}
            yield _row(video, folder, label=label, unit="s", **written)


def _row(path: Path, folder: Path, **cells: str) -> dict[str, str]:
    return {**dict.fromkeys(COLUMNS, ""), "path": os.path.relpath(path.absolute(), folder.absolute()), **cells}
