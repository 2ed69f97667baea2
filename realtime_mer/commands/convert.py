"""``realtime-mer convert``: converts an event log to the formats of other tools."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from realtime_mer.commands.options import Commands
from realtime_mer.errors import ConfigError
from realtime_mer.review.apply import reviewed
from realtime_mer.sinks.convert import NAMES, convert
from realtime_mer.sinks.jsonl import Recording


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("convert", help="Convert events.jsonl to ELAN, BIDS, BORIS, WebVTT, ...")
    parser.add_argument("log", type=Path, metavar="EVENTS.JSONL", help="event log written by analyze or live")
    parser.add_argument("--to", required=True, metavar="FORMAT", help=f"one or more of {','.join(NAMES)}")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="output file, for a single format (default: beside the log)"
    )
    parser.add_argument("--review", metavar="CODER", help="apply this coder's corrections (review-CODER.jsonl)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the formats and names the files."""
    names = formats(arguments.to)
    if arguments.out is not None and len(names) != 1:
        raise ConfigError("--out is one file: give one format with --to, or omit --out")
    change = corrected(arguments.log, arguments.review)
    for name in names:
        print(convert(arguments.log, name, arguments.out, change=change))
    return 0


def corrected(log: Path, review: str | None) -> Callable[[Recording], Recording] | None:
    """The log with the corrections of ``--review``; None without that option. Raises ConfigError, SourceError."""
    if review is None:
        return None
    recording = reviewed(log, review)
    return lambda _: recording


def formats(text: str) -> list[str]:
    """The names in a list such as "elan,bids". Raises ConfigError for one that is not in NAMES."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(NAMES)):
        raise ConfigError(f"unknown format {', '.join(unknown)}: choose from {', '.join(NAMES)}")
    return names
