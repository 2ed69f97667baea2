"""The Benchmark tab: runs the latency benchmark on this machine and shows it beside a stored result.

It runs in its own process: there it can be stopped, and other viewers of this server do not disturb the measurement.
What is measured, and how, is in ``bench``.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import gradio as gr

from realtime_mer.app.process import Subprocess
from realtime_mer.app.settings import AppSettings
from realtime_mer.app.timeline import histograms
from realtime_mer.bench import compare
from realtime_mer.bench.results import Result, read
from realtime_mer.config import Config, to_toml
from realtime_mer.errors import MerError, OutputError
from realtime_mer.sinks.page import render

TEMPLATES: Final = "realtime_mer.app"
RESULT: Final = "latency.json"
COMMAND: Final = (sys.executable, "-m", "realtime_mer.cli", "bench", "latency")
# Gradio's uploads are disabled: the page reads the file itself and sends its text.
READ_STORED: Final = (
    "async (fps, seconds) => [fps, seconds, (await document.querySelector('#mer-stored').files[0]?.text()) ?? '']"
)
EXPLAINED: Final = (
    "Three latencies, never mixed: the time of each **stage** per frame; the delay of an **observation** when frames "
    "arrive at the real rate; the delay of an **event** after its apex or offset, including the look-ahead. Measured "
    "on the synthetic demo clip, on the machine that serves this page, along with whatever else it is doing."
)


def tab(settings: AppSettings, benches: Benches) -> None:
    """Adds the tab to the page that is being built."""
    gr.Markdown(EXPLAINED)
    with gr.Row():
        fps = gr.Slider(30, 240, 200, step=10, label="Frames per second")
        seconds = gr.Slider(5, 60, 20, step=5, label="Length of the live measurement, s")
        gr.HTML(
            "<label class='mer-stored'>Compare with a stored result (JSON)"
            "<input type='file' id='mer-stored' accept='.json'></label>"
        )
        stored = gr.Textbox(visible="hidden")
    with gr.Row():
        go = gr.Button("Run the latency benchmark", variant="primary", elem_id="mer-bench")
        stop = gr.Button("Stop", elem_id="mer-bench-stop")
    status = gr.HTML(elem_id="mer-bench-status")
    state = gr.State()
    which = gr.Dropdown([], label="Histogram of", visible=False, interactive=True)
    plot = gr.Plot(show_label=False, visible=False)
    table = gr.HTML(elem_id="mer-bench-table")

    def run(fps: float, seconds: float, stored: str, request: gr.Request) -> Iterator[dict[Any, Any]]:
        yield {status: note(f"Drawing the clip, then measuring {seconds:g} s live, then each stage …")}
        try:
            other = _stored(stored) if stored else None
            result = measure(fps, seconds, settings.config, benches.of(str(request.session_hash)))
        except MerError as error:
            yield {status: note(str(error), bad=True)}
            return
        if result is None:
            yield {status: note("Stopped.")}
            return
        names = [series.name for series in result.series if series.unit == "ms"]
        first = next((name for name in names if name.startswith("live: ")), names[0])
        yield {
            status: note("Done."),
            state: (result, other),
            which: gr.Dropdown(names, value=first, visible=True),
            plot: gr.Plot(_histogram((result, other), first), visible=True),
            table: _table(result, other),
        }

    def halt(request: gr.Request) -> None:
        benches.of(str(request.session_hash)).stop()

    go.click(
        run,
        [fps, seconds, stored],
        [status, state, which, plot, table],
        concurrency_limit=1,
        show_progress="hidden",
        js=READ_STORED,
        api_visibility="private",
    )
    stop.click(halt, None, None, show_progress="hidden", api_visibility="private", queue=False)
    which.input(_histogram, [state, which], plot, show_progress="hidden", api_visibility="private")


class Benches:
    """The benchmark process of each page, by Gradio's session hash."""

    def __init__(self) -> None:
        self._processes: dict[str, Subprocess] = {}

    def of(self, key: str) -> Subprocess:
        """The page's process, created on first use."""
        return self._processes.setdefault(key, Subprocess())

    @property
    def busy(self) -> bool:
        return any(process.busy for process in list(self._processes.values()))

    def leave(self, key: str) -> None:
        """Stops the benchmark of a page that was closed."""
        if (process := self._processes.pop(key, None)) is not None:
            process.close()

    def close(self) -> None:
        """The server ends."""
        for key in list(self._processes):
            self.leave(key)


def measure(fps: float, seconds: float, config: Config, process: Subprocess) -> Result | None:
    """The result of ``realtime-mer bench latency`` with these settings; None when it was stopped.

    Raises OutputError with what the command said when it failed.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as place:
        scratch = Path(place)
        (scratch / "settings.toml").write_text(to_toml(config), encoding="utf-8")
        options = {"--fps": f"{fps:g}", "--for": f"{seconds:g}", "--config": scratch / "settings.toml"}
        command = [*COMMAND, *(f"{name}={value}" for name, value in options.items()), f"--out={scratch / RESULT}"]
        done = process.run(command, scratch)
        if done is None:
            return None
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["the benchmark failed"]
            raise OutputError(said[-1].removeprefix("realtime-mer: "))
        return read(scratch / RESULT)


def note(*lines: str, bad: bool = False) -> str:
    """Text for a status field, as HTML."""
    return render("status.html", TEMPLATES, lines=lines, bad=bad)


def _stored(text: str) -> Result:
    """A stored result, parsed from the text that the page has read. Raises MerError."""
    with TemporaryDirectory() as place:
        path = Path(place) / "the stored result"
        path.write_text(text, encoding="utf-8")
        try:
            return read(path)
        except MerError as error:
            raise type(error)(str(error).replace(str(path), path.name)) from None


def _link(result: Result) -> str:
    """A link that saves the whole result."""
    with TemporaryDirectory() as place:
        result.save(path := Path(place) / RESULT)
        return "data:application/json;base64," + base64.b64encode(path.read_bytes()).decode()


def _histogram(results: tuple[Result, Result | None] | None, name: str) -> Any:
    if results is None:
        return None
    named = zip(("this run", "stored result"), results, strict=True)
    samples = {
        title: series.samples for title, result in named if result for series in result.series if series.name == name
    }
    return histograms(samples)


def _table(result: Result, other: Result | None) -> str:
    compared = "" if other is None else compare.text(other, result, compare.compare(other, result))
    return render(
        "benchmark.html", TEMPLATES, host=result.machine, created=result.created, rows=result.series,
        compared=compared, link=_link(result), file=RESULT,
    )  # fmt: skip
