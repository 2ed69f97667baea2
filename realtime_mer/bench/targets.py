"""Measures whether targets cost frames: one run at a real rate, in which all targets, one of them dead, are active in
every other minute. It is a single run, because each new run starts new threads, for each of which the C library keeps a
heap, so that memory would grow for a while in any case.

The peers are in their own process (``listener``). The dead target is a webhook at a port where nobody listens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import numpy as np

from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.live import MEMORY_EVERY, WARM_UP
from realtime_mer.bench.paced import PacedSource
from realtime_mer.bench.results import Result, growth, machine, resident, series
from realtime_mer.build import build
from realtime_mer.errors import ConfigError
from realtime_mer.records import End, Frame, Observation
from realtime_mer.run import log_header, watch
from realtime_mer.sinks import Sink
from realtime_mer.targets import open_target
from realtime_mer.targets.metrics import Metrics

DEAD: Final = "http://127.0.0.1:9/"  # the discard port, which is no longer served
TURN_S: Final = 60.0
WITH, WITHOUT = "with targets", "without"


class Turns:
    """The results of the turns of one kind. latency: capture to observation, s. p99: of each turn, s."""

    def __init__(self) -> None:
        self.latency = array("f")  # half an hour of Python floats would add 12 MB to the measured memory
        self.p99: list[float] = []
        self.frames = self.dropped = self.events = 0
        self.cpu = self.wall = 0.0


class Switch(Sink):
    """Sinks that are written to while it is on; started before and closed after, as in any run."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.on = False
        self._sinks = sinks

    def write(self, observation: Observation, frame: Frame) -> None:
        if self.on:
            for sink in self._sinks:
                sink.write(observation, frame)

    def end(self, end: End) -> None:
        for sink in self._sinks:
            sink.end(end)

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


def run(fps: float, minutes: float, more: list[str]) -> Result:
    """One run of ``minutes``, in pairs of one-minute turns. more: addresses of further targets.

    Raises ConfigError for less than two minutes.
    """
    pairs = int(minutes * 60 / TURN_S / 2)
    if pairs < 1:
        raise ConfigError("turns with and without targets take a minute each: use at least 2 minutes")
    host, clip = machine(), make(Clip(fps=fps))
    turns, memory, at = {WITH: Turns(), WITHOUT: Turns()}, list[float](), list[float]()
    with ExitStack() as stack:
        pipeline = stack.enter_context(build())
        lsl = f"bench-{os.getpid()}"
        opened = [stack.enter_context(open_target(a)) for a in ("ws://127.0.0.1:0", f"lsl:{lsl}", DEAD, *more)]
        metrics = stack.enter_context(Metrics(0, targets=opened))
        command = [sys.executable, "-m", "realtime_mer.bench.listener", opened[0].name, metrics.name, lsl]
        pipe = subprocess.PIPE
        listener = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        assert listener.stdin is not None
        assert listener.stdout is not None
        opened.insert(0, stack.enter_context(open_target(listener.stdout.readline().strip())))
        with PacedSource(clip, fps, remember=False) as source:
            head = log_header(source.info, pipeline)
            switch = Switch([target.follow(head, source.stats) for target in (*opened, metrics)])
            watching = watch(source, pipeline, [switch])
            began = time.monotonic()
            for number in range(2 * pairs):
                kind = (WITH, WITHOUT)[(number + number // 2) % 2]  # alternating which kind comes first
                switch.on = kind is WITH
                _turn(watching, source, turns[kind], memory, at)
                last = turns[kind].p99[-1]
                print(f"{number + 1} of {2 * pairs}, {kind}: p99 {1e3 * last:.2f} ms", file=sys.stderr, flush=True)
            source.close()
            for _ in watching:  # deliveries in progress
                pass
        states = {target.name: target.state.line for target in opened}
        listener.stdin.close()
        got = json.loads(listener.stdout.readline())
    settled = [(t - began, m) for t, m in zip(at, memory, strict=True) if t - began > 2 * TURN_S]
    facts = _facts(turns, states, got) | {
        "memory growth, MB per hour": growth([t for t, _ in settled], [m for _, m in settled])
    }
    what = "from the capture stamp of a frame until every sink has it"
    lines = [series(f"capture to observation, {k}", "ms", what, [1e3 * d for d in t.latency]) for k, t in turns.items()]
    lines.append(series("memory", "MB", "resident memory of the sending process, once per second", memory))
    return Result("targets", {"fps": fps, "minutes": minutes, "more": len(more)}, facts, tuple(lines), host)


def _turn(
    watching: Iterator[Observation | End], source: PacedSource, turn: Turns, memory: list[float], at: list[float]
) -> None:
    """One turn of TURN_S. The first seconds are not counted, while caches fill and the other kind's work ends."""
    late, first, looked, before = array("f"), None, 0.0, source.stats()
    cpu, wall = time.process_time(), time.monotonic()
    for seen in watching:
        now = time.monotonic()
        turn.events += sum(event.final for event in seen.events)
        assert isinstance(seen, Observation)  # the caller closes the source
        first = seen.time if first is None else first
        if seen.time - first >= WARM_UP:
            late.append(now - seen.time)
        if now - looked > MEMORY_EVERY:
            memory.append(resident())
            at.append(now)
            looked = now
        if seen.time - first >= TURN_S:
            break
    stats = source.stats()
    turn.cpu += time.process_time() - cpu
    turn.wall += time.monotonic() - wall
    turn.latency += late
    turn.p99.append(float(np.percentile(late, 99)))
    turn.frames += stats.delivered - before.delivered
    turn.dropped += stats.dropped - before.dropped


def _facts(turns: dict[str, Turns], states: dict[str, str], got: dict[str, int]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for kind, turn in turns.items():
        facts |= {
            f"{kind}: frames": turn.frames,
            f"{kind}: dropped": turn.dropped,
            f"{kind}: final events": turn.events,
            f"{kind}: p99 of all frames, ms": 1e3 * float(np.percentile(turn.latency, 99)),
            f"{kind}: median of the turns' p99, ms": 1e3 * float(np.median(turn.p99)),
            f"{kind}: cores used": turn.cpu / turn.wall,
        }
    pairs = np.array(turns[WITH].p99) / np.array(turns[WITHOUT].p99)
    facts["p99 with targets to without, median of the pairs"] = float(np.median(pairs))
    return (
        facts
        | {f"target {name}": line for name, line in states.items()}
        | {f"peer got, {k}": n for k, n in got.items()}
    )
