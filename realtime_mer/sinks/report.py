"""A self-contained HTML report of one recording: timeline, events, rejected movements, facts, limits.

Made from the log, signals.csv and the stills, so it can be made again at any time. The layout is in
templates/report.html.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.records import Cue, Event, Image, Kind, Status
from realtime_mer.sinks import STILLS
from realtime_mer.sinks.clips import read_stills, to_jpeg
from realtime_mer.sinks.jsonl import Recording, read_jsonl
from realtime_mer.sinks.lines import write_whole
from realtime_mer.sinks.page import render
from realtime_mer.sinks.signals import Signals, read_signals, thinned
from realtime_mer.sinks.text import label_words
from realtime_mer.sources.delivery import PARTLY

COLUMNS: Final = 1600  # points of the overview's curve: about one per pixel of a wide screen
MARGIN: Final = 0.35  # s before the onset and after the offset in an event's own curve
GAP: Final = 1.8  # ratio to the median interval from which an interval is a gap
HEIGHT, WIDTH = 200, 1000  # of the timeline, in its own units
CLOSE_HEIGHT, CLOSE_WIDTH = 90, 300  # of the curve of one event
_FACES: Final = ("var(--sky)", "var(--orange)", "var(--purple)", "var(--green)")

LIMITS: Final = (
    "A micro-expression is a short facial movement. It proves no feeling, no lie and no stress.",
    "A label is a classifier's opinion on one movement. Its probability says how often such opinions were right on the "
    "data named in the model card. “Abstained” means that the classifier gave no label.",
    "Action units are candidates that match the direction of a region's movement, not a FACS coding by a person.",
    "Movements that are too weak, hidden, outside the frame, or made during head motion are missed. Low frame rates, "
    "lost frames and compression add to that: see the section on the recording.",
    "In the EU, inferring emotions of people at work or in education is prohibited (AI Act, Art. 5(1)(f)), and people "
    "who are exposed to such a system must be told (Art. 50(3)).",
)


def write_report(
    events_jsonl: Path,
    signals_csv: Path | None,
    out: Path,
    thumbnails: Mapping[tuple[int, int], Image | bytes] | None = None,
    *,
    change: Callable[[Recording], Recording] | None = None,
    more: Mapping[str, str] | None = None,
) -> None:
    """Writes the report.

    thumbnails: (track, movement id) -> image, or the content of a JPEG file; they show faces. By default the stills in
    the folder "stills" beside the log are used, if there are any; pass {} for none. change: applied to the recording
    before it is shown, such as a coder's corrections. more: further sections, title -> text, shown verbatim.

    Raises SourceError when an input cannot be read, OutputError when the report cannot be written.
    """
    recording = read_jsonl(events_jsonl)
    if change is not None:
        recording = change(recording)
    signals = read_signals(signals_csv) if signals_csv else Signals()
    final = [e for e in recording.events if e.final]
    if thumbnails is None:
        thumbnails = read_stills(events_jsonl.with_name(STILLS), final)
    micro = [e for e in final if e.status is Status.CONFIRMED]
    rejected = [e for e in final if e.status is Status.REJECTED]
    summary, source = recording.summary, recording.header.source
    # a live run ends with a signal or its time limit; a recorded video has its own end
    complete = summary is not None and (source.live or not summary.stopped)
    page = render(
        "report.html",
        name=Path(source.uri).name or source.uri,
        header=recording.header,
        interrupted=not complete,
        cards_of_events=_cards(recording, micro, rejected),
        delivery=summary.delivery if summary else None,
        sensitivity=summary.sensitivity if summary else None,
        partly=PARTLY,
        timeline=_timeline(signals, final),
        micro=[_shown(event, signals, thumbnails.get(event.key)) for event in micro],
        rejected=[_rejected(event) for event in rejected],
        kinds=_counted(Counter(event.movement.kind.value for event in rejected)),
        markers=[(f"{recording.header.media_time(m.time):.3f}", m.key, m.text) for m in recording.markers],
        more=more or {},
        facts=_facts(recording, signals),
        limits=LIMITS,
    )
    write_whole(out, page)


def _cards(recording: Recording, micro: list[Event], rejected: list[Event]) -> list[tuple[object, str, str]]:
    """For each card: figure, description and note."""
    summary = recording.summary
    cards: list[tuple[object, str, str]] = [
        (len(micro), "micro-expressions", _counted(Counter(label_words(event) for event in micro))),
        (len(rejected), "rejected movements", ""),
    ]
    if summary is not None:
        cards.insert(0, (f"{summary.duration:.2f} s", "duration", f"{summary.frames} frames"))
        cards.append((summary.lost, "lost frames", ""))
    return cards


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _facts(recording: Recording, signals: Signals) -> list[tuple[str, str]]:
    source, summary = recording.header.source, recording.summary
    rows: list[tuple[str, str]] = [
        ("source", f"{source.uri} ({source.kind})"),
        ("frame", f"{source.size[0]} x {source.size[1]} px"),
        ("nominal frame rate", f"{source.rate:g} frames/s" if source.rate else "unknown"),
        ("clock", source.clock),
    ]
    if len(signals.frames) > 2:
        steps = np.diff(np.frombuffer(signals.frames, np.float64))
        middle = float(np.median(steps))
        gaps = int(np.count_nonzero(steps > GAP * middle))
        rows += [
            ("measured frame rate", f"{1 / max(middle, 1e-9):.1f} frames/s (median interval {1000 * middle:.2f} ms)"),
            ("longest interval", f"{1000 * float(steps.max()):.1f} ms; {gaps} longer than {GAP:g} x the median"),
        ]
    if summary is not None:
        rows += [
            ("frames with a face", _share(summary.face_frames, summary.frames)),
            ("frames measured", _share(summary.measured_frames, summary.frames)),
            ("faces", str(summary.tracks)),
            ("frames known lost", str(summary.lost)),
        ]
        if summary.fps is not None:
            rows.append(("rate of new frames", f"{summary.fps:.1f} frames/s"))
            rows.append(("repeated frames", _share(summary.repeated, summary.frames)))
        if summary.source is not None:
            stats = summary.source
            missed = "missed frames not judged" if stats.missed is None else f"{stats.missed} missed"
            text = (
                f"{stats.captured} captured, {stats.delivered} delivered, {stats.dropped} dropped, "
                f"{stats.skipped} skipped, {missed}, {stats.reconnects} reconnects"
            )
            rows.append(("the source's counts", text))
            rows += [("skipped", f"{number} {reason}") for reason, number in stats.reasons.items()]
            rows += [("warning", note) for note in stats.notes]
        rows += [("warning", f"{note} ({_share(count, summary.frames)})") for note, count in summary.notes.items()]
    rows.append(("settings", f"SHA-256 {recording.header.settings_hash}..."))
    return rows


def _timeline(signals: Signals, events: list[Event]) -> dict[str, Any] | None:
    """The whole recording as one drawing, which the page's script can zoom; None when there is nothing to draw."""
    times = (
        [t for e in events for t in (e.movement.onset, e.movement.end)]
        + list(signals.frames[:1])
        + list(signals.frames[-1:])
    )
    if not times:
        return None
    start, end = min(times), max(max(times), min(times) + 1e-3)
    scale = WIDTH / (end - start)
    curves = {track: thinned(curve.between(start, end + 1), COLUMNS) for track, curve in sorted(signals.curves.items())}
    top = 1.1 * max((float(c[:, 1:].max()) for c in curves.values() if len(c)), default=1.0)
    bands = []
    for event in events:
        movement = event.movement
        confirmed = movement.status is Status.CONFIRMED
        what = label_words(event) if confirmed else f"{movement.kind}: {movement.reason}"
        bands.append(
            {
                "style": "micro" if confirmed else "rejected",
                "tip": f"{movement.onset:.3f} s, face {event.track}: {what}",
                "x": f"{(movement.onset - start) * scale:.3f}",
                "width": f"{max((movement.end - movement.onset) * scale, 0.6):.3f}",
                "apex": f"{(movement.apex - start) * scale:.3f}",
            }
        )
    return {
        "start": start,
        "end": end,
        "width": WIDTH,
        "height": HEIGHT,
        "faces": [(track, _color(track)) for track in sorted(signals.curves)],
        "bands": bands,
        "lines": [line for track, c in curves.items() for line in _lines(track, c, start, scale, HEIGHT, top)],
    }


