"""Draws the table of docs/spotting.md that says what it costs to report a movement before its end.

python docs/early.py [FILE]  # FILE: what `python -m train early --out FILE` wrote, to be taken over first
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from drawn import table, within

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "spotting.md"
DATA: Final = ROOT / "docs" / "data" / "early.json"
SCRIPT: Final = "docs/early.py"
COLUMNS: Final = ("recordings", "`spot.early`", "early", "withdrawn (expected)", "delay, half / 95 %", "apex moves")


def page(text: str) -> str:
    """The page with its table drawn again."""
    rows = [
        (
            f"{row['condition']}, {row['confirmed']} confirmed",
            f"{row['threshold']:g}",
            f"{100 * row['early']:.0f} %",
            f"{100 * row['withdrawn']:.1f} % ({100 * row['expected']:.1f} %)",
            f"{row['delay'][0]:.0f} / {row['delay'][1]:.0f} ms",
            f"{row['shift']:.0f} ms",
        )
        for row in json.loads(DATA.read_text(encoding="utf-8"))["rows"]
        if row["confirmed"] >= 20  # of fewer a share says nothing
    ]
    return within(text, SCRIPT, "\n".join(table(COLUMNS, rows)) + "\n")


def main(argv: Sequence[str]) -> int:
    """Runs the command. Returns 0."""
    if argv:
        shutil.copy(argv[0], DATA)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
