"""The plotly figures of the benchmark: histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import plotly.graph_objects as go

POINTS: Final = 20_000  # of a curve; more would slow the page down and not be visible
FACES: Final = ("#56b4e9", "#e69f00", "#cc79a7", "#009e73")
MICRO, MACRO, OTHER = "#d55e00", "#cc79a7", "#8a8a93"
FONT: Final = "system-ui, sans-serif"


def histograms(samples: Mapping[str, Sequence[float]]) -> go.Figure:
    """A histogram of the ``samples`` of each name, ms."""
    figure = go.Figure()
    for number, (name, values) in enumerate(samples.items()):
        figure.add_histogram(x=list(values), name=name, opacity=0.65, marker={"color": FACES[number % len(FACES)]})
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title="ms", gridcolor="rgba(128,128,128,.22)")
    figure.update_yaxes(title="frames", gridcolor="rgba(128,128,128,.22)")
    return _plain(figure, 320)


def _plain(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 55, "r": 15, "t": 40, "b": 45},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "color": "#808590", "size": 12},
        legend={"orientation": "h", "y": 1.16},
        dragmode="zoom",
        hovermode="closest",
    )
    return figure
