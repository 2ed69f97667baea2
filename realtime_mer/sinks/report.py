"""A self-contained HTML report of one recording: facts, timeline, events, rejected movements, limits. Loads nothing.

It is made from the log, signals.csv and the stills, so that it can be made again later.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.records import Event, Image, Status
from realtime_mer.sinks import STILLS
from realtime_mer.sinks.clips import read_stills, to_jpeg
from realtime_mer.sinks.jsonl import Recording, read_jsonl
from realtime_mer.sinks.lines import write_whole
from realtime_mer.sinks.signals import Signals, read_signals, thinned
from realtime_mer.sources.delivery import PARTLY

COLUMNS: Final = 1600  # points of the overview's curve: about one a pixel of a wide screen
MARGIN: Final = 0.35  # s shown before the onset and after the offset in an event's own curve
GAP: Final = 1.8  # an interval this many times the median one is a gap
_FACES: Final = ("var(--sky)", "var(--orange)", "var(--purple)", "var(--green)")

LIMITS: Final = (
    "A micro-expression is a short facial movement. It is no proof of a feeling, and none of a lie or of stress.",
    "Labels are a classifier's opinion on one movement; the probability says how often such an opinion was right on "
    "the data named in the model card. “Abstained” means that it abstained.",
    "Action units are candidates that fit the direction of a region's movement, not a FACS coding by a person.",
    "Movements that are too weak, outside the picture, hidden, or made during head motion are missed. "
    "Low frame rates, lost frames and compression make it worse: see the recording's facts.",
    "Inferring emotions of people at work or in education is banned in the EU (AI Act, Art. 5(1)(f)), and people who "
    "are exposed to such a system must be told so (Art. 50(3)).",
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

    thumbnails: (track, movement id) -> picture, or the content of a JPEG file; they show faces. By default those that
    ``Stills`` left in the folder "stills" beside the log are used, if there are any; give {} for none.
    change: made of the recording before it is shown, such as the corrections of a coder. more: title -> HTML of further
    sections.

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
    body = [
        _title(recording, micro, rejected),
        section("Timeline", _timeline(signals, final)),
        section("Micro-expressions", _events(micro, signals, thumbnails)),
        section("Rejected movements", _rejected(rejected)),
        *([section("Markers", _markers(recording))] if recording.markers else []),
        *(section(title, html) for title, html in (more or {}).items()),
        section("Recording", _facts(recording, signals)),
        section("What this cannot tell", "<ul>" + "".join(f"<li>{escape(t)}</li>" for t in LIMITS) + "</ul>"),
    ]
    write_whole(out, page(f"{Path(recording.header.source.uri).name} - micro-expressions", body))


def page(title: str, sections: Iterable[str]) -> str:
    """A whole page of the given HTML, which loads nothing."""
    template = files("realtime_mer.sinks").joinpath("templates/report.html").read_text(encoding="utf-8")
    return template.replace("{{title}}", escape(title)).replace("{{body}}", "\n".join(sections))


def section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _title(recording: Recording, micro: list[Event], rejected: list[Event]) -> str:
    head = recording.header
    labels = Counter(_label(e) for e in micro)
    named = ", ".join(f"{count} {label}" for label, count in labels.most_common())
    cards: list[tuple[str, object, str]] = [
        ("micro-expressions", len(micro), named),
        ("rejected movements", len(rejected), ""),
    ]
    if recording.summary is not None:
        summary = recording.summary
        cards.insert(0, ("duration", f"{summary.duration:.2f} s", f"{summary.frames} frames"))
        cards.append(("lost frames", summary.lost, ""))
    boxes = "".join(
        f"<div class='card'><b>{escape(str(value))}</b><span>{escape(name)}</span><small>{escape(more)}</small></div>"
        for name, value, more in cards
    )
    # a live run is ended by a signal or by its time limit; a recording has an end of its own
    whole = recording.summary is not None and (head.source.live or not recording.summary.stopped)
    cut = "" if whole else "<p class='warn'>The run was interrupted: this report holds what was logged.</p>"
    return (
        f"<header><h1>{escape(Path(head.source.uri).name or head.source.uri)}</h1>"
        f"<p>realtime-mer {escape(head.product)} &middot; {escape(head.created)} &middot; "
        f"recognizer: {escape(head.model or 'none')} {escape(head.provider)}</p></header>"
        f"{cut}<div class='cards'>{boxes}</div>{_delivery(recording)}{_sensitivity(recording)}"
    )


def _sensitivity(recording: Recording) -> str:
    """One line on the smallest movement that the recording can show, and its reasons."""
    can = recording.summary.sensitivity if recording.summary is not None else None
    if can is None:
        return ""
    style = " class='warn'" if can.shift_px is None else ""
    return f"<p id='sensitivity'{style}>{escape(can.text[0].upper() + can.text[1:])}.</p>"


def _delivery(recording: Recording) -> str:
    """What the source delivered, as in its certificate."""
    seen = recording.summary.delivery if recording.summary is not None else None
    if seen is None:
        return ""
    style = " class='warn'" if seen.resolved < PARTLY else ""
    return f"<p id='delivery'{style}>{escape(seen.line)}.</p>"


def _facts(recording: Recording, signals: Signals) -> str:
    source, summary = recording.header.source, recording.summary
    rows: list[tuple[str, str]] = [
        ("source", f"{source.uri} ({source.kind})"),
        ("picture", f"{source.size[0]} x {source.size[1]} px"),
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
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table class='facts'>{cells}</table>"


def _timeline(signals: Signals, events: list[Event]) -> str:
    """The whole recording as one SVG; the page's script zooms it by changing the view box."""
    times = (
        [t for e in events for t in (e.movement.onset, e.movement.end)]
        + list(signals.frames[:1])
        + list(signals.frames[-1:])
    )
    if not times:
        return "<p>Nothing was recorded.</p>"
    start, end = min(times), max(max(times), min(times) + 1e-3)
    height, width = 200.0, 1000.0
    scale = width / (end - start)
    curves = {track: thinned(curve.between(start, end + 1), COLUMNS) for track, curve in sorted(signals.curves.items())}
    top = 1.1 * max((float(c[:, 1:].max()) for c in curves.values() if len(c)), default=1.0)
    bands = []
    for number, event in enumerate(events):
        movement = event.movement
        x, wide = (movement.onset - start) * scale, max((movement.end - movement.onset) * scale, 0.6)
        name = _label(event) if movement.status is Status.CONFIRMED else f"{movement.kind}: {movement.reason}"
        tip = escape(f"{movement.onset:.3f} s, face {event.track}: {name}")
        apex = (movement.apex - start) * scale
        bands.append(
            f"<g class='{_class(event)}' data-event='{number}'><title>{tip}</title>"
            f"<rect x='{x:.3f}' width='{wide:.3f}' y='0' height='{height}'/>"
            f"<path class='mark' d='M{apex:.3f} 0V10'/></g>"
        )
    lines = "".join(_lines(track, c, start, scale, height, top) for track, c in curves.items())
    keys = "".join(
        f"<span><i style='background:{_FACES[(t - 1) % len(_FACES)]}'></i>face {t}</span>"
        for t in sorted(signals.curves)
    )
    return (
        f"<div class='legend'>{keys}<span><i class='k-micro'></i>micro-expression</span>"
        "<span><i class='k-rejected'></i>rejected</span><span><i class='k-threshold'></i>threshold</span>"
        "<span class='hint'>wheel: zoom, drag: move, double-click: all</span></div>"
        f"<svg id='timeline' viewBox='0 0 {width:g} {height:g}' preserveAspectRatio='none' role='img' "
        f"aria-label='Activity of each face over time, with events' data-start='{start:.6f}' data-end='{end:.6f}'>"
        f"{''.join(bands)}{lines}</svg><div id='axis'><span>{start:.2f} s</span><span>{end:.2f} s</span></div>"
    )


