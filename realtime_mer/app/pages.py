"""The Gradio page: four tabs. What they show is made by ``recorded``, ``timeline`` and ``about``; the live tab draws
itself (static/live.js)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

import gradio as gr

from realtime_mer.app import about, benchmark
from realtime_mer.app.recorded import EVENTS_CSV, LOG, REPORT, SIGNALS_CSV, VIDEO, Analysis, Progress, Sessions, analyse
from realtime_mer.app.settings import KINDS, UPLOADS, AppSettings, models, viewer_config
from realtime_mer.app.timeline import described, timeline
from realtime_mer.errors import ConfigError, MerError, SourceError
from realtime_mer.records import Status
from realtime_mer.sinks.logged import LoggedEvent

TITLE: Final = "realtime-mer"
SYSTEM_FONT: Final = ("ui-sans-serif", "system-ui", "sans-serif")
SYSTEM_MONO: Final = ("ui-monospace", "Consolas", "monospace")
ARROWS: Final = "→↘↓↙←↖↑↗"


def theme() -> gr.themes.Base:
    """Quiet greys with one blue (Okabe & Ito's), the system's own fonts: nothing is loaded from elsewhere."""
    return gr.themes.Soft(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=SYSTEM_FONT,
        font_mono=SYSTEM_MONO,
        radius_size=gr.themes.sizes.radius_md,
    ).set(
        button_primary_background_fill="#0072b2",
        button_primary_background_fill_hover="#005a8d",
        button_primary_background_fill_dark="#0072b2",
        button_primary_text_color="#ffffff",
    )


def build_page(settings: AppSettings, sessions: Sessions) -> gr.Blocks:
    """The page for one server. Raises ModelError or DeviceError when the models cannot be listed."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, 6 * 3600)) as page:
        gr.HTML(
            f"<div class='mer-title'><h1>{TITLE}</h1>"
            "<span>micro-expressions: when they begin, peak and end, and which part of the face moved</span></div>"
        )
        with gr.Tab("Live", id="live"):
            gr.HTML(f"<mer-live data-settings='{escape(json.dumps(_live_settings(settings)))}'></mer-live>")
        with gr.Tab("Recorded", id="recorded"):
            _recorded(settings, sessions)
        with gr.Tab("Benchmark", id="benchmark"):
            benchmark.tab(settings)
        with gr.Tab("About", id="about"):
            gr.Markdown(about.text(settings.config.classify.model), elem_classes="mer-about")
        page.unload(_leaver(sessions))
    page.queue(max_size=32, default_concurrency_limit=2, api_open=False)
    return page


def _live_settings(settings: AppSettings) -> dict[str, Any]:
    chosen = settings.config.classify.model
    names = models()
    return {
        "path": "/live",
        "capture": settings.may_capture,
        "local": settings.loopback,
        "models": names if chosen in names else [chosen, *names],
        "model": chosen,
        "enter": settings.config.spot.enter,
    }


def _leaver(sessions: Sessions) -> Any:
    def leave(request: gr.Request) -> None:
        sessions.leave(str(request.session_hash))

    return leave


# --- recorded ---------------------------------------------------------------------------------------------------------


def _recorded(settings: AppSettings, sessions: Sessions) -> None:
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            files = gr.File(
                label=f"Videos (at most {UPLOADS})",
                file_count="multiple",
                file_types=list(KINDS),
                type="filepath",
                height=150,
                elem_id="mer-upload",
            )
            video = gr.Checkbox(True, label="Make the annotated video (takes longer)")
            private = gr.Checkbox(False, label="Privacy mode: no pictures, no videos, only events")
            enter = gr.Slider(
                3, 20, settings.config.spot.enter, step=0.5, label="Sensitivity: reacts at so many times resting noise"
            )
            with gr.Row():
                go = gr.Button("Analyse", variant="primary", elem_id="mer-analyse")
                stop = gr.Button("Stop", elem_id="mer-halt")
        with gr.Column(scale=2, min_width=320):
            status = gr.HTML(_note("Choose one or several videos, then press Analyse."), elem_id="mer-status")
            which = gr.Dropdown([], label="Recording", visible=False, interactive=True)
            summary = gr.HTML(elem_id="mer-summary")
    with gr.Column(visible=False) as results:
        player = gr.HTML(elem_id="mer-player")
        rejected = gr.Checkbox(True, label="Show rejected movements")
        plot = gr.Plot(label="Timeline: drag to zoom, double-click for all", elem_id="mer-timeline")
        event = gr.Dropdown([], label="Event", interactive=True, elem_id="mer-event")
        detail = gr.HTML(elem_id="mer-detail")

    def uploaded(paths: list[str] | None, request: gr.Request) -> None:
        sessions.of(str(request.session_hash)).uploads.update(Path(p) for p in paths or [])

    def run(
        paths: list[str] | None, video: bool, private: bool, enter: float, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        session = sessions.of(str(request.session_hash))
        if not paths:
            yield {status: _note("Choose a video first.", bad=True)}
            return
        sessions.clear(session)
        yield {results: gr.Column(visible=False), which: gr.Dropdown(visible=False), summary: ""}
        problems: list[str] = []
        for number, path in enumerate(paths, 1):
            try:
                if number > UPLOADS:
                    raise SourceError(f"only the first {UPLOADS} videos were analysed")
                config = viewer_config({"enter": enter}, settings)
                for news in analyse(sessions, session, Path(path), config, private=private, video=video):
                    if isinstance(news, Progress):
                        yield {status: _progress(news, number, len(paths))}
            except MerError as error:
                problems.append(str(error))
        if not session.analyses:
            yield {status: _note(*problems, bad=True)}
            return
        names = [(analysis.name, i) for i, analysis in enumerate(session.analyses)]
        yield {
            status: _note(*problems, bad=True) if problems else _note(f"Done: {len(names)} of {len(paths)}."),
            results: gr.Column(visible=True),
            which: gr.Dropdown(names, value=0, visible=len(names) > 1),
            **show(session.analyses[0], True),
        }

    def show(analysis: Analysis, with_rejected: bool) -> dict[Any, Any]:
        choices = _choices(analysis, with_rejected)
        first = choices[0][1] if choices else None
        return {
            summary: _summary(analysis),
            player: _player(analysis),
            plot: timeline(analysis.recording, analysis.signals, rejected=with_rejected),
            event: gr.Dropdown(choices, value=first),
            detail: _detail(analysis, first),
        }

    def _current(request: gr.Request, index: int | None) -> Analysis | None:
        analyses = sessions.of(str(request.session_hash)).analyses
        return analyses[index or 0] if (index or 0) < len(analyses) else None

    def choose(index: int | None, with_rejected: bool, request: gr.Request) -> dict[Any, Any]:
        analysis = _current(request, index)
        return show(analysis, with_rejected) if analysis else {detail: ""}

    def pick(index: int | None, key: str | None, request: gr.Request) -> str:
        analysis = _current(request, index)
        return _detail(analysis, key) if analysis else ""

    files.upload(uploaded, files, None, show_progress="hidden")
    shown = [summary, player, plot, event, detail]
    running = go.click(
        run,
        [files, video, private, enter],
        [status, results, which, *shown],
        concurrency_limit=2,
        show_progress="hidden",
    )
    stop.click(lambda: _note("Stopped."), None, status, cancels=running, show_progress="hidden")
    which.input(choose, [which, rejected], shown, show_progress="hidden")
    rejected.input(choose, [which, rejected], shown, show_progress="hidden")
    event.input(pick, [which, event], detail, show_progress="hidden")


def _note(*lines: str, bad: bool = False) -> str:
    text = "".join(f"<p class='{'mer-bad' if bad else ''}'>{escape(line)}</p>" for line in lines)
    return f"<div class='mer-status' role='status'>{text}</div>"


def _progress(news: Progress, number: int, total: int) -> str:
    value = "" if news.share is None else f"value='{news.share:.3f}'"
    which = f"{number} of {total}: " if total > 1 else ""
    return (
        f"<div class='mer-status' role='status'><p>{which}{escape(news.name)}: {news.frames} frames, "
        f"{news.found} micro-expressions so far</p><progress max='1' {value}></progress></div>"
    )


def _summary(analysis: Analysis) -> str:
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
    warnings = [*made.notes, *(made.source.notes if made.source else ())]
    links = [("events, JSON Lines", LOG), ("events, CSV", EVENTS_CSV), ("signals, CSV", SIGNALS_CSV)]
    links += [("annotated video", VIDEO), ("HTML report", REPORT)]
    anchors = "".join(
        f"<a href='{url}' download='{escape(Path(analysis.name).stem)}.{file}'>{escape(words)}</a>"
        for words, file in links
        if (url := analysis.url(file))
    )
    return (
        f"<div class='mer-summary'>{cells}</div>{_note(*warnings, bad=True) if warnings else ''}"
        f"<div class='mer-links' aria-label='downloads'>{anchors}</div>"
    )


def _player(analysis: Analysis) -> str:
    url = analysis.url(VIDEO)
    return f"<video class='mer-video' src='{url}' controls preload='metadata'></video>" if url else ""


def _choices(analysis: Analysis, with_rejected: bool) -> list[tuple[str, str]]:
    shown = []
    for logged in analysis.recording.events:
        event = logged.event
        if logged.final and (with_rejected or event.span.status is Status.CONFIRMED):
            words = f"{event.span.onset:.2f} s, face {event.track}: {described(event)}"
            shown.append((event.span.status is Status.REJECTED, words, _key(logged)))
    return [(words, key) for _, words, key in sorted(shown, key=lambda entry: entry[0])]


def _key(logged: LoggedEvent) -> str:
    return f"{logged.event.track}-{logged.event.span.id}"


def _detail(analysis: Analysis, key: str | None) -> str:
    logged = next((e for e in analysis.recording.events if e.final and _key(e) == key), None)
    if logged is None:
        return "<p>No movement was reported.</p>"
    event, span = logged.event, logged.event.span
    pictures = analysis.pictures.get(event.key, {})
    figures = "".join(
        f"<figure><img src='{uri}' alt='the face: {name}'><figcaption>{_caption(name, logged)}</figcaption></figure>"
        for name, uri in pictures.items()
    )
    bars = ""
    if event.prediction is not None:
        ranked = sorted(event.prediction.probabilities.items(), key=lambda item: -item[1])
        bars = "".join(
            f"<span>{escape(label)}</span><meter min='0' max='1' value='{share:.4f}'></meter>"
            f"<b>{100 * share:.0f} %</b>"
            for label, share in ranked
        )
    cues = "".join(
        f"<li>{escape(cue.region)} {ARROWS[round(math.degrees(math.atan2(cue.dy, cue.dx)) / 45) % 8]}"
        + (f" ({escape('/'.join(cue.action_units))})" if cue.action_units else "")
        + "</li>"
        for cue in event.cues
    )
    duration = "offset not seen" if span.duration is None else f"{1000 * span.duration:.0f} ms"
    facts = (
        f"onset {span.onset:.3f} s, apex {span.apex:.3f} s, {duration}, {span.strength:.2f} px; "
        f"{event.fps:.1f} frames/s, largest gap {1000 * event.gap:.1f} ms, {event.lost} frames lost"
    )
    clip = analysis.url(f"event-{key}.mp4")
    moving = (
        f"<video class='mer-video' src='{clip}' controls loop muted autoplay aria-label='the event, slowed down'></video>"
        if clip
        else ""
    )
    kind = "mer-confirmed" if span.status is Status.CONFIRMED else "mer-rejected"
    reason = f"<p class='mer-reason'>{escape(span.reason)}</p>" if span.reason else ""
    return (
        f"<article class='mer-card {kind} mer-detail'><header><h4>{escape(described(event))}</h4>"
        f"<span class='mer-when'>face {event.track}</span></header>{reason}<small>{escape(facts)}</small>"
        f"<div class='mer-strip'>{figures}</div><div class='mer-bars'>{bars}</div>"
        f"<ul class='mer-cues'>{cues}</ul>{moving}</article>"
    )


def _caption(name: str, logged: LoggedEvent) -> str:
    span = logged.event.span
    time = {"onset": span.onset, "apex": span.apex, "offset": span.offset}.get(name)
    return "motion at the apex" if time is None else f"{name} {time:.3f} s"


__all__ = ["ConfigError", "build_page", "theme"]
