"""``realtime-mer agree``: measures how well two codings of one recording agree."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from realtime_mer.commands.options import Commands, positive, print_json
from realtime_mer.review.agreement import TOLERANCE_S, agree, text
from realtime_mer.review.codings import read_coding


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("agree", help="Measure agreement between two coders, or a coder and the program")
    coding = "a log (events.jsonl), a review (review-CODER.jsonl), ELAN (.eaf), BORIS or another table (.csv, .tsv)"
    parser.add_argument("a", type=Path, metavar="A", help=coding)
    parser.add_argument("b", type=Path, metavar="B", help="the coding to compare with A, in any of the same formats")
    parser.add_argument(
        "--tier", metavar="NAME", help="read this tier of ELAN files (default: all tiers except apexes)"
    )
    parser.add_argument(
        "--duration", type=positive, default=0.0, metavar="S", help="length of the recording in seconds"
    )
    parser.add_argument(
        "--tolerance",
        type=positive,
        default=TOLERANCE_S,
        metavar="S",
        help="times this close, in seconds, count as equal (default: 0.033)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the figures."""
    tiers = [arguments.tier if path.suffix.lower() == ".eaf" else None for path in (arguments.a, arguments.b)]
    a, b = (read_coding(path, tier) for path, tier in zip((arguments.a, arguments.b), tiers, strict=True))
    found = agree(a, b, duration=arguments.duration, tolerance_s=arguments.tolerance)
    if arguments.json:
        print_json({**asdict(found), "f1": found.f1})
    else:
        print(text(found))
    return 0
