"""Data for the Recorded page: the state of jobs, and an analyzed recording. No HTTP here.

Times are in s on the recording's own clock, as in the log; ``zero`` is the start of its media on that clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from realtime_mer.app import analysis, messages
from realtime_mer.app.job import CODING, Job, State
from realtime_mer.app.keeping import CLIP_S
from realtime_mer.errors import ConfigError, SourceError
from realtime_mer.records import Event, Status
from realtime_mer.review import decisions
from realtime_mer.review.agreement import Agreement, agree
from realtime_mer.review.agreement import text as agreement_text
from realtime_mer.review.apply import apply, event_name
from realtime_mer.review.codings import MACHINE, Coding, read_coding
from realtime_mer.review.decisions import Review
from realtime_mer.review.slow_motion import slow_motion
from realtime_mer.sinks import CLIPS, EVENTS_CSV, LOG, RECORDED, REPORT, SIGNALS_CSV, STILLS, VIDEO
from realtime_mer.sinks.clips import clip_name
from realtime_mer.sinks.convert import NAMES, beside, convert
from realtime_mer.sinks.jsonl import Recording, read_jsonl
from realtime_mer.sinks.signals import Curve, Signals, read_signals, thinned

REPORT_FORMAT: Final = "report"  # exported by the page besides the formats of ``convert``
POINTS: Final = 6000  # of a curve on the page; thinning keeps the peaks
MADE: Final = "made"  # folder for clips and exports made for the page
BEFORE_S: Final = 0.5  # added before and after an event in its clip
LONGEST_S: Final = 4.0  # of a clip
DOWNLOADS: Final = (
    ("events, JSON Lines", LOG),
    ("events, CSV", EVENTS_CSV),
    ("signals, CSV", SIGNALS_CSV),
    ("annotated video", VIDEO),
    ("recorded video", RECORDED),
    ("HTML report", REPORT),
)


def state(job: Job, position: int | None) -> dict[str, Any]:
    """One job in the list. position: number of jobs before it."""
    left = job.left_s
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state.value,
        "error": job.error,
        "size": job.size,
        "share": job.share,
        "frames": job.frames,
        "found": job.found,
        "position": position,
        "left": None if left is None else round(left, 1),
    }


def result(job: Job, coder: str | None) -> dict[str, Any]:
    """Everything shown of a recording. coder: who is looking; a blind coder sees only their own events."""
    recording, signals = _read(job)
    head, made = recording.header, recording.summary
    reviews = {r.coder: r for r in map(decisions.read_review, decisions.reviews_beside(job.log))}
    blind = coder in reviews and reviews[coder].blind
    seen = [] if blind else [e for e in recording.events if e.final]
    notes = [] if made is None else [*made.notes, *(made.source.notes if made.source else ())]
    player = next((name for name in (VIDEO, RECORDED) if (job.folder / name).is_file()), None)
    if player is None and job.media is not None:
        player = job.media.name
    return {
        "id": job.id,
        "name": job.name,
        "zero": head.start or 0.0 if head.source.live or player == VIDEO else 0.0,
        "start": head.start or 0.0,
        "duration": made.duration if made else _last(signals) - (head.start or 0.0),
        "clock": head.source.clock,
        "anchor": asdict(head.anchor) if head.anchor else None,
        "model": head.model,
        "private": job.options.private,
        "complete": made is not None,
        "figures": _figures(recording),
        "sensitivity": made.sensitivity.text if made and made.sensitivity else "",
        "warnings": notes if made else ["the run was cut short; this is what was logged", *notes],
        "events": [_event(job, e) for e in seen],
        "markers": [asdict(m) for m in recording.markers],
        "curves": {track: _rows(curve) for track, curve in sorted(signals.curves.items())},
        "labels": sorted({label for e in recording.events if e.prediction for label in e.prediction.probabilities}),
        "step": _step(signals, head.source.rate),
        "player": player,
        "clips": job.media is not None or (head.source.live and (job.folder / CLIPS).is_dir()),
        "downloads": [[words, name] for words, name in DOWNLOADS if (job.folder / name).is_file()],
        "formats": [
            *(name for name in NAMES if name != "openface" or (job.folder / SIGNALS_CSV).is_file()),
            REPORT_FORMAT,
        ],
        "reviews": [{"coder": r.coder, "blind": r.blind, "decided": len(r.now())} for r in reviews.values()],
        "codings": [] if blind else [path.name for path in _codings(job)],
        "review": review(reviews[coder]) if coder in reviews else None,
    }


def review(said: Review) -> dict[str, Any]:
    """The decisions of a coder, by event."""
    now = {name: {k: v for k, v in asdict(step).items() if v is not None} for name, step in said.now().items()}
    return {"coder": said.coder, "blind": said.blind, "events": now, "steps": len(said.decisions)}


def coding(job: Job, name: str) -> Coding:
    """A coding by its name on the page: "machine", a coder's name, or that of an imported file. Raises SourceError."""
    if name == MACHINE:
        return read_coding(job.log)
    for path in (*decisions.reviews_beside(job.log), *_codings(job)):
        if name in (path.name, path.stem.removeprefix(decisions.PREFIX)):
            return read_coding(path)
    raise SourceError(f"{job.name} has no coding {name!r}")


