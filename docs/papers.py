"""Draws the tables of docs/papers.md from docs/data/papers, or adds the tables of a run first.

python docs/papers.py                                       # draws the page's tables again
python docs/papers.py runs/peng2018-quick/tables.json ...   # adds these tables first

Each file there is what ``python -m train reproduce`` stores: a table of a paper and scale by its number, as data.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from drawn import table as drawn_table
from drawn import within

from train.reproduce import PAPERS

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "papers.md"
DATA: Final = ROOT / "docs" / "data" / "papers"
SCALE: Final = "quick"  # of the tables on the page: all papers have it; the text tells of the others
SCRIPT: Final = "docs/papers.py"
ALIKE: Final = ("components",)  # printed by the command alone: the code has it already
OF_THE_RUN: Final = ("at full scale about", "not run at this scale", "3D: ")  # notes that tell nothing of the result
# What the page shows; the other tables (class counts, recomputed figures, variations) and scales are in the data.
SHOWN: Final = {
    "abrazak2023": ("4",),
    "ho2023": ("2",),
    "ibrahim2020": ("figures 6-8",),
    "hata2025": ("5",),
    "peng2018": ("4",),
    "selection": ("1",),
}


def take(file: Path) -> None:
    """Adds the tables of a run to the data, replacing earlier ones."""
    kept = DATA / f"{file.parent.name}.json"
    tables = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for number, table in json.loads(file.read_text(encoding="utf-8")).items():
        if number not in ALIKE:
            tables[number] = {**table, "runs": []}  # folders of the machine that ran it
    ordered = dict(sorted(tables.items()))
    kept.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def drawn() -> str:
    """The tables of the page as Markdown, by paper. What applies to every table of a paper is said once."""
    parts = []
    for paper in PAPERS:
        parts.append(f"### {paper}\n")
        file = DATA / f"{paper}-{SCALE}.json"
        tables = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        parts += _file([tables[number] for number in SHOWN[paper] if number in tables])
    return "\n".join(parts)


def _file(tables: Sequence[dict[str, Any]]) -> list[str]:
    parts, said = [], set[str]()
    for table in tables:
        scale = "" if table["scale"] in said else f" ({table['scale']})"
        parts.append(f"**{_name(table['number'])}: {table['title']}**{scale}\n")
        parts += drawn_table(table["columns"], table["rows"])
        notes = [note for note in table["notes"] if note not in said and not note.startswith(OF_THE_RUN)]
        parts.append("\n" + "".join(f"- {note}\n" for note in notes) if notes else "")
        said |= {table["scale"], *notes}
    return parts


def _name(number: str) -> str:
    return f"Table {number}" if number.isdigit() else number.capitalize()


def page(text: str) -> str:
    """The page with its tables drawn again."""
    return within(text, SCRIPT, drawn())


def main(argv: Sequence[str]) -> int:
    """Runs the command. Returns 0."""
    for name in argv:
        take(Path(name))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
