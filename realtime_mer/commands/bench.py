"""``realtime-mer bench``: the benchmarks as subcommands. The package ``bench`` measures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_mer.commands import bench_spotting
from realtime_mer.commands.options import Commands, add_settings, positive, settings
from realtime_mer.errors import ConfigError

if TYPE_CHECKING:
    from realtime_mer.bench.results import Result

GROUPS = ("size", "faces", "rate", "streams")


def add(commands: Commands) -> None:
    """Declares the command and its parts."""
    parser = commands.add_parser("bench", help="Run speed, latency and accuracy benchmarks")
    parts = parser.add_subparsers(title="benchmarks", metavar="BENCHMARK", required=True)
    latency = parts.add_parser(
        "latency", help="Measure latency: per stage, capture to observation, apex and offset to event"
    )
    latency.add_argument(
        "video", nargs="?", type=Path, metavar="VIDEO", help="video to run on (default: the synthetic demo clip)"
    )
    latency.add_argument("--fps", type=float, default=200.0, help="frame rate of the live part (default: %(default)g)")
    latency.add_argument(
        "--for",
        dest="seconds",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="length of the live part (default: %(default)g)",
    )
    latency.set_defaults(run=run_latency)
    throughput = parts.add_parser("throughput", help="Measure throughput: frames/s, cores, memory, and the floor")
    throughput.add_argument(
        "video", nargs="?", type=Path, metavar="VIDEO", help="video to run on (default: synthetic clips, with curves)"
    )
    throughput.add_argument("--rounds", type=int, default=5, help="how often each case runs (default: %(default)s)")
    throughput.add_argument("--groups", default=",".join(GROUPS), metavar="LIST", help=f"curves: {','.join(GROUPS)}")
    throughput.set_defaults(run=run_throughput)
    live = parts.add_parser("live", help="Run a live source at a fixed rate: achieved rate, drops, jitter, delays")
    live.add_argument(
        "video", nargs="?", type=Path, metavar="VIDEO", help="video to run on (default: the synthetic demo clip)"
    )
    live.add_argument("--fps", type=float, default=200.0, help="frame rate (default: %(default)g)")
    live.add_argument("--for", dest="seconds", type=float, default=60.0, metavar="SECONDS")
    live.set_defaults(run=run_live)
    for part in (latency, throughput, live):
        part.add_argument("--out", type=Path, metavar="FILE", help="write every sample as JSON")
        part.add_argument("--plot", type=Path, metavar="FILE", help="write a plot (.png, .svg, .pdf); needs matplotlib")
        add_settings(part)
    compare = parts.add_parser("compare", help="Compare two stored results, with the noise of each")
    compare.add_argument("a", type=Path, metavar="A.json")
    compare.add_argument("b", type=Path, metavar="B.json")
    compare.add_argument(
        "--pool", action="store_true", help="pool the results of `spotting` for two halves into one table"
    )
    compare.add_argument("--out", type=Path, metavar="FILE", help="write the pooled result as JSON")
    compare.set_defaults(run=run_compare)
    bench_spotting.add(parts)
    prints = parts.add_parser(
        "fingerprint", help="Count and hash all events, to see whether a code change altered them"
    )
    prints.add_argument("videos", nargs="*", type=Path, metavar="VIDEO", help="video files or folders")
    prints.add_argument("--casme2", type=Path, nargs=2, metavar=("FRAMES", "TABLE"), help="also use CASME II streams")
    prints.add_argument("--out", type=Path, metavar="FILE", help="write the table here")
    prints.add_argument("--against", type=Path, metavar="FILE", help="list the differences from this table")
    add_settings(prints)
    prints.set_defaults(run=run_fingerprint)
    memory = parts.add_parser("memory", help="Measure memory over an hour of video")
    memory.add_argument("--fps", type=positive, default=100.0, help="frame rate of the video (default: %(default)g)")
    memory.add_argument("--minutes", type=positive, default=60.0, help="minutes of video (default: %(default)g)")
    memory.set_defaults(run=run_memory)
    sending = parts.add_parser("targets", help="Measure the cost of live targets, one of them dead, against none")
    sending.add_argument("--fps", type=positive, default=200.0, help="frame rate (default: %(default)g)")
    sending.add_argument("--minutes", type=positive, default=30.0)
    sending.add_argument(
        "--to", action="append", default=[], metavar="TARGET", help="also send to this target; repeatable"
    )
    sending.set_defaults(run=run_targets)
    devices = parts.add_parser("devices", help="Run the recognizer on the CPU, a GPU and TensorRT: batches and live")
    devices.add_argument(
        "--fps", type=positive, default=200.0, help="frame rate of the live part (default: %(default)g)"
    )
    devices.add_argument(
        "--for",
        dest="seconds",
        type=positive,
        default=30.0,
        metavar="SECONDS",
        help="length of each live part in seconds (default: %(default)g)",
    )
    add_settings(devices)
    devices.set_defaults(run=run_devices)
    page = parts.add_parser("page", help="Leave the app's live page open in a browser: rate, losses, memory")
    page.add_argument(
        "--fps", type=positive, default=60.0, help="frame rate of the camera or stream (default: %(default)g)"
    )
    page.add_argument("--minutes", type=positive, default=10.0)
    page.add_argument(
        "--stream", action="store_true", help="let the server capture a stream instead of the browser's camera"
    )
    page.set_defaults(run=run_page)
    peers = parts.add_parser("peers", help="Run the same video through other tools, in turns")
    peers.add_argument(
        "video", nargs="?", type=Path, metavar="VIDEO", help="video to run on (default: the synthetic demo clip)"
    )
    peers.add_argument("--rounds", type=int, default=3, help="how often each tool runs (default: %(default)s)")
    peers.add_argument(
        "--seconds", type=positive, default=10.0, help="seconds per tool and round (default: %(default)g)"
    )
    peers.add_argument(
        "--only", default="", metavar="LIST", help="compare only with tools whose names contain one of these"
    )
    peers.add_argument(
        "--setup", action="store_true", help="create the tools' environments first (several GB, minutes)"
    )
    peers.add_argument(
        "--environments", type=Path, metavar="DIR", help="folder of these environments (default: in the cache)"
    )
    peers.set_defaults(run=run_peers)
    for part in (memory, sending, devices, page, peers):
        part.add_argument("--out", type=Path, metavar="FILE", help="write every sample as JSON")


def run_latency(arguments: argparse.Namespace) -> int:
    """Measures the three latencies."""
    from realtime_mer.bench import latency

    return _show(latency.run(arguments.video, arguments.fps, arguments.seconds, settings(arguments)), arguments)


def run_throughput(arguments: argparse.Namespace) -> int:
    """Measures frames per second."""
    from realtime_mer.bench import throughput

    groups = [name for name in arguments.groups.split(",") if name]
    if unknown := set(groups) - set(GROUPS):
        raise ConfigError(f"unknown curve {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    if arguments.rounds < 1:
        raise ConfigError("--rounds must be at least 1")
    result = throughput.run(
        arguments.video, settings(arguments), arguments.rounds, groups, lambda name: print(name, file=sys.stderr)
    )
    return _show(result, arguments)


def run_live(arguments: argparse.Namespace) -> int:
    """Runs a source at a real rate."""
    from realtime_mer.bench import live

    return _show(live.run(arguments.fps, arguments.seconds, arguments.video, settings(arguments)), arguments)


def run_compare(arguments: argparse.Namespace) -> int:
    """Compares two results of one benchmark, or pools two halves of the spotting benchmark."""
    from realtime_mer.bench.compare import compare, text
    from realtime_mer.bench.results import read
    from realtime_mer.bench.score_file import is_score_file

    paths = arguments.a, arguments.b
    if all(is_score_file(path) for path in paths):
        return bench_spotting.compare(*paths, arguments.pool, arguments.out)
    if arguments.pool or arguments.out:
        raise ConfigError("--pool and --out need two results of `bench spotting`")
    a, b = (read(path) for path in paths)
    print(text(a, b, compare(a, b)))
    return 0


def run_fingerprint(arguments: argparse.Namespace) -> int:
    """Writes a table of all events, and lists the differences from an earlier one."""
    from realtime_mer.bench import fingerprint
    from realtime_mer.bench.results import machine, save_json, versions
    from realtime_mer.build import build

    before = fingerprint.read(arguments.against) if arguments.against else None
    recordings = list(fingerprint.files(arguments.videos))
    if arguments.casme2:
        recordings += fingerprint.casme2(*arguments.casme2)
    rows = {}
    with build(settings(arguments)) as pipeline:
        for number, case in enumerate(recordings, 1):
            rows[case.name] = fingerprint.row(case, pipeline)
            print(f"{number} of {len(recordings)}  {case.name}  {rows[case.name]}", file=sys.stderr, flush=True)
    if arguments.out is not None:
        save_json(
            {"kind": "fingerprint", "machine": machine(), "versions": versions(), "recordings": rows}, arguments.out
        )
    if before is None:
        return 0
    found = fingerprint.differences(before, rows)
    print("\n".join(found) or f"{len(rows)} recordings: no difference")
    return 1 if found else 0


def run_memory(arguments: argparse.Namespace) -> int:
    """Measures memory over a long video."""
    from realtime_mer.bench import memory

    memory.run(arguments.fps, arguments.minutes).deliver(arguments.out)
    return 0


def run_targets(arguments: argparse.Namespace) -> int:
    """Measures with and without targets."""
    from realtime_mer.bench import targets

    targets.run(arguments.fps, arguments.minutes, arguments.to).deliver(arguments.out)
    return 0


def run_devices(arguments: argparse.Namespace) -> int:
    """Measures the recognizer on each device."""
    from realtime_mer.bench import devices

    devices.run(arguments.fps, arguments.seconds, settings(arguments)).deliver(arguments.out)
    return 0


def run_page(arguments: argparse.Namespace) -> int:
    """Measures a live page left open."""
    from realtime_mer.bench import page

    page.run(arguments.fps, arguments.minutes, arguments.stream).deliver(arguments.out)
    return 0


def run_peers(arguments: argparse.Namespace) -> int:
    """Runs the same video through other tools."""
    from realtime_mer.bench.peers import run as peers

    if arguments.rounds < 1:
        raise ConfigError("--rounds must be at least 1")
    only = [part for part in arguments.only.split(",") if part]
    peers.run(
        arguments.video, arguments.rounds, arguments.seconds, only, arguments.environments, arguments.setup
    ).deliver(arguments.out)
    return 0


def _show(result: Result, arguments: argparse.Namespace) -> int:
    result.deliver(arguments.out)
    if arguments.plot is not None:
        from realtime_mer.bench.plots import plot

        plot(result, arguments.plot)
    return 0
