"""Plots a stored result: a cumulative curve per series of times, bars for rates. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from realtime_mer.bench.results import Result, Series
from realtime_mer.errors import ConfigError, OutputError

FEW: Final = 30  # samples below which a distribution is not drawn


def plot(result: Result, path: Path) -> None:
    """Draws ``result`` into ``path`` (.png, .svg or .pdf). Raises ConfigError without matplotlib, OutputError."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("--plot needs matplotlib: pip install matplotlib") from None
    units = list(dict.fromkeys(series.unit for series in result.series))
    figure = Figure(figsize=(10, 4.5 * len(units)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, unit in enumerate(units, 1):
        axes = figure.add_subplot(len(units), 1, row)
        chosen = [series for series in result.series if series.unit == unit and series.samples]
        if any(len(series.samples) >= FEW for series in chosen):
            _curves(axes, [series for series in chosen if len(series.samples) >= FEW], unit)
        else:
            _bars(axes, chosen, unit)
    figure.suptitle(f"{result.kind}, {result.machine['cpu']}, {result.machine['cores']} cores, {result.created}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write the plot {path}: {error}") from None


def _curves(axes: Any, lines: list[Series], unit: str) -> None:
    """The share of samples that took longer, on a logarithmic axis, because the tails matter."""
    for series in lines:
        values = np.sort(series.samples)
        axes.plot(values, 1 - np.arange(len(values)) / len(values), label=series.name)
    axes.set(xlabel=unit, ylabel="share of samples above", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _bars(axes: Any, lines: list[Series], unit: str) -> None:
    """The median of each series, with its range."""
    middle = np.array([series.quantiles()[0] for series in lines])
    low, high = (np.array([pick(series.samples) for series in lines]) for pick in (min, max))
    places = np.arange(len(lines))
    axes.barh(places, middle, xerr=(middle - low, high - middle), capsize=3)
    axes.set(yticks=places, yticklabels=[series.name for series in lines], xlabel=unit)
    axes.invert_yaxis()
