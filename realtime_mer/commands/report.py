"""``realtime-mer report``: makes the HTML report of an analyzed recording."""

from __future__ import annotations

import argparse
from pathlib import Path

from realtime_mer.commands.convert import corrected
from realtime_mer.commands.options import Commands
from realtime_mer.review.agreement import agree, text
from realtime_mer.review.codings import read_coding
from realtime_mer.sinks import REPORT, SIGNALS_CSV
from realtime_mer.sinks.place import keep_input


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("report", help="Make a self-contained HTML report from events.jsonl")
    parser.add_argument(
        "log", type=Path, metavar="EVENTS.JSONL", help="event log; signals.csv beside it is used if present"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="output file (default: report.html beside the log)")
    parser.add_argument("--no-pictures", action="store_true", help="leave out all pictures of faces")
    parser.add_argument("--review", metavar="CODER", help="apply this coder's corrections (review-CODER.jsonl)")
    parser.add_argument(
        "--agree", nargs=2, type=Path, metavar=("A", "B"), action="append", default=[],
        help="add a section on how two codings agree, as in `realtime-mer agree A B`; repeatable",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the report, with the pictures in the folder "stills" beside the log."""
    from realtime_mer.sinks.report import write_report

    signals = arguments.log.with_name(SIGNALS_CSV)
    out = arguments.out or arguments.log.with_name(REPORT)
    keep_input([out], arguments.log)
    keep_input([out], signals)
    compared = [agree(read_coding(a), read_coding(b)) for a, b in arguments.agree]
    write_report(
        arguments.log,
        signals if signals.is_file() else None,
        out,
        {} if arguments.no_pictures else None,
        change=corrected(arguments.log, arguments.review),
        more={f"Agreement of {found.a} and {found.b}": text(found) for found in compared},
    )
    print(out)
    return 0
