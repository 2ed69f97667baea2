"""BORIS: tabular events, and a project file. START and STOP of every movement, a POINT at a micro-expression's apex."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Final

from realtime_mer.face.regions import NAMES
from realtime_mer.records import Event, Kind, Status
from realtime_mer.sinks.jsonl import Header, Recording
from realtime_mer.sinks.lines import one_line, write_whole
from realtime_mer.sinks.text import label_words

COLUMNS: Final = (
    "Observation id", "Observation date", "Media file name", "FPS", "Subject", "Behavior", "Behavioral category",
    "Modifier #1", "Modifier #2", "Behavior type", "Time", "Comment",
)  # fmt: skip
MICRO: Final = Kind.MICRO.value
APEX: Final = "micro-expression apex"


def write_boris(recording: Recording, out: Path) -> None:
    """Writes tabular events. Modifier #1: the label, or "abstained"; #2: the regions that moved. Raises OutputError."""
    head = recording.header
    media = Path(head.source.uri).name
    rows: list[tuple[float, str, int, list[object]]] = []
    for number, event in enumerate(e for e in recording.events if e.final):
        movement = event.movement
        confirmed = movement.status is Status.CONFIRMED
        label = _label(event)
        cues = "+".join(c.region for c in event.cues)
        points = [("START", movement.onset, ""), ("STOP", movement.end, "")]
        if confirmed:
            points.insert(1, ("POINT", movement.apex, "apex"))
        for type_, when, comment in points:
            time = head.media_time(when)
            rows.append((time, type_, number, [
                Path(media).stem, head.created, media, f"{head.source.rate:g}" if head.source.rate else "",
                f"face {event.track}", APEX if type_ == "POINT" else movement.kind.value,
                "micro-expression" if confirmed else "rejected", label, cues, type_, f"{time:.3f}",
                comment or movement.reason,
            ]))  # fmt: skip
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    # by time, then by event, then in the order added above
    for _, _, _, cells in sorted(rows, key=lambda row: (row[0], row[2])):
        table.writerow([one_line(str(cell)) for cell in cells])
    write_whole(out, text.getvalue())


def write_boris_project(recording: Recording, out: Path) -> None:
    """Writes a project file (.boris) with one observation of the media. Raises OutputError.

    Movements are state events, the apex of a micro-expression is a point event; label and regions are modifiers. The
    format is project format 7.0, which BORIS 8 reads.
    """
    head, final = recording.header, [e for e in recording.events if e.final]
    media = head.source.uri
    summary = recording.summary
    behaviors = [MICRO, APEX, *sorted({e.movement.kind.value for e in final} - {MICRO})]
    labels = sorted({_label(e) for e in final} - {""})
    subjects = [f"face {track}" for track in sorted({e.track for e in final})]
    observation = {
        "file": {str(player): [media] if player == 1 else [] for player in range(1, 9)},
        "type": "MEDIA",
        "date": head.created[:19],
        "description": f"realtime-mer {head.product}",
        "time offset": 0.0,
        "observation time interval": [0, 0],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "media_creation_date_as_offset": False,
        "media_scan_sampling_duration": 0,
        "image_display_duration": 1,
        "close_behaviors_between_videos": False,
        "media_info": {
            "length": {media: summary.duration if summary else 0.0},
            "fps": {media: head.source.rate or 0.0},
            "hasVideo": {media: True},
            "hasAudio": {media: False},
            "offset": {"1": 0.0},
        },
        "events": [list(row) for row in sorted((r for e in final for r in _project_rows(e, head)), key=lambda r: r[0])],
    }
    project = {
        "time_format": "hh:mm:ss",
        "project_date": head.created[:19],
        "project_name": Path(media).stem,
        "project_description": "",
        "project_format_version": "7.0",
        "subjects_conf": {str(i): {"key": "", "name": name, "description": ""} for i, name in enumerate(subjects)},
        "behaviors_conf": {str(i): _behavior(code, labels) for i, code in enumerate(behaviors)},
        "observations": {Path(media).stem: observation},
        "behavioral_categories": ["micro-expression", "rejected"],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    write_whole(out, json.dumps(project, indent=1) + "\n")


def _behavior(code: str, labels: list[str]) -> dict[str, object]:
    """A row of the ethogram. Types of modifiers: 0 takes one value, 1 several."""
    modifiers = [("label", 0, labels), ("regions", 1, list(NAMES))]
    return {
        "type": "Point event" if code == APEX else "State event",
        "key": "",
        "code": code,
        "description": "",
        "category": "micro-expression" if code in (MICRO, APEX) else "rejected",
        "color": "",
        "modifiers": {
            str(i): {"name": name, "description": "", "type": kind, "ask at stop": False, "values": values}
            for i, (name, kind, values) in enumerate(modifiers)
        },
        "excluded": "",
        "coding map": "",
    }


def _project_rows(event: Event, head: Header) -> list[tuple[float, str, str, str, str, int]]:
    """Time, subject, behavior, modifiers, comment and frame of each of an event's moments."""
    movement = event.movement
    modifiers = f"{_label(event) or 'None'}|{','.join(c.region for c in event.cues) or 'None'}"
    end = event.offset_frame if event.offset_frame is not None else event.apex_frame
    points = [
        (movement.onset, movement.kind.value, event.onset_frame),
        (movement.end, movement.kind.value, end),
    ]
    if movement.status is Status.CONFIRMED:
        points.insert(1, (movement.apex, APEX, event.apex_frame))
    subject, comment = f"face {event.track}", one_line(movement.reason)
    return [(round(head.media_time(t), 3), subject, code, modifiers, comment, frame) for t, code, frame in points]


def _label(event: Event) -> str:
    return label_words(event) if event.prediction else ""
