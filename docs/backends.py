"""Draws the table of docs/export.md from docs/data/export.json, or takes in what `python -m export bench --out` wrote.

python docs/backends.py            # draws the page's table again
python docs/backends.py table.md WHEN_AND_ON_WHAT   # replaces the data first
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from drawn import table, within

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "export.md"
DATA: Final = ROOT / "docs" / "data" / "export.json"
SCRIPT: Final = "docs/backends.py"
SAME: Final = "ONNX Runtime FP32"  # as fast as this runtime, which uses it
COLUMNS: Final = ("network", "back end", "ms, batch of 1", "of 8", "of 64", "file, MB", "UF1, change", "labels agree")


def take(file: Path, measured: str) -> None:
    """Keeps the two tables of the command's output as data."""
    tables: list[list[list[str]]] = [[]]
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif tables[-1]:
            tables.append([])
    times, scores = ({"columns": one[0], "rows": one[2:]} for one in tables[:2])
    text = json.dumps({"measured": measured, "times": times, "scores": scores}, indent=1)
    DATA.write_text(text + "\n", encoding="utf-8")


def records(kept: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of a table, each by its columns."""
    return [dict(zip(kept["columns"], row, strict=True)) for row in kept["rows"]]


def page(text: str) -> str:
    """The page with its table drawn from the data: a row for each network and back end."""
    data = json.loads(DATA.read_text(encoding="utf-8"))
    scores = {(row["Network"], row["Back end"]): row for row in records(data["scores"])}
    shown: dict[tuple[str, str], list[str]] = {}
    for row in records(data["times"]):
        if row["Back end"] == SAME:
            continue
        key = row["Network"], row["Back end"]
        shown.setdefault(key, [*key]).append(f"{row['p50 ms']} ({row['against torch']})")
        if row["Batch"] == "64":
            score = scores.get((key[0].partition(",")[0].lower(), key[1]), {})
            agree = score.get("Labels agree", "") or row["Labels agree"]
            shown[key] += [row["File MB"], score.get("Change (95 % interval by subject)", ""), agree]
    drawn = [f"{data['measured']}.\n", *table(COLUMNS, list(shown.values())), ""]
    return within(text, SCRIPT, "\n".join(drawn))


def main(argv: Sequence[str]) -> int:
    """Runs the command. Returns 0."""
    if argv:
        take(Path(argv[0]), argv[1])
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
