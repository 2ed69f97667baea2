"""``realtime-mer config``: every setting as TOML, to be edited and passed back with --config."""

from __future__ import annotations

import argparse

from realtime_mer.commands.options import Commands
from realtime_mer.config import load, to_toml


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("config", help="Print every setting with its default and unit, as TOML")
    parser.add_argument("--config", metavar="FILE", help="start from this file instead of the defaults")
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="change one setting, e.g. spot.onset_noise=8; repeatable",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the settings."""
    print(to_toml(load(arguments.config, arguments.set)), end="")
    return 0
