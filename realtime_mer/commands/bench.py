"""``realtime-mer bench``: latency, throughput, live, spotting, compare. The measuring is in the package ``bench``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_mer.commands.options import Commands, add_settings, settings
from realtime_mer.errors import ConfigError

if TYPE_CHECKING:
    from realtime_mer.bench.results import Result

GROUPS = ("size", "faces", "rate", "streams")
SPOTTING = "realtime_mer.commands.bench_spotting"  # declares its own options


def add(commands: Commands) -> None:
    """Declares the command and its parts."""
    parser = commands.add_parser("bench", help="how fast, how late and how right: latency, throughput, live, spotting")
    parts = parser.add_subparsers(title="benchmarks", metavar="BENCHMARK", required=True)
    latency = parts.add_parser("latency", help="time per stage; capture to observation; apex and offset to event")
    latency.add_argument("video", nargs="?", type=Path, metavar="VIDEO", help="default: the synthetic demo clip")
    latency.add_argument("--fps", type=float, default=200.0, help="rate of the live part, frames/s")
    latency.add_argument("--for", dest="seconds", type=float, default=20.0, metavar="SECONDS", help="of the live part")
    latency.set_defaults(run=run_latency)
    throughput = parts.add_parser("throughput", help="as fast as possible: frames/s, cores, memory, and the floor")
    throughput.add_argument(
        "video", nargs="?", type=Path, metavar="VIDEO", help="default: synthetic clips, with curves"
    )
    throughput.add_argument("--rounds", type=int, default=5, help="times that each case is run")
    throughput.add_argument("--groups", default=",".join(GROUPS), metavar="LIST", help=f"curves: {','.join(GROUPS)}")
    throughput.set_defaults(run=run_throughput)
    live = parts.add_parser("live", help="a paced source: achieved rate, drops, jitter, delays under load")
    live.add_argument("video", nargs="?", type=Path, metavar="VIDEO", help="default: the synthetic demo clip")
    live.add_argument("--fps", type=float, default=200.0, help="frames/s")
    live.add_argument("--for", dest="seconds", type=float, default=60.0, metavar="SECONDS")
    live.set_defaults(run=run_live)
    for part in (latency, throughput, live):
        part.add_argument("--out", type=Path, metavar="FILE", help="every sample as JSON")
        part.add_argument("--plot", type=Path, metavar="FILE", help="a picture (.png, .svg, .pdf); needs matplotlib")
        add_settings(part)
    compare = parts.add_parser("compare", help="two stored results side by side, with the noise of each")
    compare.add_argument("a", type=Path, metavar="A.json")
    compare.add_argument("b", type=Path, metavar="B.json")
    compare.set_defaults(run=run_compare)
    if importlib.util.find_spec(SPOTTING) is not None:
        importlib.import_module(SPOTTING).add(parts)


def run_latency(arguments: argparse.Namespace) -> int:
    """The three latencies."""
    from realtime_mer.bench import latency

    return _show(latency.run(arguments.video, arguments.fps, arguments.seconds, settings(arguments)), arguments)


def run_throughput(arguments: argparse.Namespace) -> int:
    """Frames per second."""
    from realtime_mer.bench import throughput

    groups = [name for name in arguments.groups.split(",") if name]
    if unknown := set(groups) - set(GROUPS):
        raise ConfigError(f"unknown curve {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    if arguments.rounds < 1:
        raise ConfigError("--rounds takes a number from 1")
    result = throughput.run(
        arguments.video, settings(arguments), arguments.rounds, groups, lambda name: print(name, file=sys.stderr)
    )
    return _show(result, arguments)


def run_live(arguments: argparse.Namespace) -> int:
    """A source at a real rate."""
    from realtime_mer.bench import live

    return _show(live.run(arguments.fps, arguments.seconds, arguments.video, settings(arguments)), arguments)


def run_compare(arguments: argparse.Namespace) -> int:
    """Two results."""
    from realtime_mer.bench.compare import compare, text
    from realtime_mer.bench.results import read

    a, b = read(arguments.a), read(arguments.b)
    print(text(a, b, compare(a, b)))
    return 0


def _show(result: Result, arguments: argparse.Namespace) -> int:
    if arguments.out is not None:
        result.save(arguments.out)
    print(result.text())
    if arguments.plot is not None:
        from realtime_mer.bench.plots import plot

        plot(result, arguments.plot)
    return 0
