"""``python -m train report RUN``: one HTML page about a run or a reproduction.

RUN is a folder written by ``evaluate`` or ``reproduce``. The page has tables, confusion matrices, a reliability
diagram, coverage against risk, training curves and class counts. It shows no faces. The layout is in
templates/training.html.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from realtime_mer.errors import DataError, OutputError
from realtime_mer.sinks.page import render
from train import metrics, runs
from train.runs import Run


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder written by evaluate or reproduce")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="output file (default: RUN/report.html)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the page. Returns 0; raises DataError when the folder holds no run, OutputError."""
    out = args.out or args.folder / "report.html"
    try:
        text = page(args.folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {out} ({error.strerror}): choose another --out") from None
    print(out)
    return 0


def page(folder: Path) -> str:
    """The page as text: one run, or the tables of a reproduction and all its runs."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one that evaluate or reproduce wrote")
    tables, below = [], [folder]
    if (folder / "tables.json").exists():
        tables = list(json.loads((folder / "tables.json").read_text(encoding="utf-8")).values())
        found = sorted({name for table in tables for name in table["runs"]})
        below = [path for name in found if ((path := folder.parent / name) / "run.json").exists()]
    return render(
        "training.html", "train", title=folder.name, tables=tables, runs=[_run(runs.load(path)) for path in below]
    )


def _run(run: Run) -> dict[str, Any]:
    """The data of a run for the page."""
    columns, rows = _scores(run)
    return {
        "run": run,
        "people": len(set(run.groups)),
        "folds": len(dict.fromkeys(run.folds)),
        "columns": columns,
        "scores": rows,
        "classes": _classes(run),
        "confusion": list(zip(run.labels, run.scores.confusion.tolist(), strict=True)),
        "looks": _looks(run),
        "calibration": metrics.calibration(run.truth, run.probabilities),
        "figures": [_reliability(run), _coverage(run), _curves(run)],
        "recipe": json.dumps(run.about.get("recipe", {}), indent=1),
    }


def _scores(run: Run) -> tuple[list[str], list[list[str]]]:
    """The columns and rows of the score table."""
    base = metrics.trivial(run.truth, run.labels)
    ranges = metrics.bootstrap(run.truth, run.probabilities, run.groups, run.labels, repeats=1000)
    best = run.best_scores
    columns = ["score", "value", "95 % interval over subjects", "always the most common class", "at random"]
    rows = []
    for name in metrics.NAMES:
        between = f"{ranges[name].low:.3f} to {ranges[name].high:.3f}"
        row = [name, f"{run.scores[name]:.3f}", between, f"{base['majority'][name]:.3f}", f"{base['chance'][name]:.3f}"]
        rows.append(row if best is None else [*row, f"{best[name]:.3f}"])
    if best is not None:
        columns.append("epoch chosen on the test fold (a leak)")
    return columns, rows


def _classes(run: Run) -> list[list[str]]:
    s = run.scores
    return [
        [label, f"{s.counts[i]:.0f}", *(_number(values[i]) for values in (s.precision, s.recall, s.f1))]
        for i, label in enumerate(run.labels)
    ]


def _looks(run: Run) -> Markup | None:
    """A map for each class, shown beside the confusion matrix; None for networks that do not take images."""
    if run.looks is None:
        return None
    figure = Figure(figsize=(1.6 * len(run.labels), 2.0), layout="tight")
    for i, (label, found) in enumerate(zip(run.labels, run.looks, strict=True)):
        axes = figure.add_subplot(1, len(run.labels), i + 1)
        axes.set(title=label, xticks=(), yticks=())
        if found is not None:
            axes.imshow(found, cmap="magma", vmin=0, vmax=max(float(found.max()), 1e-9))
    return _svg(figure)


def _reliability(run: Run) -> Markup:
    bins = metrics.reliability(run.truth, run.probabilities)
    figure, axes = _axes("confidence", "accuracy", "reliability")
    axes.plot([0, 1], [0, 1], color="#999", linewidth=1)
    axes.bar([b.low for b in bins], [b.accuracy for b in bins], [b.high - b.low for b in bins], align="edge", alpha=0.6)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    return _svg(figure)


def _coverage(run: Run) -> Markup:
    rows = metrics.coverage_risk(run.truth, run.probabilities)
    figure, axes = _axes("share answered", "share of errors among them", "coverage and risk")
    axes.plot(rows[:, 0], rows[:, 1])
    axes.set(xlim=(0, 1), ylim=(0, None))
    return _svg(figure)


def _curves(run: Run) -> Markup:
    """Mean training loss over the folds that reached an epoch, stage after stage."""
    longest = max(len(fold) for fold in run.curves)
    figure, axes = _axes("epoch", "loss", "training, mean over folds")
    for key, label in (("loss", "training"), ("validation", "validation")):
        table = np.full((len(run.curves), longest), np.nan)
        for i, fold in enumerate(run.curves):
            table[i, : len(fold)] = [np.nan if line[key] is None else line[key] for line in fold]
        known = ~np.isnan(table).all(axis=0)
        if known.any():
            axes.plot(np.flatnonzero(known) + 1, np.nanmean(table[:, known], axis=0), marker=".", label=label)
    axes.legend()
    return _svg(figure)


def _axes(x: str, y: str, title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(4, 3.2), layout="tight")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, title=title)
    return figure, axes


def _svg(figure: Figure) -> Markup:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])  # matplotlib escapes its own text


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"
