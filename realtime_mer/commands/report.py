"""``realtime-mer report``: the HTML report of a recording that was analyzed, made again."""

from __future__ import annotations

import argparse
from html import escape
from pathlib import Path

from realtime_mer.commands.convert import corrected
from realtime_mer.commands.options import Commands
from realtime_mer.review.agreement import agree, text
from realtime_mer.review.codings import read_coding
from realtime_mer.sinks import REPORT, SIGNALS_CSV
from realtime_mer.sinks.place import keep_input


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("report", help="a self-contained HTML report from events.jsonl")
    parser.add_argument("log", type=Path, metavar="EVENTS.JSONL", help="signals.csv beside it is used when there")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html beside the log")
    parser.add_argument("--no-pictures", action="store_true", help="leave out the pictures of faces")
    parser.add_argument("--review", metavar="CODER", help="with the corrections of this coder (review-CODER.jsonl)")
    parser.add_argument(
        "--agree", nargs=2, type=Path, metavar=("A", "B"), action="append", default=[],
        help="also show how two codings agree, as `realtime-mer agree A B` does; may be given several times",
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
        more={f"Agreement of {found.a} and {found.b}": f"<pre>{escape(text(found))}</pre>" for found in compared},
    )
    print(out)
    return 0
