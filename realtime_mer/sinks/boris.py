"""BORIS tabular events: START and STOP of every movement and a POINT at the apex of a micro-expression."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final

from realtime_mer.records import Status
from realtime_mer.sinks.jsonl import Recording
from realtime_mer.sinks.lines import one_line, write_whole

COLUMNS: Final = (
    "Observation id", "Observation date", "Media file name", "FPS", "Subject", "Behavior", "Behavioral category",
    "Modifier #1", "Modifier #2", "Behavior type", "Time", "Comment",
)  # fmt: skip


def write_boris(recording: Recording, out: Path) -> None:
    """Modifier #1: the label ("unsure" when abstaining), #2: the regions that moved. Raises OutputError."""
    head = recording.header
    media = Path(head.source.uri).name
    rows: list[tuple[float, str, int, list[object]]] = []
    for number, event in enumerate(e for e in recording.events if e.final):
        movement, prediction = event.movement, event.prediction
        confirmed = movement.status is Status.CONFIRMED
        label = (prediction.label or "unsure") if prediction else ""
        cues = "+".join(c.region for c in event.cues)
        points = [("START", movement.onset, ""), ("STOP", movement.end, "")]
        if confirmed:
            points.insert(1, ("POINT", movement.apex, "apex"))
        for type_, when, comment in points:
            time = head.media_time(when)
            rows.append((time, type_, number, [
                Path(media).stem, head.created, media, f"{head.source.rate:g}" if head.source.rate else "",
                f"face {event.track}", "micro-expression apex" if type_ == "POINT" else movement.kind.value,
                "micro-expression" if confirmed else "rejected", label, cues, type_, f"{time:.3f}",
                comment or movement.reason,
            ]))  # fmt: skip
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    # by time; at one time by event, and within it as added above
    for _, _, _, cells in sorted(rows, key=lambda row: (row[0], row[2])):
        table.writerow([one_line(str(cell)) for cell in cells])
    write_whole(out, text.getvalue())
