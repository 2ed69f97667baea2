"""The plotly figures: a recording's motion with its events, and histograms of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go

from realtime_mer.records import Event, Status
from realtime_mer.sinks.jsonl import Recording
from realtime_mer.sinks.signals import Signals

POINTS: Final = 20_000  # of a curve; more make the page slow and cannot be seen
FACES: Final = ("#56b4e9", "#e69f00", "#cc79a7", "#009e73")
MICRO, MACRO, OTHER = "#d55e00", "#cc79a7", "#8a8a93"
FONT: Final = "system-ui, sans-serif"


def timeline(recording: Recording, signals: Signals, *, rejected: bool = True) -> go.Figure:
    """Motion over time with threshold and events; drag to zoom, double-click for all. Works in dark and light."""
    figure = go.Figure()
    top = 1.0
    for track, curve in sorted(signals.curves.items()):
        points = _thinned(curve.between(-np.inf, np.inf))
        top = max(top, float(points[:, 1].max(initial=0.0)))
        colour = FACES[(track - 1) % len(FACES)]
        figure.add_scatter(
            x=points[:, 0], y=points[:, 1], mode="lines", name=f"face {track}", line={"color": colour, "width": 1.4}
        )
        figure.add_scatter(
            x=points[:, 0],
            y=points[:, 2],
            mode="lines",
            name=f"threshold {track}",
            line={"color": colour, "width": 1, "dash": "dot"},
            hoverinfo="skip",
        )
    final = [e for e in recording.events if e.final]
    for event in final:
        if rejected or event.status is Status.CONFIRMED:
            _band(figure, event)
    for name, kept, colour, symbol in (
        ("micro-expression", [e for e in final if e.status is Status.CONFIRMED], MICRO, "triangle-down"),
        ("rejected", [e for e in final if e.status is Status.REJECTED and rejected], OTHER, "x-thin"),
    ):
        if kept:
            figure.add_scatter(
                x=[e.movement.apex for e in kept],
                y=[1.06 * top] * len(kept),
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 11, "line": {"color": colour, "width": 2}},
                text=[described(e) for e in kept],
                hovertemplate="%{text}<br>apex %{x:.3f} s<extra></extra>",
            )
    figure.update_yaxes(title="motion / resting noise", range=[0, 1.15 * top], gridcolor="rgba(128,128,128,.22)")
    figure.update_xaxes(
        title="time, s   (drag: zoom, double-click: all)",
        gridcolor="rgba(128,128,128,.22)",
        rangeslider={"visible": False},
    )
    return _plain(figure, 340)


def histograms(samples: Mapping[str, Sequence[float]]) -> go.Figure:
    """A histogram per name of its ``samples``, ms."""
    figure = go.Figure()
    for number, (name, values) in enumerate(samples.items()):
        figure.add_histogram(x=list(values), name=name, opacity=0.65, marker={"color": FACES[number % len(FACES)]})
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title="ms", gridcolor="rgba(128,128,128,.22)")
    figure.update_yaxes(title="frames", gridcolor="rgba(128,128,128,.22)")
    return _plain(figure, 320)


def described(event: Event) -> str:
    """One event in a few words, as in lists."""
    movement = event.movement
    if movement.status is Status.REJECTED:
        return f"{movement.kind}: {movement.reason}"
    if event.prediction is None:
        return "micro-expression"
    best = max(event.prediction.probabilities.values(), default=0.0)
    return f"micro: {event.prediction.label} {100 * best:.0f} %" if event.prediction.label else "micro: unsure"


def _band(figure: go.Figure, event: Event) -> None:
    movement = event.movement
    confirmed = movement.status is Status.CONFIRMED
    end = movement.apex if movement.offset is None else movement.offset
    colour = MICRO if confirmed else MACRO if movement.kind == "macro" else OTHER
    figure.add_vrect(x0=movement.onset, x1=end, fillcolor=colour, opacity=0.32 if confirmed else 0.16, line_width=0)


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


def _thinned(
    points: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """At most POINTS rows, each keeping the highest level of those it stands for: no peak is lost."""
    if len(points) <= POINTS:
        return points
    starts = np.linspace(0, len(points), POINTS, endpoint=False).astype(int)
    return np.column_stack([points[starts, 0], np.maximum.reduceat(points[:, 1], starts), points[starts, 2]])
