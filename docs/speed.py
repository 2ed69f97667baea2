"""Draws the history of the speed in docs/performance.md from docs/data/speed.json, or adds a measurement to it.

python docs/speed.py                                                    # draws the page's table again
python docs/speed.py --add throughput.json "light checks of the faces"  # adds a result of `bench throughput` first

Ratios to the floor compare between machines; frames/s do not, so that both stand there with the machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from drawn import table, within

from realtime_mer.bench.results import read

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "performance.md"
DATA: Final = ROOT / "docs" / "data" / "speed.json"
SCRIPT: Final = "docs/speed.py"
COLUMNS: Final = ("frames/s", "ratio", "processor, ms/frame", "cores used")  # of those kept


def entry(file: Path, what: str) -> dict[str, Any]:
    """What is kept of a result: the medians of each case."""
    result = read(file)
    middle = {line.name: median(line.samples) for line in result.series}
    cases = {}
    for name, facts in result.facts.items():
        cases[name] = {
            "frames/s": round(middle[f"{name}: pipeline"]),
            "floor, frames/s": round(middle[f"{name}: floor"]),
            "ratio": facts["ratio to the floor"],
            "frames per core-second": facts["frames per core-second"],
            "processor, ms/frame": round(middle[f"{name}: pipeline, processor"], 2),
            "cores used": facts["cores used"],
        }
    machine = f"{result.machine['cores']} x {result.machine['cpu']}"
    return {
        "what": what, "date": result.created[:10], "version": result.versions.get("realtime-mer", ""),
        "machine": machine, "cases": cases,
    }  # fmt: skip


def drawn(history: Sequence[dict[str, Any]]) -> str:
    """A table of the newest measurement, with the ratios of earlier days, newest first."""
    latest = history[-1]
    earlier = [old for old in reversed(history) if old["date"] != latest["date"]]
    columns = ["recording", *COLUMNS, *(f"ratio on {old['date']}" for old in earlier)]
    rows = [
        (name, *(str(case[column]) for column in COLUMNS), *(_ratio(old["cases"].get(name)) for old in earlier))
        for name, case in latest["cases"].items()
    ]
    head = f"{latest['date']}, {latest['machine']}, {latest['what']}:\n"
    return "\n".join([head, *table(columns, rows)]) + "\n"


def _ratio(case: dict[str, Any] | None) -> str:
    return "" if case is None else f"{case['ratio']:.2f}"


def page(text: str) -> str:
    """The page with its table drawn again."""
    return within(text, SCRIPT, drawn(json.loads(DATA.read_text(encoding="utf-8"))))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0."""
    parser = argparse.ArgumentParser(description="Draws the history of the speed.")
    parser.add_argument("--add", nargs=2, metavar=("FILE", "WHAT"), help="a result of bench throughput, and its name")
    args = parser.parse_args(argv)
    if args.add:
        history = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else []
        history = [old for old in history if old["what"] != args.add[1]]
        history.append(entry(Path(args.add[0]), args.add[1]))
        DATA.write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
