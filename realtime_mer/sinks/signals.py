"""Reads signals.csv for the report and the app. ``csv`` writes it."""

from __future__ import annotations

import csv
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import SourceError, first_line


@dataclass(slots=True)
class Curve:
    """The signals of one face: times in s, level and threshold in units of resting noise."""

    time: array[float] = field(default_factory=lambda: array("d"))
    level: array[float] = field(default_factory=lambda: array("d"))
    threshold: array[float] = field(default_factory=lambda: array("d"))

    def between(self, start: float, end: float) -> NDArray[np.float64]:
        """float64 (N, 3): time, level, threshold from ``start`` to ``end``."""
        columns = [np.frombuffer(c, np.float64) if c else np.empty(0) for c in (self.time, self.level, self.threshold)]
        low, high = np.searchsorted(columns[0], [start, end])
        return np.column_stack([c[low:high] for c in columns])


@dataclass(slots=True)
class Signals:
    """The content of a signals.csv: the time of every frame, and a curve per face."""

    frames: array[float] = field(default_factory=lambda: array("d"))
    curves: dict[int, Curve] = field(default_factory=dict)


def thinned(points: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """At most ``most`` rows of ``Curve.between``, each with the highest level of those it replaces."""
    if len(points) <= most:
        return points
    starts = np.linspace(0, len(points), most, endpoint=False).astype(int)
    return np.column_stack([points[starts, 0], np.maximum.reduceat(points[:, 1], starts), points[starts, 2]])


def read_signals(path: Path) -> Signals:
    """Reads what the report needs from signals.csv, without an incomplete last row. Raises SourceError."""
    signals = Signals()
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            names = next(rows, [])
            frame, time, face, level, threshold = map(names.index, ("frame", "time", "face", "level", "threshold"))
            last = ""
            for row in rows:
                if len(row) != len(names):
                    continue
                if row[frame] != last:
                    last = row[frame]
                    signals.frames.append(float(row[time]))
                if row[level]:
                    curve = signals.curves.setdefault(int(row[face]), Curve())
                    curve.time.append(float(row[time]))
                    curve.level.append(float(row[level]))
                    curve.threshold.append(float(row[threshold]))
            columns = [signals.frames, *(c for curve in signals.curves.values() for c in (curve.time, curve.level))]
            if not all(np.isfinite(column).all() for column in columns):
                raise ValueError("a time or a level is not a finite number")
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(f"{path} is not a readable signals.csv: {first_line(error)}") from None
    return signals
