"""The Gradio page: four tabs. What they show is made by ``recorded``, ``timeline`` and ``about``; the live tab draws
itself (static/live.js)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

import gradio as gr

from realtime_mer.app import about, benchmark, shown
from realtime_mer.app.recorded import Analysis, Progress, Sessions, analyse
from realtime_mer.app.settings import KINDS, UPLOADS, AppSettings, models, viewer_config
from realtime_mer.app.timeline import timeline
from realtime_mer.errors import MerError, SourceError

TITLE: Final = "realtime-mer"
SYSTEM_FONT: Final = ("ui-sans-serif", "system-ui", "sans-serif")
SYSTEM_MONO: Final = ("ui-monospace", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Quiet greys with one blue (Okabe & Ito's), the system's own fonts: nothing is loaded from elsewhere."""
    return gr.themes.Default(
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
            benchmark.tab(settings, sessions)
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
                go = gr.Button("Analyse", variant="primary", elem_id="mer-analyse", interactive=False)
                stop = gr.Button("Stop", elem_id="mer-halt")
        with gr.Column(scale=2, min_width=320):
            status = gr.HTML(shown.note("Choose one or several videos, then press Analyse."), elem_id="mer-status")
            which = gr.Dropdown([], label="Recording", visible=False, interactive=True)
            summary = gr.HTML(elem_id="mer-summary")
    with gr.Column(visible=False) as results:
        with gr.Row():
            with gr.Column(min_width=340):
                player = gr.HTML(elem_id="mer-player")
            with gr.Column(min_width=340):
                event = gr.Dropdown([], label="Event", interactive=True, elem_id="mer-event")
                detail = gr.HTML(elem_id="mer-detail")
        rejected = gr.Checkbox(True, label="Show rejected movements in the list and on the timeline")
        plot = gr.Plot(show_label=False, elem_id="mer-timeline")

    def chosen(paths: list[str] | None, request: gr.Request) -> Any:
        sessions.of(str(request.session_hash)).uploads.update(Path(p) for p in paths or [])
        return gr.Button(interactive=bool(paths))

    def halt(request: gr.Request) -> None:
        sessions.of(str(request.session_hash)).stop.set()

    def run(
        paths: list[str] | None, video: bool, private: bool, enter: float, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        session = sessions.of(str(request.session_hash))
        sessions.clear(session)
        session.stop.clear()
        yield {
            status: shown.note("Reading …"),
            results: gr.Column(visible=False),
            which: gr.Dropdown(visible=False),
            summary: "",
        }
        problems: list[str] = []
        paths = paths or []
        for number, path in enumerate(paths, 1):
            try:
                if number > UPLOADS:
                    raise SourceError(f"only the first {UPLOADS} videos were analysed")
                config = viewer_config({"enter": enter}, settings)
                for news in analyse(sessions, session, Path(path), config, private=private, video=video):
                    if isinstance(news, Progress):
                        yield {status: shown.progress(news, number, len(paths))}
            except MerError as error:
                problems.append(str(error))
            if session.stop.is_set():
                break
        if not session.analyses:
            yield {status: shown.note(*problems, bad=True)}
            return
        names = [(analysis.name, i) for i, analysis in enumerate(session.analyses)]
        yield {
            status: shown.note(*problems, bad=True) if problems else shown.note(f"Done: {len(names)} of {len(paths)}."),
            results: gr.Column(visible=True),
            which: gr.Dropdown(names, value=0, visible=len(names) > 1),
            **show(session.analyses[0], True),
        }

    def show(analysis: Analysis, with_rejected: bool) -> dict[Any, Any]:
        choices = shown.choices(analysis, with_rejected)
        first = choices[0][1] if choices else None
        return {
            summary: shown.summary(analysis),
            player: shown.player(analysis),
            plot: timeline(analysis.recording, analysis.signals, rejected=with_rejected),
            event: gr.Dropdown(choices, value=first),
            detail: shown.detail(analysis, first),
        }

    def _current(request: gr.Request, index: int | None) -> Analysis | None:
        analyses = sessions.of(str(request.session_hash)).analyses
        return analyses[index or 0] if (index or 0) < len(analyses) else None

    def choose(index: int | None, with_rejected: bool, request: gr.Request) -> dict[Any, Any]:
        analysis = _current(request, index)
        return show(analysis, with_rejected) if analysis else {detail: ""}

    def pick(index: int | None, key: str | None, request: gr.Request) -> str:
        analysis = _current(request, index)
        return shown.detail(analysis, key) if analysis else ""

    files.change(chosen, files, go, show_progress="hidden", api_visibility="private")
    parts = [summary, player, plot, event, detail]
    go.click(
        run,
        [files, video, private, enter],
        [status, results, which, *parts],
        concurrency_limit=2,
        show_progress="hidden",
        api_visibility="private",
    )
    stop.click(halt, None, None, show_progress="hidden", api_visibility="private", queue=False)
    which.input(choose, [which, rejected], parts, show_progress="hidden", api_visibility="private")
    rejected.input(choose, [which, rejected], parts, show_progress="hidden", api_visibility="private")
    event.input(pick, [which, event], detail, show_progress="hidden", api_visibility="private")
