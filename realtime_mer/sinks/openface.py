"""A table like OpenFace 2's, with the columns that we estimate: no gaze, no landmarks, no AU intensities."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Final

from realtime_mer.errors import SourceError, first_line
from realtime_mer.sinks.lines import write_whole

COLUMNS: Final = ("frame", "face_id", "timestamp", "confidence", "success", "pose_Rx", "pose_Ry", "pose_Rz")


def write_openface(signals_csv: Path, out: Path) -> None:
    """Writes the table from signals.csv. ``frame`` from 1, angles in rad, ``face_id`` from 0; a frame without a face
    keeps its row.

    OpenFace's camera axes point right, down and away from the viewer and its rotations are right-handed about them:
    pose_Rx > 0 looks down, pose_Ry > 0 turns to the subject's right, pose_Rz > 0 tilts clockwise in the frame. Raises
    SourceError when the signals cannot be read, OutputError when the table cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    try:
        with open(signals_csv, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                table.writerow(_cells(row))
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        why = f"no column {error}" if isinstance(error, KeyError) else first_line(error)
        raise SourceError(f"{signals_csv} is not a readable signals.csv ({why}): analyze the recording again") from None
    write_whole(out, text.getvalue())


def _cells(row: dict[str, str]) -> list[object]:
    frame = int(row["frame"]) + 1
    if not row["face"]:
        return [frame, 0, row["time"], 0, 0, "", "", ""]
    yaw, pitch, roll = (math.radians(float(row[name])) for name in ("yaw", "pitch", "roll"))
    angles = (f"{angle:.4f}" for angle in (-pitch, -yaw, roll))
    return [frame, int(row["face"]) - 1, row["time"], row["score"], 1, *angles]
