"""WebVTT captions of the micro-expressions, for any video player. Rejected movements are not shown."""

from __future__ import annotations

from pathlib import Path

from realtime_mer.records import Status
from realtime_mer.sinks.elan import describe
from realtime_mer.sinks.jsonl import Recording
from realtime_mer.sinks.lines import one_line, write_whole


def write_webvtt(recording: Recording, out: Path) -> None:
    """One cue per confirmed micro-expression, in order of onset. Raises OutputError."""
    micro = [e for e in recording.events if e.status is Status.CONFIRMED]
    cues = ["WEBVTT\n"]
    for event in sorted(micro, key=lambda e: e.movement.onset):
        start = _stamp(recording.header.media_time(event.movement.onset))
        # a cue must end after it starts, to the millisecond
        end = max(_stamp(recording.header.media_time(event.movement.end)), start + 1)
        text = one_line(describe(event)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{_clock(start)} --> {_clock(end)}\nFace {event.track}: {' '.join(text.split())}\n")
    write_whole(out, "\n".join(cues))


def _stamp(seconds: float) -> int:
    return max(0, round(1000 * seconds))


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
