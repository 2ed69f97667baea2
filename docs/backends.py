"""Draws the tables of docs/export.md from docs/data/export.json, or takes in what `python -m export bench --out` wrote.

python docs/backends.py            # draws the page's tables again
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
QUANTIZED: Final = "ONNX Runtime INT8"
COLUMNS: Final = ("network", "back end", "ms, batch of 1", "of 8", "of 64", "file, MB")


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
    """The page with its tables drawn from the data: times by network and back end, and what INT8 changes."""
    data = json.loads(DATA.read_text(encoding="utf-8"))
    shown: dict[tuple[str, str], list[str]] = {}
    for row in records(data["times"]):
        if row["Back end"] == SAME:
            continue
        key = row["Network"], row["Back end"]
        ratio = "" if row["against torch"] == "1.00x" else f" ({row['against torch']})"
        shown.setdefault(key, [*key]).append(f"{float(row['p50 ms']):.3g}{ratio}")
        if row["Batch"] == "64":
            shown[key].append(row["File MB"])
    changed = [
        [row["Network"], row["Change (95 % interval by subject)"], row["Labels agree"]]
        for row in records(data["scores"])
        if row["Back end"] == QUANTIZED
    ]
    drawn = [
        f"{data['measured']}.\n",
        *table(COLUMNS, list(shown.values())),
        "\nWhat INT8 changes; in FP32 all labels agree with torch's:\n",
        *table(("network", "UF1, change", "labels agree"), changed),
        "",
    ]
    return within(text, SCRIPT, "\n".join(drawn))


def main(argv: Sequence[str]) -> int:
    """Runs the command. Returns 0."""
    if argv:
        take(Path(argv[0]), argv[1])
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