def _lines(track: int, points: NDArray[np.float64], start: float, scale: float, height: float, top: float) -> str:
    if not len(points):
        return ""
    x = (points[:, 0] - start) * scale
    paths = []
    for column, name in ((2, "threshold"), (1, "level")):
        y = height * (1 - points[:, column] / top)
        path = " ".join(f"{a:.2f},{b:.1f}" for a, b in zip(x, y, strict=True))
        paths.append(f"<polyline class='{name}' style='--c:{_FACES[(track - 1) % len(_FACES)]}' points='{path}'/>")
    return "".join(paths)


def _events(events: list[Event], signals: Signals, thumbnails: Mapping[tuple[int, int], Image | bytes]) -> str:
    if not events:
        return "<p>None was spotted.</p>"
    return "".join(_event(event, signals, thumbnails.get(event.key)) for event in events)


def _event(event: Event, signals: Signals, picture: Image | bytes | None) -> str:
    movement = event.movement
    bars = ""
    if event.prediction is not None:
        ranked = sorted(event.prediction.probabilities.items(), key=lambda item: -item[1])
        bars = "".join(
            f"<div class='bar'><span>{escape(label)}</span><meter min='0' max='1' value='{p:.4f}'></meter>"
            f"<b>{100 * p:.0f} %</b></div>"
            for label, p in ranked
        )
    cues = "".join(
        f"<li>{escape(c.region)} {_arrow(c.dx, c.dy)} {np.hypot(c.dx, c.dy):.1f} % "
        f"{escape('/'.join(c.action_units))}</li>"
        for c in event.cues
    )
    image = "" if picture is None else f"<img alt='face at onset, apex and offset' src='{_data_uri(picture)}'>"
    duration = "offset not seen" if movement.duration is None else f"{1000 * movement.duration:.0f} ms"
    lost = f", {event.lost} frames lost" if event.lost else ""
    sided = f", {event.one_sided}" if event.one_sided else ""
    coded = f"{escape(event.coded)}<br>" if event.coded else ""
    measured = f"<br>{coded}<small>{escape(event.model)}</small>"  # of an event that a coder has added
    if np.isfinite([movement.strength, event.fps, event.gap]).all():
        measured = (
            f", {movement.strength:.2f} px{sided}<br>{coded}"
            f"<small>{event.fps:.1f} frames/s, largest gap {1000 * event.gap:.1f} ms{lost}</small>"
        )
    return (
        f"<article class='event' id='event-{event.track}-{movement.id}'><div><h3>{escape(_label(event))}</h3>"
        f"<p>face {event.track}, {movement.onset:.3f} s, {duration}<br>"
        f"apex {movement.apex:.3f} s (frame {event.apex_frame}){measured}</p>"
        f"</div><div>{bars}</div><ul>{cues}</ul>{_close_up(event, signals)}{image}</article>"
    )


