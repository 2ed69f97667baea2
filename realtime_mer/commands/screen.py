"""A run on the terminal: progress, counts, a summary with its events. Sinks write the files."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

from realtime_mer.pipeline import Pipeline
from realtime_mer.progress import bar
from realtime_mer.records import Event, Frame, Kind, Observation, SourceInfo, SourceStats
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Recording, Summary
from realtime_mer.sinks.text import ABSTAINED
from realtime_mer.tables import table

NOTES: Final = 3  # number of different warnings shown; the log has all
REPEATED: Final = 0.1  # fraction of all frames; fewer may be chance, when face and light are still
CUES: Final = 3  # regions named per event; the log has all


def introduce(name: str, info: SourceInfo, pipeline: Pipeline) -> str:
    """One line before a run: what is watched, and how."""
    about = [f"{info.size[0]}x{info.size[1]} px", f"{info.rate:.4g} frames/s" if info.rate else "unknown frame rate"]
    if info.duration:
        about.append(f"{info.duration:.1f} s")
    named = "none" if (r := pipeline.recognizer) is None else f"{r.spec.id} on {r.provider}"
    return f"{name}: {', '.join(about)}; recognizer: {named}"


def describe(stats: SourceStats) -> str:
    """The counts of a live source as text."""
    words = f"{stats.captured} captured, {stats.delivered} measured, {stats.dropped} dropped, {missed(stats)}"
    if stats.skipped:
        reasons = ", ".join(f"{number} {reason}" for reason, number in stats.reasons.items())
        words += f", {stats.skipped} skipped ({reasons})" if reasons else f", {stats.skipped} skipped"
    if stats.repeated:
        words += f", {stats.repeated} repeated"
    return words + (f", {count(stats.reconnects, 'reconnect')}" if stats.reconnects else "")


def missed(stats: SourceStats) -> str:
    """The number of frames never captured, as text."""
    return "missed frames not judged" if stats.missed is None else f"{stats.missed} missed"


def summary(video: str, folder: Path, recording: Recording) -> str:
    """A few lines on a complete recording: its events, and its files."""
    total = recording.summary
    assert total is not None
    micro = [e for e in recording.events if e.final and e.movement.kind is Kind.MICRO]
    rejected = Counter({kind: n for kind, n in total.events.items() if kind != "confirmed"})
    found = [count(total.frames, "frame"), f"{total.duration:.1f} s", count(len(micro), "micro-expression")]
    if total.tracks > 1:
        found.insert(2, f"{total.tracks} faces")
    if rejected:
        found.append("rejected: " + ", ".join(f"{n} {kind}" for kind, n in rejected.most_common()))
    lines = [f"{video}: {', '.join(found)}"]
    if blind := _blind(total, recording.header.settings.get("spot", {}).get("settle_s")):
        lines.append(f"  {blind}")
    if total.sensitivity is not None:
        lines.append(f"  {total.sensitivity.line}")
    if total.fps is not None and total.repeated > REPEATED * total.frames:
        lines.append(
            f"  {total.repeated} of {count(total.frames, 'frame')} repeat the one before: {total.fps:.1f} new frames/s"
        )
    notes = Counter(total.notes).most_common()
    lines += [f"  {note} ({count(n, 'frame')})" for note, n in notes[:NOTES]]
    if len(notes) > NOTES:
        lines.append(f"  and {count(len(notes) - NOTES, 'warning')} more like these")
    if micro:
        first = 0 if total.tracks > 1 else 1  # the face is named where there are several
        columns = ("face", "onset s", "apex s", "offset s", "label", "what moved")
        rows = [_cells(event) for event in micro]
        lines.append(table(columns[first:], [row[first:] for row in rows], left=(4 - first, 5 - first), indent=2))
    return "\n".join([*lines, f"  {folder}/: {', '.join(sorted(p.name for p in folder.iterdir()))}"])


def _blind(total: Summary, settle: object) -> str:
    """Why nothing could be found; empty if something could. settle: s, from the log; None in an older one."""
    if not total.face_frames:
        return "no face was found"
    if isinstance(settle, float) and total.duration <= settle:
        return f"nothing could be judged: learning the resting face alone takes {settle:g} s (spot.settle_s)"
    if not total.measured_frames:
        return "the face could not be measured: signals.csv says why for each frame"
    return ""


def _cells(event: Event) -> tuple[str, ...]:
    movement, prediction = event.movement, event.prediction
    label = ""
    if prediction is not None:
        best = max(prediction.probabilities, key=lambda name: prediction.probabilities[name])
        likely = f"{best} {prediction.probabilities[best]:.2f}"
        label = f"{ABSTAINED} ({likely})" if prediction.abstained else likely
    moved = ", ".join(f"{cue.region} {'/'.join(cue.action_units)}".strip() for cue in event.cues[:CUES])
    times = (f"{time:.3f}" for time in (movement.onset, movement.apex, movement.end))
    return str(event.track), *times, label, moved


def count(number: int, noun: str) -> str:
    """ "1 frame", "2 frames"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class RunProgress(Sink):
    """A bar on a terminal's standard error, with the time left and frames/s; nothing elsewhere."""

    def __init__(self, name: str, info: SourceInfo) -> None:
        self._frames, self._first, self._shown = 0, 0.0, 0.0
        self._began = time.monotonic()
        quiet = not sys.stderr.isatty()
        self._context = bar(round(info.duration) if info.duration else 0, name, "s of video", quiet=quiet)
        self._bar = self._context.__enter__()

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002
        if not self._frames:
            self._first = observation.time
        self._frames += 1
        at = observation.time - self._first
        if at - self._shown >= 1:
            rate = self._frames / (time.monotonic() - self._began)
            self._bar.advance(int(at - self._shown), f"{rate:.0f} frames/s")
            self._shown += int(at - self._shown)

    def close(self) -> None:
        """Removes the bar."""
        self._context.__exit__(None, None, None)
