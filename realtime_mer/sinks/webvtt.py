"""WebVTT captions of the micro-expressions, for any video player. Rejected movements are not shown."""

from __future__ import annotations

from pathlib import Path

from realtime_mer.records import Status
from realtime_mer.sinks.elan import describe
from realtime_mer.sinks.jsonl import Recording
from realtime_mer.sinks.lines import write_whole


def write_webvtt(recording: Recording, out: Path) -> None:
    """One cue per confirmed micro-expression, in order of onset. Raises OutputError."""
    micro = [e for e in recording.events if e.event.span.status is Status.CONFIRMED]
    cues = ["WEBVTT\n"]
    for logged in sorted(micro, key=lambda e: e.event.span.onset):
        start = _stamp(recording.header.media_time(logged.event.span.onset))
        # a cue must end after it starts, to the millisecond
        end = max(_stamp(recording.header.media_time(logged.end)), start + 1)
        text = describe(logged).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        cues.append(f"{_clock(start)} --> {_clock(end)}\nFace {logged.event.track}: {' '.join(text.split())}\n")
    write_whole(out, "\n".join(cues))


def _stamp(seconds: float) -> int:
    return max(0, round(1000 * seconds))


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