def _lines(
    track: int, points: NDArray[np.float64], start: float, scale: float, height: float, top: float
) -> list[dict[str, str]]:
    """Threshold and activity of one face as polylines."""
    if not len(points):
        return []
    x = (points[:, 0] - start) * scale
    lines = []
    for column, style in ((2, "threshold"), (1, "level")):
        y = height * (1 - points[:, column] / top)
        path = " ".join(f"{a:.2f},{b:.1f}" for a, b in zip(x, y, strict=True))
        lines.append({"style": style, "color": _color(track), "points": path})
    return lines


def _color(track: int) -> str:
    return _FACES[(track - 1) % len(_FACES)]


def _shown(event: Event, signals: Signals, picture: Image | bytes | None) -> dict[str, Any]:
    """A micro-expression, with its drawings for the page."""
    probabilities = event.prediction.probabilities if event.prediction is not None else {}
    return {
        "event": event,
        "label": label_words(event),
        # not for an event that a coder added
        "measured": bool(np.isfinite([event.movement.strength, event.fps, event.gap]).all()),
        "probabilities": sorted(probabilities.items(), key=lambda item: -item[1]),
        "cues": [_cue(cue) for cue in event.cues],
        "curve": _close_up(event, signals),
        "picture": None if picture is None else _data_uri(picture),
    }