def agreement(job: Job, a: str, b: str) -> dict[str, Any]:
    """How two codings agree. Raises SourceError."""
    recording, _ = _read(job)
    duration = recording.summary.duration if recording.summary else 0.0
    found: Agreement = agree(coding(job, a), coding(job, b), duration=duration)
    return {**asdict(found), "f1": found.f1, "text": agreement_text(found)}


def export(job: Job, format: str, coder: str | None) -> Path:
    """The log in another format, with the corrections of ``coder`` if given. "report" includes the agreement of the
    coder with the machine and with everyone else who coded the recording.

    Raises MerError.
    """
    if format not in (*NAMES, REPORT_FORMAT):
        raise ConfigError(f"unknown format {format!r}: choose from {', '.join((*NAMES, REPORT_FORMAT))}")
    change: Callable[[Recording], Recording] | None = None
    plain = REPORT if format == REPORT_FORMAT else beside(job.log, format).name
    if coder:
        said = decisions.read_review(job.log.with_name(decisions.review_name(coder)))
        change = partial(apply, review=said, frames=_read(job)[1].frames)
    folder = job.folder / MADE
    folder.mkdir(mode=0o700, exist_ok=True)
    out = folder / (f"{coder}.{plain}" if coder else plain)
    with job.lock:
        if format == REPORT_FORMAT:
            _report(job, out, coder, change)
            return out
        return convert(job.log, format, out, change=change)


def _report(job: Job, out: Path, coder: str | None, change: Callable[[Recording], Recording] | None) -> None:
    others = [MACHINE, *(p.stem.removeprefix(decisions.PREFIX) for p in decisions.reviews_beside(job.log))]
    others += [path.name for path in _codings(job)]
    compared = [agreement(job, other, coder) for other in others if other != coder] if coder else []
    sections = {f"Agreement of {f['a']} and {f['b']}": f["text"] for f in compared}
    analysis.report(job, out, change=change, more=sections)


