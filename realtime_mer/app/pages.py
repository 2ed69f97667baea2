"""The Gradio page: four tabs. Live and Recorded are drawn by scripts (static/live.js, static/recorded.js) that use
plain routes of this server; Benchmark and About are built with Gradio."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

import gradio as gr

from realtime_mer.app import about, benchmark
from realtime_mer.app.job import KINDS, RESULTS
from realtime_mer.app.jobs import OWNER_BYTES, UPLOAD_BYTES, UPLOADS
from realtime_mer.app.settings import AppSettings, models

TITLE: Final = "realtime-mer"
SYSTEM_FONT: Final = ("ui-sans-serif", "system-ui", "sans-serif")
SYSTEM_MONO: Final = ("ui-monospace", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Grays with one blue (Okabe & Ito's) and the system's fonts: nothing is loaded from elsewhere."""
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


def build_page(settings: AppSettings, benches: benchmark.Benches) -> gr.Blocks:
    """The page for one server. Raises ModelError or DeviceError when the models cannot be listed."""
    with gr.Blocks(title=TITLE, fill_width=True) as page:
        gr.HTML(
            f"<div class='mer-title'><h1>{TITLE}</h1>"
            "<span>micro-expressions: when they begin, peak and end, and which part of the face moved</span></div>"
        )
        with gr.Tab("Live", id="live"):
            gr.HTML(f"<mer-live data-settings='{escape(json.dumps(_live_settings(settings)))}'></mer-live>")
        with gr.Tab("Recorded", id="recorded"):
            gr.HTML(f"<mer-recorded data-settings='{escape(json.dumps(_recorded_settings(settings)))}'></mer-recorded>")
        with gr.Tab("Benchmark", id="benchmark"):
            benchmark.tab(settings, benches)
        with gr.Tab("About", id="about"):
            gr.Markdown(about.text(settings.config.classify.model), elem_classes="mer-about")
        page.unload(_on_unload(benches))
    page.queue(max_size=32, default_concurrency_limit=2, api_open=False)
    return page


def _live_settings(settings: AppSettings) -> dict[str, Any]:
    chosen = settings.config.classify.model
    names = models()
    return {
        "root": settings.root_path,
        "capture": settings.may_capture,
        "local": settings.loopback,
        "models": names if chosen in names else [chosen, *names],
        "model": chosen,
        "enter": settings.config.spot.onset_noise,
    }


def _recorded_settings(settings: AppSettings) -> dict[str, Any]:
    return {
        "root": settings.root_path,
        "kinds": [*KINDS, *RESULTS],
        "uploads": UPLOADS,
        "bytes": UPLOAD_BYTES,
        "room": OWNER_BYTES,
        "enter": settings.config.spot.onset_noise,
    }


def _on_unload(benches: benchmark.Benches) -> Any:
    def leave(request: gr.Request) -> None:
        benches.leave(str(request.session_hash))

    return leave
