"""Memory over an hour of video.

The synthetic demo clip is repeated without encoding it again, as one long file, and analyzed with the event log and
signals.csv being written. Memory is recorded after every minute of video.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import av

from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.results import Result, growth, machine, resident, series
from realtime_mer.build import build
from realtime_mer.errors import ConfigError
from realtime_mer.records import End
from realtime_mer.run import log_header, watch
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines
from realtime_mer.sources import open_source

MINUTE: Final = 60.0  # s
SETTLED: Final = 5  # minutes after which memory should no longer grow


def repeat(clip: Path, times: int, out: Path) -> None:
    """The packets of ``clip``, repeated ``times`` times, with continuous times."""
    with av.open(str(out), "w") as target:
        shift = 0
        track = None
        for _ in range(times):
            with av.open(str(clip)) as source:
                stream = source.streams.video[0]
                track = track or target.add_stream_from_template(stream)
                end = 0
                for packet in source.demux(stream):
                    if packet.dts is None:
                        continue
                    end = max(end, packet.pts + packet.duration)
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, track
                    target.mux(packet)
                shift += end


def run(fps: float, minutes: float) -> Result:
    """Analyzes ``minutes`` of video at ``fps`` frames/s. Raises ConfigError for less than a minute."""
    if minutes < 1:
        raise ConfigError("memory is recorded once per minute of video: use at least 1 minute")
    host, clip = machine(), Clip(fps=fps)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repeat(make(clip), round(minutes * MINUTE / clip.seconds), folder / "long.mkv")
        source = stack.enter_context(open_source(folder / "long.mkv"))
        pipeline = stack.enter_context(build())
        log = JsonLines(folder / "events.jsonl", log_header(source.info, pipeline))
        memory: list[float] = []
        frames = events = 0
        for observation in watch(source, pipeline, [log, SignalsCsv(folder / "signals.csv")]):
            events += sum(event.final for event in observation.events)
            if isinstance(observation, End):
                break
            frames += 1
            if observation.time >= MINUTE * (len(memory) + 1) - 1.5 / fps:  # a minute ends with its last frame
                memory.append(resident())
                print(f"{len(memory)} min: {memory[-1]:.0f} MB", file=sys.stderr)
    late = [MINUTE * minute for minute in range(len(memory))][SETTLED:]
    facts = {
        "frames": frames,
        "final events": events,
        "largest, MB": max(memory, default=float("nan")),
        "growth, MB per hour": growth(late, memory[SETTLED:]),
    }
    what = "resident memory after each minute of video"
    return Result("memory", {"fps": fps, "minutes": minutes}, facts, (series("memory", "MB", what, memory),), host)
