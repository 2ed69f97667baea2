"""Tables for spreadsheets and scripts: events.csv, one row per event, and signals.csv, one row per frame and face."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from realtime_mer.face.regions import NAMES
from realtime_mer.records import End, Event, FaceSignal, Frame, Observation
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Recording
from realtime_mer.sinks.lines import LineFile, one_line, write_whole

EVENT_COLUMNS: Final = (
    "track", "id", "status", "kind", "reason", "held", "onset", "apex", "offset", "duration",
    "onset_frame", "apex_frame", "offset_frame", "strength", "label", "abstained", "probability", "probabilities",
    "cues", "side", "objective", "objective_probabilities", "action_units",
    "fps", "gap", "lost", "model", "provider", "reported",
)  # fmt: skip
_FACE_COLUMNS: Final = (
    "level", "threshold", "least", "head", "eyes", "yaw", "pitch", "roll", "score", "x0", "y0", "x1", "y1",
)  # fmt: skip
SIGNAL_COLUMNS: Final = (
    "frame", "time", "lost", "face", "note", *_FACE_COLUMNS,
    *(f"{name.replace(' ', '_')}_{axis}" for name in NAMES for axis in ("dx", "dy")),
)  # fmt: skip
FLUSH: Final = 0.5  # s of wall time that rows may wait; a kill loses at most these, and never half a row

_WHERE: Final = "%.2f,%.2f,%.2f,%.3f,%.1f,%.1f,%.1f,%.1f"
_HOW: Final = "%.3f,%.3f,%.3f,%.3f,%.3f,"
_REGIONS: Final = ",%.3f" * (2 * len(NAMES)) + "\n"
_NO_HOW: Final = "," * 5
_NO_REGIONS: Final = "," * (2 * len(NAMES)) + "\n"
_NO_FACE: Final = "," * (len(_FACE_COLUMNS) + 1 + 2 * len(NAMES)) + "\n"


class EventsCsv(Sink):
    """Final events as they happen, one row each. The columns are EVENT_COLUMNS; docs/formats.md explains them."""

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)
        self._file.write(_row(EVENT_COLUMNS))

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002
        self._rows(observation.events)

    def end(self, end: End) -> None:
        self._rows(end.events)

    def _rows(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.final:
                self._file.write(_row(event_cells(event)))

    def close(self) -> None:
        self._file.close()


class SignalsCsv(Sink):
    """One row per frame and face, and one for a frame without a face. The columns are SIGNAL_COLUMNS.

    Cells that were not measured are empty. Formatted by hand, because the csv module takes several times as long.
    """

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)
        self._file.write(",".join(SIGNAL_COLUMNS) + "\n")
        self._rows: list[str] = []
        self._flushed = time.monotonic()

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002
        start = f"{observation.index},{observation.time:.6f},{observation.lost},"
        if observation.faces:
            self._rows.extend([start + _face_cells(signal) for signal in observation.faces])
        else:
            self._rows.append(start + _NO_FACE)
        if time.monotonic() - self._flushed > FLUSH:
            self._flush()

    def close(self) -> None:
        try:
            self._flush()
        finally:
            self._file.close()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._flushed = time.monotonic()
        if rows:
            self._file.write("".join(rows))


def write_events_csv(recording: Recording, out: Path) -> None:
    """Writes events.csv from a log. Raises OutputError."""
    write_whole(out, _row(EVENT_COLUMNS) + "".join(_row(event_cells(e)) for e in recording.events if e.final))


def event_cells(event: Event) -> list[object]:
    """The cells of one event, in the order of EVENT_COLUMNS; unknown ones are empty."""
    movement, prediction = event.movement, event.prediction
    cues = "; ".join(f"{c.region} {c.dx:+.1f} {c.dy:+.1f} {'/'.join(c.action_units)}".rstrip() for c in event.cues)
    probabilities = prediction.probabilities if prediction else {}
    objective = event.objective.probabilities if event.objective else {}
    return [
        event.track, movement.id, movement.status.value, movement.kind.value, movement.reason,
        str(movement.held).lower(),
        f"{movement.onset:.6f}", f"{movement.apex:.6f}", "" if movement.offset is None else f"{movement.offset:.6f}",
        "" if movement.duration is None else f"{movement.duration:.6f}",
        event.onset_frame, event.apex_frame, event.offset_frame, f"{movement.strength:.3f}",
        prediction.label if prediction else "", str(prediction.abstained).lower() if prediction else "",
        f"{max(probabilities.values()):.4f}" if probabilities else "",
        _listed(probabilities),
        cues, event.side, (event.objective.label or "") if event.objective else "", _listed(objective),
        _listed(event.action_units or {}), f"{event.fps:.2f}", f"{event.gap:.6f}", event.lost,
        event.model, event.provider, f"{event.reported:.6f}",
    ]  # fmt: skip


def _listed(probabilities: dict[str, float]) -> str:
    return "; ".join(f"{label} {p:.4f}" for label, p in probabilities.items())


def _face_cells(signal: FaceSignal) -> str:
    face, activity = signal.face, signal.activity
    where = _WHERE % (*face.pose, face.score, *face.box)
    if activity is None:
        return f"{face.track},{_quoted(signal.note)},{_NO_HOW}{where}{_NO_REGIONS}"
    how = _HOW % (activity.level, activity.threshold, activity.least, activity.head, activity.eyes)
    return f"{face.track},{_quoted(signal.note)},{how}{where}{_REGIONS % tuple(activity.displacement.ravel().tolist())}"


def _quoted(text: str) -> str:
    text = one_line(text)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"') else text


def _row(cells: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([one_line(cell) if isinstance(cell, str) else cell for cell in cells])
    return out.getvalue()