def clip(
    job: Job, event: str = "", *, start: float = 0.0, end: float = 0.0, slow: float = 8.0, magnify: float = 1.0
) -> Path:
    """A slow-motion video of an event with half a second around it, or from ``start`` to ``end``, s of the log's clock.

    slow: 1 to 32 times slower. magnify: 1 to 10 times the movement since the onset. Made once, then stored with the
    job. Raises ConfigError, SourceError.
    """
    recording, _ = _read(job)
    found = next((e for e in recording.events if e.final and event_name(e) == event), None)
    media, zero = _media(job, recording, found)
    if found is not None:
        start, end = found.movement.onset - BEFORE_S, found.movement.end + BEFORE_S
    if not (math.isfinite(start) and start < end <= start + LONGEST_S + 1e-9):
        raise ConfigError(f"a clip can be at most {LONGEST_S:g} s long")
    if not (1 <= slow <= 32 and 1 <= magnify <= 10):
        raise ConfigError("a clip can be 1 to 32 times slower, and its movement 1 to 10 times larger")
    regions = tuple(cue.region for cue in found.cues) if found else ()
    folder = job.folder / MADE
    folder.mkdir(mode=0o700, exist_ok=True)
    place = event or f"{start:.3f}-{end:.3f}"
    out = folder / f"clip-{place}-{slow:g}-{magnify:g}.mp4"
    with job.lock:
        if not out.is_file():
            reference = found.movement.onset if found else start
            slow_motion(
                media,
                out,
                start - zero,
                end - zero,
                slow=slow,
                magnify=magnify,
                still=reference - zero,
                regions=regions,
            )
    return out


def _media(job: Job, recording: Recording, event: Event | None) -> tuple[Path, float]:
    """The video to cut from, and the time on the log's clock at which it begins: the whole video, or the clip of the
    event that a live recording without video has kept. Raises SourceError."""
    if (media := job.media) is not None:
        return media, recording.header.start or 0.0 if media.name == RECORDED else 0.0
    if event is not None and recording.header.source.live:
        kept = job.folder / CLIPS / clip_name(event)
        if kept.is_file():
            return kept, event.movement.onset - CLIP_S
    raise SourceError(f"{job.name} has no video here")


def _event(job: Job, event: Event) -> dict[str, Any]:
    still = f"{STILLS}/{clip_name(event, '.jpg')}"
    return {**messages.event(event, {}), "still": still if (job.folder / still).is_file() else None}


def _codings(job: Job) -> list[Path]:
    return sorted(path for path in job.folder.glob(f"{CODING}*") if path.suffix in (".eaf", ".csv", ".tsv"))


def _figures(recording: Recording) -> list[list[str]]:
    made = recording.summary
    confirmed = sum(e.status is Status.CONFIRMED for e in recording.events)
    final = sum(e.final for e in recording.events)
    rows = [[str(confirmed), "micro-expressions"], [str(final - confirmed), "rejected movements"]]
    if made is not None:
        rows += [
            [f"{made.duration:.2f} s", f"{made.frames} frames"],
            [f"{made.fps:.1f} /s" if made.fps else "–", "frame rate"],
            [str(made.lost), "frames lost"],
            [f"{100 * made.measured_frames / made.frames:.0f} %" if made.frames else "–", "of frames measured"],
        ]
    return rows


def _step(signals: Signals, rate: float) -> float:
    """s from one frame to the next."""
    if len(signals.frames) > 1:
        return float(np.median(np.diff(np.frombuffer(signals.frames, np.float64)))) or 1 / 30
    return 1 / rate if rate > 0 else 1 / 30


def _last(signals: Signals) -> float:
    return signals.frames[-1] if signals.frames else 0.0


def _rows(curve: Curve) -> list[list[float]]:
    """At most POINTS rows of time, level and threshold."""
    rows: list[list[float]] = thinned(curve.between(-np.inf, np.inf), POINTS).round(4).tolist()
    return rows


def _read(job: Job) -> tuple[Recording, Signals]:
    """The log and the signals of a finished job, which no longer change."""
    if job.state is not State.DONE:
        raise SourceError(f"{job.name} is not analyzed yet")
    return _cached(str(job.folder), job.log.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _cached(folder: str, _: int) -> tuple[Recording, Signals]:
    log, signals = Path(folder, LOG), Path(folder, SIGNALS_CSV)
    return read_jsonl(log), read_signals(signals) if signals.is_file() else Signals()
