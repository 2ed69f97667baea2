"""``python -m train check``: what is wrong with a table of own clips, by row."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from train.datasets import own
from train.records import class_counts


def command(argv: Sequence[str]) -> int:
    """Runs the command. Returns 0, or 1 when a row cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m train check",
        description="Read a table of own clips and say what is wrong with it, by row. Videos are unpacked, and key "
        "frames that are not given are proposed by the spotter; both are kept beside the table.",
    )
    parser.add_argument("table", type=Path, metavar="TABLE.csv")
    args = parser.parse_args(argv)
    reading = own.read_table(args.table)
    for problem in reading.problems:
        print(problem)
    people = {clip.group for clip in reading.clips if clip.subject is not None}
    counts = ", ".join(f"{label} {count}" for label, count in sorted(class_counts(reading.clips, "emotion").items()))
    print(f"{len(reading.clips)} clips of {len(people)} people: {counts or 'none'}; {reading.skipped} rows left out")
    return 1 if reading.skipped or not reading.clips else 0
