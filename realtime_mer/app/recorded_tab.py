"""The Recorded tab: its parts, and what happens when they are used.

The analysis is in ``recorded``, what is shown of it in ``shown`` and ``timeline``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import gradio as gr

from realtime_mer.app import shown
from realtime_mer.app.recorded import Analysis, Progress, Sessions, analyse
from realtime_mer.app.settings import KINDS, UPLOADS, AppSettings, viewer_config
from realtime_mer.app.timeline import timeline
from realtime_mer.errors import MerError, SourceError

QUIET: Final = {"show_progress": "hidden", "api_visibility": "private"}

News = dict[Any, Any]  # part of the page -> what it shows from now on


class RecordedTab:
    """Adds its parts to the page that is being built; the methods are what Gradio calls for a viewer."""

    def __init__(self, settings: AppSettings, sessions: Sessions) -> None:
        self._settings, self._sessions = settings, sessions
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                self._add_controls()
            with gr.Column(scale=2, min_width=320):
                asked = shown.note("Choose one or several videos, then press Analyse.")
                self.status = gr.HTML(asked, elem_id="mer-status")
                self.which = gr.Dropdown([], label="Recording", visible=False, interactive=True)
                self.summary = gr.HTML(elem_id="mer-summary")
        with gr.Column(visible=False) as self.results:
            self._add_results()
        self._connect()

    def _add_controls(self) -> None:
        self.files = gr.File(
            label=f"Videos (at most {UPLOADS})",
            file_count="multiple",
            file_types=list(KINDS),
            type="filepath",
            height=150,
            elem_id="mer-upload",
        )
        self.video = gr.Checkbox(True, label="Make the annotated video (takes longer)")
        self.private = gr.Checkbox(False, label="Privacy mode: no pictures, no videos, only events")
        enter = self._settings.config.spot.onset_noise
        self.enter = gr.Slider(3, 20, enter, step=0.5, label="Sensitivity: reacts at so many times resting noise")
        with gr.Row():
            self.go = gr.Button("Analyse", variant="primary", elem_id="mer-analyse", interactive=False)
            self.stop = gr.Button("Stop", elem_id="mer-halt")

    def _add_results(self) -> None:
        with gr.Row():
            with gr.Column(min_width=340):
                self.player = gr.HTML(elem_id="mer-player")
            with gr.Column(min_width=340):
                self.event = gr.Dropdown([], label="Event", interactive=True, elem_id="mer-event")
                self.detail = gr.HTML(elem_id="mer-detail")
        self.rejected = gr.Checkbox(True, label="Show rejected movements in the list and on the timeline")
        self.plot = gr.Plot(show_label=False, elem_id="mer-timeline")

    def _connect(self) -> None:
        parts = [self.summary, self.player, self.plot, self.event, self.detail]
        self.files.change(self.keep, self.files, self.go, **QUIET)
        asked = [self.files, self.video, self.private, self.enter]
        self.go.click(self.run, asked, [self.status, self.results, self.which, *parts], concurrency_limit=2, **QUIET)
        self.stop.click(self.halt, None, None, queue=False, **QUIET)
        self.which.input(self.choose, [self.which, self.rejected], parts, **QUIET)
        self.rejected.input(self.choose, [self.which, self.rejected], parts, **QUIET)
        self.event.input(self.pick, [self.which, self.event], self.detail, **QUIET)

    # --- what a viewer does -------------------------------------------------------------------------------------------

    def keep(self, paths: list[str] | None, request: gr.Request) -> Any:
        """Files were chosen: they are remembered, to be removed with the session, and can be analysed."""
        self._sessions.of(str(request.session_hash)).uploads.update(Path(p) for p in paths or [])
        return gr.Button(interactive=bool(paths))

    def halt(self, request: gr.Request) -> None:
        """Ends the analysis under way."""
        self._sessions.of(str(request.session_hash)).stop.set()

    def run(
        self, paths: list[str] | None, video: bool, private: bool, enter: float, request: gr.Request
    ) -> Iterator[News]:
        """Analyses the chosen files one after the other; what went wrong with some is told with the rest."""
        session = self._sessions.of(str(request.session_hash))
        self._sessions.clear(session)
        session.stop.clear()
        reset = {self.results: gr.Column(visible=False), self.which: gr.Dropdown(visible=False), self.summary: ""}
        yield {self.status: shown.note("Reading …"), **reset}
        problems: list[str] = []
        paths = paths or []
        for number, path in enumerate(paths, 1):
            try:
                if number > UPLOADS:
                    raise SourceError(f"only the first {UPLOADS} videos were analysed")
                config = viewer_config({"enter": enter}, self._settings)
                for news in analyse(self._sessions, session, Path(path), config, private=private, video=video):
                    if isinstance(news, Progress):
                        yield {self.status: shown.progress(news, number, len(paths))}
            except MerError as error:
                problems.append(str(error))
            if session.stop.is_set():
                break
        yield self._outcome(session.analyses, problems, len(paths))

    def choose(self, index: int | None, with_rejected: bool, request: gr.Request) -> News:
        """Another recording, or with and without the rejected movements."""
        analysis = self._current(request, index)
        return self._show(analysis, with_rejected) if analysis else {self.detail: ""}

    def pick(self, index: int | None, key: str | None, request: gr.Request) -> str:
        """Another event."""
        analysis = self._current(request, index)
        return shown.detail(analysis, key) if analysis else ""

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _outcome(self, analyses: list[Analysis], problems: list[str], asked: int) -> News:
        if not analyses:
            return {self.status: shown.note(*problems, bad=True)}
        names = [(analysis.name, i) for i, analysis in enumerate(analyses)]
        done = shown.note(*problems, bad=True) if problems else shown.note(f"Done: {len(names)} of {asked}.")
        return {
            self.status: done,
            self.results: gr.Column(visible=True),
            self.which: gr.Dropdown(names, value=0, visible=len(names) > 1),
            **self._show(analyses[0], True),
        }

    def _show(self, analysis: Analysis, with_rejected: bool) -> News:
        choices = shown.choices(analysis, with_rejected)
        first = choices[0][1] if choices else None
        return {
            self.summary: shown.summary(analysis),
            self.player: shown.player(analysis),
            self.plot: timeline(analysis.recording, analysis.signals, rejected=with_rejected),
            self.event: gr.Dropdown(choices, value=first),
            self.detail: shown.detail(analysis, first),
        }

    def _current(self, request: gr.Request, index: int | None) -> Analysis | None:
        analyses = self._sessions.of(str(request.session_hash)).analyses
        return analyses[index or 0] if (index or 0) < len(analyses) else None
