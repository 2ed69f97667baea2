"""The table for the MEGC spotting challenge: vid, pred_onset, pred_offset, type, in frame numbers."""

from __future__ import annotations

from pathlib import Path

from realtime_mer.records import Kind, Status
from realtime_mer.sinks.jsonl import Recording
from realtime_mer.sinks.lines import one_line, write_whole


def write_megc(recording: Recording, out: Path, *, index_base: int = 0, inclusive_end: bool = True) -> None:
    """Writes micro-expressions as "me" and macro-expressions as "mae"; other movements are left out.

    index_base: number of the first frame. inclusive_end: pred_offset is the last frame of the movement, not the one
    after it. The challenge specifies neither: state which you used. Raises OutputError.
    """
    rows = ["vid,pred_onset,pred_offset,type"]
    video = one_line(Path(recording.header.source.uri).stem).replace(",", "_")
    for event in recording.events:
        movement = event.movement
        kind = (
            "me"
            if movement.status is Status.CONFIRMED
            else "mae"
            if event.final and movement.kind is Kind.MACRO
            else None
        )
        if kind is None or event.offset_frame is None:
            continue
        end = event.offset_frame + (0 if inclusive_end else 1)
        rows.append(f"{video},{event.onset_frame + index_base},{end + index_base},{kind}")
    write_whole(out, "\n".join(rows) + "\n")
