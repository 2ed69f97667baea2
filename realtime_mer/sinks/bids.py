"""BIDS events: a tab-separated table with onset and duration first, and a JSON sidecar that explains the columns."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Final

from realtime_mer.sinks.jsonl import Recording
from realtime_mer.sinks.lines import one_line, write_whole
from realtime_mer.sinks.place import is_special

COLUMNS: Final = {
    "onset": {"Description": "Onset of the movement, from the start of the recording", "Units": "s"},
    "duration": {"Description": "Offset minus onset; n/a when the offset was not seen", "Units": "s"},
    "trial_type": {
        "Description": "What the movement was",
        "Levels": {
            "micro": "micro-expression",
            "macro": "longer facial movement",
            "blink": "eye blink",
            "head": "head movement",
            "speech": "one of a run of mouth movements",
            "undecided": "cannot be decided from this recording",
            "dismissed": "a coder says that it is no micro-expression",
            "marker": "noted while recording; the note is the reason",
        },
    },
    "apex": {"Description": "Time of the largest displacement, from the start of the recording", "Units": "s"},
    "face": {"Description": "Number of the face, from 1, kept while it stays in view"},
    "label": {"Description": "Class the recognizer gives; n/a when it abstains or none ran"},
    "probability": {"Description": "Calibrated probability of the most likely class"},
    "strength": {
        "Description": "Displacement at the apex, on a face with 44 px between the eyes' centers",
        "Units": "px",
    },
    "reason": {"Description": "Why the movement is not reported as a micro-expression"},
}


def write_bids(recording: Recording, out: Path) -> None:
    """``out`` (a .tsv) and the sidecar beside it (.json), of the final events by onset. Raises OutputError."""
    rows = [
        (m.time, [f"{recording.header.media_time(m.time):.6f}", "0", "marker", *[""] * 5, m.text or m.key])
        for m in recording.markers
    ]
    for event in (e for e in recording.events if e.final):
        movement, prediction = event.movement, event.prediction
        probabilities = prediction.probabilities.values() if prediction else ()
        cells = [
            f"{recording.header.media_time(movement.onset):.6f}",
            "" if movement.duration is None else f"{movement.duration:.6f}",
            movement.kind.value,
            f"{recording.header.media_time(movement.apex):.6f}",
            str(event.track),
            (prediction.label or "") if prediction else "",
            f"{max(probabilities):.4f}" if probabilities else "",
            "" if math.isnan(movement.strength) else f"{movement.strength:.3f}",
            movement.reason,
        ]
        rows.append((movement.onset, cells))
    table = [list(COLUMNS), *(cells for _, cells in sorted(rows, key=lambda row: row[0]))]
    if not is_special(out):  # the sidecar first: where the table is, both are
        write_whole(out.with_suffix(".json"), json.dumps(COLUMNS, indent=2) + "\n")
    lines = ["\t".join(" ".join(one_line(cell).split()) or "n/a" for cell in cells) for cells in table]
    write_whole(out, "\n".join(lines) + "\n")
