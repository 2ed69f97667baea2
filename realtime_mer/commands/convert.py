"""``realtime-mer convert``: an event log to the formats of other tools."""

from __future__ import annotations

import argparse
from pathlib import Path

from realtime_mer.commands.options import Commands
from realtime_mer.sinks.convert import NAMES, convert


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("convert", help="events.jsonl to ELAN, BIDS, BORIS, WebVTT, ...")
    parser.add_argument("log", type=Path, metavar="EVENTS.JSONL")
    parser.add_argument("--to", required=True, metavar="FORMAT", help=f"one or several of {','.join(NAMES)}")
    parser.add_argument("--out", type=Path, metavar="FILE", help="with one format: where to (default: beside the log)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the formats and names the files."""
    formats = arguments.to.split(",")
    for name in formats:
        print(convert(arguments.log, name, arguments.out if len(formats) == 1 else None))
    return 0