def _close_up(event: Event, signals: Signals) -> dict[str, Any] | None:
    """The activity around one event; None when none was measured."""
    curve = signals.curves.get(event.track)
    movement = event.movement
    start, end = movement.onset - MARGIN, movement.end + MARGIN
    points = thinned(curve.between(start, end), 2 * CLOSE_WIDTH) if curve is not None else np.empty((0, 3))
    if len(points) < 2:
        return None
    scale = CLOSE_WIDTH / (end - start)
    moments = (("onset", movement.onset), ("apex", movement.apex), ("offset", movement.offset))
    return {
        "width": CLOSE_WIDTH,
        "height": CLOSE_HEIGHT,
        "marks": [(name, f"{(t - start) * scale:.2f}") for name, t in moments if t is not None],
        "lines": _lines(event.track, points, start, scale, CLOSE_HEIGHT, 1.1 * float(points[:, 1:].max())),
    }


def _rejected(event: Event) -> tuple[str, str, int, Kind, str]:
    movement = event.movement
    duration = "" if movement.duration is None else f"{1000 * movement.duration:.0f}"
    return f"{movement.onset:.3f}", duration, event.track, movement.kind, movement.reason


def _cue(cue: Cue) -> str:
    length = np.hypot(cue.dx, cue.dy)
    return f"{cue.region} {_arrow(cue.dx, cue.dy)} {length:.1f} % {'/'.join(cue.action_units)}"


def _arrow(dx: float, dy: float) -> str:
    """The nearest of eight arrows; dy points down in the frame."""
    if not np.isfinite([dx, dy]).all():  # null in the log
        return ""
    return "→↘↓↙←↖↑↗"[round(np.degrees(np.arctan2(dy, dx)) / 45) % 8]


def _share(count: int, whole: int) -> str:
    return f"{count} ({100 * count / whole:.1f} %)" if whole else str(count)


def _data_uri(image: Image | bytes) -> str:
    encoded = image if isinstance(image, bytes) else to_jpeg(image)
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()
