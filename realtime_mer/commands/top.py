"""The top of the command line: the subcommands and the version."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from realtime_mer.commandline import SHELLS, Parser, PrintCompletion
from realtime_mer.version import product_version


def parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """The command line with the commands of these names; only their modules are loaded.

    In a list of several, one that cannot be loaded is named as such. Raises ImportError when it is the only one.
    """
    top = Parser(
        prog="realtime-mer",
        description="Spots, times and names facial micro-expressions in live and recorded video.",
        epilog="Run `realtime-mer COMMAND --help` for a command's options.",
    )
    top.add_argument("--version", action="version", version=f"realtime-mer {product_version()}")
    top.add_argument(
        "--print-completion",
        choices=SHELLS,
        action=PrintCompletion,
        help="print a script that makes a shell complete this",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in names:
        try:
            importlib.import_module(f"realtime_mer.commands.{name}").add(commands)
        except ImportError:
            if len(names) == 1:
                raise
            commands.add_parser(name, help="Not available here; run `realtime-mer doctor` to see what is missing")
    return top
