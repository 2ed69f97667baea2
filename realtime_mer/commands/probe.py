"""``realtime-mer probe``: what a camera, stream or file really delivers."""

from __future__ import annotations

import argparse

from realtime_mer.commands.options import Commands, add_camera, camera, positive, print_json
from realtime_mer.sources import open_source, probe


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("probe", help="what a source really delivers: size, rate, jitter, timestamps, losses")
    parser.add_argument("source", metavar="SOURCE", help="0, /dev/video0, rtsp://..., http://..., a file or a folder")
    parser.add_argument(
        "--for", dest="seconds", type=positive, default=5.0, metavar="SECONDS", help="how long to read (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_camera(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads the source for a while and prints what came."""
    with open_source(arguments.source, **camera(arguments)) as source:
        report = probe(source, arguments.seconds)
    if arguments.json:
        print_json(report.to_dict())
    else:
        print(report.text())
    return 0
