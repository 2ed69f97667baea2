"""What people read of a run on the terminal: progress, counts, a summary with its events. Sinks write the files."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Event, Frame, Kind, Observation, SourceInfo, SourceStats
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Recording, Summary

EVERY: Final = 0.5  # s between two lines of progress
NOTES: Final = 3  # different warnings shown; all of them are in the log
REPEATED: Final = 0.1  # of all frames: fewer may be chance, when a face and the light keep still
CUES: Final = 3  # regions named for each event; all of them are in the log


def introduce(name: str, info: SourceInfo, pipeline: Pipeline) -> str:
    """One line before a run: what is watched, and with what."""
    about = [f"{info.size[0]}x{info.size[1]} px", f"{info.rate:.4g} frames/s" if info.rate else "unknown frame rate"]
    if info.duration:
        about.append(f"{info.duration:.1f} s")
    named = "none" if (r := pipeline.recognizer) is None else f"{r.spec.id} on {r.provider}"
    return f"{name}: {', '.join(about)}; recognizer: {named}"


def describe(stats: SourceStats) -> str:
    """The counts of a live source in words."""
    words = f"{stats.captured} captured, {stats.delivered} measured, {stats.dropped} dropped, {missed(stats)}"
    if stats.skipped:
        reasons = ", ".join(f"{number} {reason}" for reason, number in stats.reasons.items())
        words += f", {stats.skipped} skipped ({reasons})" if reasons else f", {stats.skipped} skipped"
    if stats.repeated:
        words += f", {stats.repeated} repeated"
    return words + (f", {count(stats.reconnects, 'reconnect')}" if stats.reconnects else "")


def missed(stats: SourceStats) -> str:
    """How many frames were never captured, in words."""
    return "missed frames not judged" if stats.missed is None else f"{stats.missed} missed"


def summary(video: str, folder: Path, recording: Recording) -> str:
    """A few lines: what was found in a complete recording, and where it is written."""
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
        face = "  face" if total.tracks > 1 else ""
        lines.append(f"{face}   onset s    apex s  offset s   label            what moved")
        lines += [_line(event, total.tracks > 1) for event in micro]
    return "\n".join([*lines, f"  {folder}/: {', '.join(sorted(p.name for p in folder.iterdir()))}"])


def _blind(total: Summary, settle: object) -> str:
    """Why nothing could be found, empty when something could. settle: s, as the log has it; an older one has None."""
    if not total.face_frames:
        return "no face was found"
    if isinstance(settle, float) and total.duration <= settle:
        return f"nothing could be judged: learning the resting face alone takes {settle:g} s (spot.settle_s)"
    if not total.measured_frames:
        return "the face could not be measured: signals.csv says why for each frame"
    return ""


def _line(event: Event, with_face: bool) -> str:
    movement, prediction = event.movement, event.prediction
    label = ""
    if prediction is not None:
        best = max(prediction.probabilities, key=lambda name: prediction.probabilities[name])
        likely = f"{best} {prediction.probabilities[best]:.2f}"
        label = f"abstained ({likely})" if prediction.abstained else likely
    face = f"{event.track:6d}" if with_face else ""
    moved = ", ".join(f"{cue.region} {'/'.join(cue.action_units)}".strip() for cue in event.cues[:CUES])
    return f"{face}{movement.onset:10.3f}{movement.apex:10.3f}{movement.end:10.3f}   {label:16} {moved}"


def count(number: int, noun: str) -> str:
    """ "1 frame", "2 frames"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class RunProgress(Sink):
    """One line on a terminal's standard error, renewed twice a second; nothing where it is not a terminal."""

    def __init__(self, name: str, info: SourceInfo) -> None:
        self._name, self._info, self._frames = name, info, 0
        self._began = self._shown = time.monotonic()
        self._on = sys.stderr.isatty()

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002
        now = time.monotonic()
        self._frames += 1
        if not self._on or now - self._shown < EVERY:
            return
        self._shown, at = now, observation.time
        done = f"{100 * at / self._info.duration:3.0f} %" if self._info.duration else f"{at:.0f} s"
        rate = self._frames / (now - self._began)
        self._print(f"\r\033[K{self._name}: {done}, {rate:.0f} frames/s")

    def close(self) -> None:
        """Clears the line."""
        if self._on:
            self._print("\r\033[K")

    def _print(self, text: str) -> None:
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:  # the terminal was closed: the run goes on, or ends in order
            self._on = False
