"""The Benchmark tab: runs the latency benchmark on this machine. What is measured, and how, is in ``bench``."""

from __future__ import annotations

import gradio as gr

from realtime_mer.app.settings import AppSettings


def tab(settings: AppSettings) -> None:  # noqa: ARG001
    """Adds the tab's parts to the page that is being built."""
    gr.Markdown("Benchmark")
