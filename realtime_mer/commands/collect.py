"""``realtime-mer collect``: collects the results of a study as one data set."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from realtime_mer.commands.options import Commands
from realtime_mer.errors import ConfigError
from realtime_mer.study.collect import SUMMARY, collect
from realtime_mer.study.results import WATCHED_S, Participants, read_participants, read_study


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("collect", help="Collect a study's results as Parquet, BIDS derivatives and a summary")
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder that `analyze --out` wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="write the data set here")
    parser.add_argument(
        "--participants", type=Path, metavar="FILE",
        help="table with participant_id and a column per condition; with a column 'recording', one row per recording",
    )  # fmt: skip
    parser.add_argument(
        "--least", type=float, default=WATCHED_S, metavar="S",
        help=f"exclude recordings in which a face was watched for less than S seconds (default: {WATCHED_S:g})",
    )  # fmt: skip
    parser.add_argument("--no-signals", action="store_true", help="write events only; the signals are large")
    parser.add_argument("--title", default="", metavar="TEXT", help="title of the study (default: the folder's name)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the data set and prints what it contains."""
    results, out = arguments.results, arguments.out
    if out.resolve() == results.resolve() or results.resolve().is_relative_to(out.resolve()):
        raise ConfigError("--out must not be the results folder or a parent of it")
    who = read_participants(arguments.participants) if arguments.participants is not None else Participants()
    entries = list(read_study(results, who, arguments.least))
    title = arguments.title or results.resolve().name
    collect(entries, who, title, out, lambda line: print(line, file=sys.stderr), signals=not arguments.no_signals)
    left_out = [entry for entry in entries if entry.excluded]
    for entry in left_out:
        print(f"left out: {entry.name}: {entry.excluded}", file=sys.stderr)
    print(f"{len(entries) - len(left_out)} of {len(entries)} recordings: {out / SUMMARY}")
    return 0
