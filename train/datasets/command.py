"""``python -m train datasets``: lists data sets: what they are, where to request them, their layout, and whether they
are here."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from realtime_mer.errors import DataError
from train.datasets.catalog import CODED, DATASETS, Dataset, find_sheets, read_below, read_sheets
from train.datasets.macro import unpack_fer2013
from train.datasets.reading import Problem, Reading, load_image
from train.records import class_counts


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("name", nargs="*", help="data sets to show (default: all)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="look for data sets in the folders of DIR")
    parser.add_argument("--problems", action="store_true", help="list every problem, by row")
    parser.add_argument("--verify", action="store_true", help="decode every image (slow)")
    parser.add_argument(
        "--unpack-fer2013",
        nargs=2,
        type=Path,
        metavar=("CSV", "FOLDER"),
        help="write the images of FER2013's CSV file to FOLDER",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the table. Returns 0; 1 when a data set that is here cannot be read. Raises DataError."""
    if args.unpack_fer2013:
        print(f"{unpack_fer2013(*args.unpack_fer2013)} images written to {args.unpack_fer2013[1]}")
        return 0
    if unknown := [name for name in args.name if name not in DATASETS]:
        raise DataError(f"unknown data set {unknown[0]!r}: use one of {', '.join(DATASETS)}")
    if args.data is not None and not args.data.is_dir():
        raise DataError(f"{args.data} is not a folder: give the folder that holds the data sets")
    names = args.name or list(DATASETS)
    if args.data is None:
        print("\n\n".join(catalog_text(name, DATASETS[name]) for name in names))
        print("\nUse --data DIR to see which of them are in DIR, and whether they are complete.")
        return 0
    return max(present(name, args.data, args.problems, args.verify) for name in names)


def catalog_text(name: str, entry: Dataset) -> str:
    """A data set as text: what it is, where to request it, its layout."""
    lines = [f"{name}: {entry.what}", f"  paper   {entry.paper}", f"  request {entry.ask}", f"  layout  {entry.layout}"]
    if entry.sheets:
        lines.append(f"  sheet   {' or '.join(entry.sheets)}{' (optional)' if entry.sheet_optional else ''}")
    return "\n".join(lines)


def present(name: str, data: Path, problems: bool = False, verify: bool = False) -> int:
    """Prints whether a data set is in ``data`` and what it holds. Returns 1 when it is there but cannot be read."""
    entry = DATASETS[name]
    try:
        reading = read_below(name, data)
        if reading is None:
            print(f"{name:14} not here     expected in {data / entry.folders[0]}: {entry.layout}")
            sheet_only(name, data, problems)
            return 0
        if verify:
            for clip in reading.clips:
                for frame in clip.frames:
                    load_image(frame)
    except DataError as error:
        print(f"{name:14} unreadable   {error}")
        return 1
    print(f"{name:14} {summary(entry, reading)}")
    if problems:
        list_problems(reading.problems)
    return 0


def sheet_only(name: str, data: Path, problems: bool) -> None:
    """Prints the contents of the annotation sheet when only that is in ``data``."""
    if name not in CODED or not (sheets := find_sheets(name, data)):
        return
    found, faults = read_sheets(name, sheets)
    counts = Counter(annotation.emotion for annotation in found)
    classes = ", ".join(f"{label} {number}" for label, number in sorted(counts.items()))
    subjects = len({annotation.subject for annotation in found})
    names = ", ".join(sheet.name for sheet in sheets)
    print(f"{'':14} only {names}: {len(found)} clips, {subjects} subjects; {classes}; {len(faults)} problems")
    if problems:
        list_problems(faults)


def list_problems(problems: Iterable[Problem]) -> None:
    """Prints one line per problem."""
    for problem in problems:
        print(f"{'':14} {problem.where}: {problem.what}{' (left out)' if problem.skipped else ''}")


def summary(entry: Dataset, reading: Reading) -> str:
    """Whether it is complete, its clips, subjects, frames and classes, and the number of problems."""
    count = len(reading.clips)
    whole = "here" if entry.clips is None else "complete" if count == entry.clips else f"{count} of {entry.clips}"
    subjects = len({clip.group for clip in reading.clips if clip.subject is not None})
    frames = sum(len(clip.frames) for clip in reading.clips)
    counts = class_counts(reading.clips, entry.scheme)
    classes = ", ".join(f"{label} {number}" for label, number in sorted(counts.items()))
    people = f"{subjects} subjects" if subjects else "subjects unknown"
    faults = f"{len(reading.problems)} problems, {reading.skipped} left out"
    return f"{whole:12} {count} clips, {people}, {frames} frames; {classes}; {faults}"