def _close_up(event: Event, signals: Signals) -> str:
    curve = signals.curves.get(event.track)
    movement = event.movement
    start, end = movement.onset - MARGIN, movement.end + MARGIN
    points = thinned(curve.between(start, end), 600) if curve is not None else np.empty((0, 3))
    if len(points) < 2:
        return ""
    scale, height = 300 / (end - start), 90.0
    marks = "".join(
        f"<path class='{name}' d='M{(t - start) * scale:.2f} 0V{height:g}'/>"
        for name, t in (("onset", movement.onset), ("apex", movement.apex), ("offset", movement.offset))
        if t is not None
    )
    lines = _lines(event.track, points, start, scale, height, 1.1 * float(points[:, 1:].max()))
    return f"<svg class='close' viewBox='0 0 300 {height:g}' role='img' aria-label='activity'>{marks}{lines}</svg>"


def _rejected(events: list[Event]) -> str:
    if not events:
        return "<p>None.</p>"
    counts = Counter(e.movement.kind.value for e in events)
    rows = "".join(
        f"<tr><td>{e.movement.onset:.3f}</td><td>{_milliseconds(e.movement.duration)}</td>"
        f"<td>{e.track}</td><td>{escape(e.movement.kind.value)}</td><td>{escape(e.movement.reason)}</td></tr>"
        for e in events
    )
    summary = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return (
        f"<details><summary>{escape(summary)}</summary><table><thead><tr><th>onset, s</th><th>ms</th><th>face</th>"
        f"<th>kind</th><th>reason</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _markers(recording: Recording) -> str:
    rows = "".join(
        f"<tr><td>{recording.header.media_time(m.time):.3f}</td><td>{escape(m.key)}</td><td>{escape(m.text)}</td></tr>"
        for m in recording.markers
    )
    return f"<table><thead><tr><th>s</th><th>key</th><th>note</th></tr></thead><tbody>{rows}</tbody></table>"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.0f}"


def _label(event: Event) -> str:
    return "not classified" if event.prediction is None else event.prediction.label or "abstained"


def _class(event: Event) -> str:
    return "micro" if event.status is Status.CONFIRMED else "rejected"


def _arrow(dx: float, dy: float) -> str:
    """The nearest of eight arrows; dy is down in the picture."""
    if not np.isfinite([dx, dy]).all():  # null in the log
        return ""
    return "→↘↓↙←↖↑↗"[round(np.degrees(np.arctan2(dy, dx)) / 45) % 8]


def _share(count: int, whole: int) -> str:
    return f"{count} ({100 * count / whole:.1f} %)" if whole else str(count)


def _data_uri(image: Image | bytes) -> str:
    encoded = image if isinstance(image, bytes) else to_jpeg(image)
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()
