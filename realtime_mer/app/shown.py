"""An analysed recording as HTML: its figures, its downloads, one of its events. The page puts these together."""

from __future__ import annotations

import math
from html import escape
from typing import Final

from realtime_mer.app.recorded import SLOW, Analysis, Progress
from realtime_mer.app.timeline import described
from realtime_mer.records import Event, Status
from realtime_mer.sinks import EVENTS_CSV, LOG, REPORT, SIGNALS_CSV, VIDEO
from realtime_mer.sinks.clips import clip_name

ARROWS: Final = "→↘↓↙←↖↑↗"


def note(*lines: str, bad: bool = False) -> str:
    """Lines for a status field; what is told is escaped."""
    text = "".join(f"<p class='{'mer-bad' if bad else ''}'>{escape(line)}</p>" for line in lines)
    return f"<div class='mer-status' role='status'>{text}</div>"


def progress(news: Progress, number: int, total: int) -> str:
    value = "" if news.share is None else f"value='{news.share:.3f}'"
    which = f"{number} of {total}: " if total > 1 else ""
    return (
        f"<div class='mer-status' role='status'><p>{which}{escape(news.name)}: {news.frames} frames, "
        f"{news.found} micro-expressions so far</p><progress max='1' {value}></progress></div>"
    )


def summary(analysis: Analysis) -> str:
    made = analysis.recording.summary
    if made is None:
        return ""
    boxes = [
        (str(made.events.get("confirmed", 0)), "micro-expressions"),
        (str(sum(made.events.values()) - made.events.get("confirmed", 0)), "rejected movements"),
        (f"{made.duration:.2f} s", f"{made.frames} frames"),
        (f"{made.frames / made.duration:.1f} /s" if made.duration else "-", "frame rate"),
        (str(made.lost), "frames lost"),
        (f"{100 * made.measured_frames / made.frames:.0f} %" if made.frames else "-", "of frames measured"),
    ]
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in boxes)
    can = note(made.sensitivity.text) if made.sensitivity is not None else ""
    warnings = [*made.notes, *(made.source.notes if made.source else ())]
    links = [("events, JSON Lines", LOG), ("events, CSV", EVENTS_CSV), ("signals, CSV", SIGNALS_CSV)]
    links += [("annotated video", VIDEO), ("HTML report", REPORT)]
    anchors = "".join(
        f"<a href='{url}' download>{escape(words)}</a>" for words, file in links if (url := analysis.url(file))
    )
    return (
        f"<div class='mer-summary'>{cells}</div>{can}{note(*warnings, bad=True) if warnings else ''}"
        f"<div class='mer-links' aria-label='downloads'>{anchors}</div>"
    )


def player(analysis: Analysis) -> str:
    url = analysis.url(VIDEO)
    if url:
        return f"<video class='mer-video' src='{url}' controls preload='auto' aria-label='annotated video'></video>"
    return "<p class='mer-empty'>No annotated video was asked for.</p>"


def choices(analysis: Analysis, with_rejected: bool) -> list[tuple[str, str]]:
    shown = []
    for event in analysis.recording.events:
        if event.final and (with_rejected or event.status is Status.CONFIRMED):
            words = f"{event.movement.onset:.2f} s, face {event.track}: {described(event)}"
            shown.append((event.status is Status.REJECTED, words, _key(event)))
    return [(words, key) for _, words, key in sorted(shown, key=lambda entry: entry[0])]


def _key(event: Event) -> str:
    return f"{event.track}-{event.movement.id}"


def detail(analysis: Analysis, key: str | None) -> str:
    event = next((e for e in analysis.recording.events if e.final and _key(e) == key), None)
    if event is None:
        return "<p>No movement was reported.</p>"
    movement = event.movement
    pictures = analysis.pictures.get(event.key, {})
    figures = "".join(
        f"<figure><img src='{uri}' alt='the face: {name}'><figcaption>{_caption(name, event)}</figcaption></figure>"
        for name, uri in pictures.items()
    )
    bars = ""
    if event.prediction is not None:
        ranked = sorted(event.prediction.probabilities.items(), key=lambda item: -item[1])
        bars = "".join(
            f"<span>{escape(label)}</span><meter min='0' max='1' value='{share:.4f}'></meter><b>{100 * share:.0f} %</b>"
            for label, share in ranked
        )
    cues = "".join(
        f"<li>{escape(cue.region)} {ARROWS[round(math.degrees(math.atan2(cue.dy, cue.dx)) / 45) % 8]}"
        + (f" ({escape('/'.join(cue.action_units))})" if cue.action_units else "")
        + "</li>"
        for cue in event.cues
    )
    duration = "offset not seen" if movement.duration is None else f"{1000 * movement.duration:.0f} ms"
    sided = f", {event.one_sided}" if event.one_sided else ""
    facts = (
        f"onset {movement.onset:.3f} s, apex {movement.apex:.3f} s, {duration}, {movement.strength:.2f} px{sided}; "
        f"{event.fps:.1f} frames/s, largest gap {1000 * event.gap:.1f} ms, {event.lost} frames lost"
    )
    coded = f"<p class='mer-coded'>{escape(event.coded)}</p>" if event.coded else ""
    clip = analysis.url(clip_name(event))
    moving = (
        f"<video class='mer-video' src='{clip}' controls loop muted autoplay "
        f"aria-label='the event, {SLOW:g} times slower'></video>"
        if clip
        else ""
    )
    kind = "mer-confirmed" if movement.status is Status.CONFIRMED else "mer-rejected"
    reason = f"<p class='mer-reason'>{escape(movement.reason)}</p>" if movement.reason else ""
    return (
        f"<article class='mer-card {kind} mer-detail'><header><h4>{escape(described(event))}</h4>"
        f"<span class='mer-when'>face {event.track}</span></header>{reason}{coded}<small>{escape(facts)}</small>"
        f"<div class='mer-strip'>{figures}</div><div class='mer-bars'>{bars}</div>"
        f"<ul class='mer-cues'>{cues}</ul>{moving}</article>"
    )


def _caption(name: str, event: Event) -> str:
    movement = event.movement
    time = {"onset": movement.onset, "apex": movement.apex, "offset": movement.offset}.get(name)
    return "motion at the apex" if time is None else f"{name} {time:.3f} s"
