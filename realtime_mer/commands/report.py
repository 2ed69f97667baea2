"""``realtime-mer report``: the HTML report of a recording that was analyzed, made again."""

from __future__ import annotations

import argparse
from pathlib import Path

from realtime_mer.commands.options import Commands
from realtime_mer.sinks import REPORT, SIGNALS_CSV
from realtime_mer.sinks.place import keep_input


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("report", help="a self-contained HTML report from events.jsonl")
    parser.add_argument("log", type=Path, metavar="EVENTS.JSONL", help="signals.csv beside it is used when there")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html beside the log")
    parser.add_argument("--no-pictures", action="store_true", help="leave out the pictures of faces")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the report, with the pictures in the folder "stills" beside the log."""
    from realtime_mer.sinks.report import write_report

    signals = arguments.log.with_name(SIGNALS_CSV)
    out = arguments.out or arguments.log.with_name(REPORT)
    keep_input([out], arguments.log)
    keep_input([out], signals)
    write_report(arguments.log, signals if signals.is_file() else None, out, {} if arguments.no_pictures else None)
    print(out)
    return 0
