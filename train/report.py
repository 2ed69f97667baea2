"""``python -m train report RUN``: one HTML page about a run or a reproduction; it loads nothing from elsewhere.

RUN is a folder that ``evaluate`` or ``reproduce`` wrote. The page has tables, confusion matrices, reliability diagram,
coverage against risk, training curves and class counts. It holds no picture of anybody.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from realtime_mer.errors import DataError, OutputError
from train import metrics, runs
from train.runs import Run

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:.7rem 0}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left}
th{background:#f3f3f3}td.n{text-align:right;font-variant-numeric:tabular-nums}
.leak{background:#fde8e8;border-left:4px solid #c00;padding:.5rem 1rem}.note{color:#555}
figure{display:inline-block;margin:.5rem 1rem .5rem 0}section{margin-bottom:3rem}
pre{background:#f7f7f7;padding:.7rem;overflow:auto}
"""


def command(argv: Sequence[str]) -> int:
    """Runs the command. Returns 0; DataError when the folder holds no run."""
    parser = argparse.ArgumentParser(prog="python -m train report", description="Write an HTML page about a run.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder written by evaluate or reproduce")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="output file (default: RUN/report.html)")
    args = parser.parse_args(argv)
    out = args.out or args.run / "report.html"
    try:
        text = page(args.run)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {out} ({error.strerror}): choose another --out") from None
    print(out)
    return 0


def page(folder: Path) -> str:
    """The whole page as text: one run, or the tables of a reproduction and all runs behind them."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one that evaluate or reproduce wrote")
    parts = []
    if (folder / "tables.json").exists():
        tables = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
        parts += [_paper_table(table) for table in tables.values()]
        found = sorted({name for table in tables.values() for name in table["runs"]})
        below = [folder.parent / name for name in found]
        parts += [_run(runs.load(path)) for path in below if (path / "run.json").exists()]
    else:
        parts.append(_run(runs.load(folder)))
    title = escape(folder.name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>"
        f"<body><h1>{title}</h1>{''.join(parts)}</body></html>\n"
    )


def _paper_table(table: dict[str, Any]) -> str:
    head = f"<h2>{escape(table['paper'])}, table {escape(table['number'])}: {escape(table['title'])}</h2>"
    notes = "".join(f"<li>{escape(note)}</li>" for note in table["notes"])
    grid = _grid(table["columns"], table["rows"])
    return f"<section>{head}<p>scale: {escape(table['scale'])}</p>{grid}<ul>{notes}</ul></section>"


def _run(run: Run) -> str:
    faults = run.about.get("faults", [])
    warning = ""
    if faults:
        warning = (
            f'<p class="leak">This run has a fault on purpose, to show its worth: {escape(", ".join(faults))}.</p>'
        )
    people = len(set(run.groups))
    scale = f"; scale: {escape(str(run.about['scale']))}" if "scale" in run.about else ""
    facts = (
        f"protocol {escape(run.protocol)}, {len(dict.fromkeys(run.folds))} folds, {len(run.truth)} tested clips of "
        f"{people} subjects, {run.seconds:.0f} s, code {escape(run.about.get('commit', ''))}{scale}"
    )
    figures = "".join(f"<figure>{svg}</figure>" for svg in (_reliability(run), _coverage(run), _curves(run)))
    recipe = escape(json.dumps(run.about.get("recipe", {}), indent=1))
    return (
        f"<section><h2>{escape(run.name)}</h2><p>{facts}</p>{warning}{_scores(run)}{_classes(run)}{_confusion(run)}"
        f"{_looks(run)}{_calibration(run)}{figures}<details><summary>recipe</summary><pre>{recipe}</pre></details></section>"
    )


def _scores(run: Run) -> str:
    base = metrics.trivial(run.truth, run.labels)
    ranges = metrics.bootstrap(run.truth, run.probabilities, run.groups, run.labels, repeats=1000)
    best = run.best_scores
    columns = ["score", "value", "95 % interval over subjects", "always the commonest class", "at random"]
    rows = []
    for name in metrics.NAMES:
        between = f"{ranges[name].low:.3f} to {ranges[name].high:.3f}"
        row = [name, f"{run.scores[name]:.3f}", between, f"{base['majority'][name]:.3f}", f"{base['chance'][name]:.3f}"]
        rows.append(row if best is None else [*row, f"{best[name]:.3f}"])
    if best is not None:
        columns.append("epoch chosen on the test fold (a leak)")
    return _grid(columns, rows)


def _classes(run: Run) -> str:
    s = run.scores
    rows = [
        [label, f"{s.counts[i]:.0f}", *(_number(values[i]) for values in (s.precision, s.recall, s.f1))]
        for i, label in enumerate(run.labels)
    ]
    return _grid(["class", "clips", "precision", "recall", "F1"], rows)


def _confusion(run: Run) -> str:
    """Rows are the truth; the shade is the share of the row."""
    head = "".join(f"<th>{escape(label)}</th>" for label in run.labels)
    body = ""
    for label, row in zip(run.labels, run.scores.confusion, strict=True):
        total = max(row.sum(), 1)
        cells = "".join(
            f'<td class="n" style="background:rgba(40,90,200,{0.6 * n / total:.2f})">{n:.0f}</td>' for n in row
        )
        body += f"<tr><th>{escape(label)}</th>{cells}</tr>"
    caption = "<caption>confusion matrix: rows true, columns predicted</caption>"
    return f"<table>{caption}<tr><th></th>{head}</tr>{body}</table>"


def _looks(run: Run) -> str:
    """A map for each class, beside the confusion matrix; empty for networks that see no pictures."""
    if run.looks is None:
        return ""
    figure = Figure(figsize=(1.6 * len(run.labels), 2.0), layout="tight")
    for i, (label, found) in enumerate(zip(run.labels, run.looks, strict=True)):
        axes = figure.add_subplot(1, len(run.labels), i + 1)
        axes.set(title=label, xticks=(), yticks=())
        if found is not None:
            axes.imshow(found, cmap="magma", vmin=0, vmax=max(float(found.max()), 1e-9))
    caption = (
        "where the network looks (Grad-CAM, or its own attention): the mean over the tested pictures of each class"
    )
    return f"<figure>{_svg(figure)}<figcaption>{caption}; the square is the input</figcaption></figure>"


def _calibration(run: Run) -> str:
    found = metrics.calibration(run.truth, run.probabilities)
    return (
        f'<p class="note">ECE {found.ece:.3f} (15 bins), adaptive ECE {found.ece_adaptive:.3f}, '
        f"negative log-likelihood {found.nll:.3f}, Brier {found.brier:.3f}; "
        f"{'no temperature fitted' if run.calibrated is None else 'temperature from other people'}</p>"
    )


def _reliability(run: Run) -> str:
    bins = metrics.reliability(run.truth, run.probabilities)
    figure, axes = _axes("confidence", "accuracy", "reliability")
    axes.plot([0, 1], [0, 1], color="#999", linewidth=1)
    axes.bar([b.low for b in bins], [b.accuracy for b in bins], [b.high - b.low for b in bins], align="edge", alpha=0.6)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    return _svg(figure)


def _coverage(run: Run) -> str:
    rows = metrics.coverage_risk(run.truth, run.probabilities)
    figure, axes = _axes("share answered", "share wrong among them", "coverage and risk")
    axes.plot(rows[:, 0], rows[:, 1])
    axes.set(xlim=(0, 1), ylim=(0, None))
    return _svg(figure)


def _curves(run: Run) -> str:
    """Mean training loss over the folds that reached an epoch; stages one after another."""
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


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"
