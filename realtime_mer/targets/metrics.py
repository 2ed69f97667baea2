"""Prometheus: rate, losses, delay, faces, events and targets at http://127.0.0.1:PORT/metrics.

The delay of a frame is from its capture until all sinks before this one have it, so put it last. Needs
prometheus-client: pip install 'realtime-mer[targets]'.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import OutputError
from realtime_mer.records import End, Event, Frame, Observation, Status
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Header
from realtime_mer.targets import State, Stats, Target
from realtime_mer.targets.messages import on_this_clock

WINDOW: Final = 12000  # frames for the quantiles: a minute at 200 frames/s
QUANTILES: Final = (0.5, 0.95, 0.99)
PREFIX: Final = "realtime_mer"


class Metrics(Target):
    """Serves the figures of all runs, including ended ones, and of ``targets``. Port 0 takes a free one."""

    def __init__(self, port: int, host: str = "127.0.0.1", targets: Sequence[Target] = ()) -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError:
            raise OutputError("metrics need prometheus-client: pip install 'realtime-mer[targets]'") from None
        self._targets = tuple(targets)
        self._runs: list[_Figures] = []
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise OutputError(f"cannot serve metrics at {host}:{port}: {error.strerror}") from None
        self.name = f"http://{host}:{self._server.server_port}/metrics"

    def follow(self, head: Header, stats: Stats | None = None) -> Sink:
        ended = [run for run in self._runs if run.over]
        for run in ended[1:]:  # added up in the first
            ended[0].add(run)
            self._runs.remove(run)
        self._runs.append(_Figures(on_this_clock(head.source), stats))
        return self._runs[-1]

    @property
    def state(self) -> State:
        return State()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def describe(self) -> tuple[Any, ...]:
        """Nothing: ``collect`` describes the metrics; the library calls this one first if it exists."""
        return ()

    def collect(self) -> Iterator[Any]:
        """The current figures, for prometheus-client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        runs, going = tuple(self._runs), [run for run in self._runs if not run.over]
        yield GaugeMetricFamily(f"{PREFIX}_runs", "Sources watched now", len(going))
        yield GaugeMetricFamily(
            f"{PREFIX}_frames_per_second", "Measured over the last second, all sources", sum(r.fps for r in going)
        )
        yield GaugeMetricFamily(f"{PREFIX}_faces", "Faces in view", sum(r.faces for r in going))
        for name, what, number in (
            ("frames", "Frames measured", sum(r.frames for r in runs)),
            ("dropped_frames", "Frames dropped because they waited too long", sum(r.dropped for r in runs)),
            ("missed_frames", "Frames that the source lost, if known", sum(r.missed for r in runs)),
        ):
            yield CounterMetricFamily(f"{PREFIX}_{name}", what, number)
        delay = GaugeMetricFamily(
            f"{PREFIX}_latency_seconds", "Capture to observation, latest 12000 frames", labels=["quantile"]
        )
        late = np.concatenate([[], *(r.latest() for r in going)])
        if late.size:
            for quantile, value in zip(QUANTILES, np.quantile(late, QUANTILES), strict=True):
                delay.add_metric([f"{quantile:g}"], float(value))
        yield delay
        events = CounterMetricFamily(f"{PREFIX}_events", "Movements by final kind", labels=["kind"])
        for kind, number in sum((Counter(dict(r.events)) for r in runs), Counter[str]()).items():
            events.add_metric([kind], number)
        yield events
        yield from self._of_targets()

    def _of_targets(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        sent = CounterMetricFamily(f"{PREFIX}_target_sent", "Messages delivered", labels=["target"])
        missed = CounterMetricFamily(f"{PREFIX}_target_missed", "Messages never delivered", labels=["target"])
        well = GaugeMetricFamily(f"{PREFIX}_target_up", "1 if messages can be delivered now", labels=["target"])
        for target in self._targets:
            state = target.state
            sent.add_metric([target.name], state.sent)
            missed.add_metric([target.name], state.missed)
            well.add_metric([target.name], not state.trouble)
        yield from (sent, missed, well)


class _Figures(Sink):
    """The figures of one run. timed: its capture times can be compared with this machine's clock."""

    def __init__(self, timed: bool, stats: Stats | None) -> None:
        self._timed, self._stats = timed, stats
        self.frames = self.faces = self._dropped = self._missed = 0
        self.fps, self.over = 0.0, False
        self.events: Counter[str] = Counter()
        self._delays = np.zeros(WINDOW, np.float32)  # s, of the latest frames, as a ring

    @property
    def dropped(self) -> int:
        return self._stats().dropped if self._stats else self._dropped

    @property
    def missed(self) -> int:
        return (self._stats().missed or 0) if self._stats else self._missed

    def latest(self) -> NDArray[np.float32]:
        """Delays of the latest frames, s, unordered; empty if the source has another clock."""
        return self._delays[: self.frames if self._timed else 0]

    def write(self, observation: Observation, frame: Frame) -> None:
        if self._timed:
            self._delays[self.frames % WINDOW] = time.monotonic() - frame.time
        self.frames += 1
        self.fps, self.faces = observation.fps, len(observation.faces)
        self._count(observation.events)

    def end(self, end: End) -> None:
        self._count(end.events)

    def close(self) -> None:
        """Keeps the counts, because the source is about to be closed."""
        if not self.over:
            self._dropped, self._missed = self.dropped, self.missed
            self._stats, self.over = None, True

    def add(self, other: _Figures) -> None:
        """Adds the counts of another, ended run."""
        self.frames += other.frames
        self._dropped += other.dropped
        self._missed += other.missed
        self.events += other.events

    def _count(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.final:
                self.events["micro" if event.status is Status.CONFIRMED else event.movement.kind.value] += 1
