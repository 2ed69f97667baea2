"""The one loop over a source: frames go through the pipeline to the sinks, and the end is reported once.

Everything that runs a source uses it: the commands, the app, the benchmarks and the demos.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Protocol

from realtime_mer.pipeline import Pipeline
from realtime_mer.records import End, Frame, Observation, SourceInfo
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Header, header


class FrameSource(Protocol):
    """What a run needs of a source; see ``sources``."""

    @property
    def info(self) -> SourceInfo: ...
    def __iter__(self) -> Iterator[Frame]: ...


def watch(
    source: FrameSource, pipeline: Pipeline, sinks: Sequence[Sink] = ()
) -> Generator[Observation | End, None, None]:
    """Yields one Observation per frame of ``source``, after all sinks have received it, and finally an End.

    Both have ``time`` and ``events``. The sinks are always closed; ``Sink.end`` is called only if the run reaches the
    source's end. To stop early, close the source. Raises what the source, the pipeline and the sinks raise.
    """
    with ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        pipeline.begin(live=source.info.live)
        for frame in source:
            observation = pipeline.push(frame)
            for sink in sinks:
                sink.write(observation, frame)
            yield observation
        end = pipeline.finish()
        for sink in sinks:
            sink.end(end)
        yield end


def run(source: FrameSource, pipeline: Pipeline, sinks: Sequence[Sink]) -> None:
    """Like ``watch``, but for the sinks only."""
    for _ in watch(source, pipeline, sinks):
        pass


def log_header(info: SourceInfo, pipeline: Pipeline) -> Header:
    """The header of the log of a run of ``pipeline`` that starts now."""
    model, provider = (r.spec.id, r.provider) if (r := pipeline.recognizer) else ("", "")
    return header(info, asdict(pipeline.config), model, provider)
