"""``python -m train check``: checks a table of your own clips, row by row."""

from __future__ import annotations

import argparse
from pathlib import Path

from train.datasets import own
from train.records import class_counts


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.description = (
        "Check a table of your own clips, row by row. Videos are unpacked, and the spotter proposes key frames where "
        "the table gives none; both are kept beside the table."
    )
    parser.add_argument("table", type=Path, metavar="TABLE.csv", help="table to check")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what is wrong. Returns 0, or 1 when a row cannot be used. Raises DataError."""
    reading = own.read_table(args.table)
    for problem in reading.problems:
        print(problem)
    people = {clip.group for clip in reading.clips if clip.subject is not None}
    counts = ", ".join(f"{label} {count}" for label, count in sorted(class_counts(reading.clips, "emotion").items()))
    print(f"{len(reading.clips)} clips of {len(people)} people: {counts or 'none'}; {reading.skipped} rows left out")
    return 1 if reading.skipped or not reading.clips else 0
