"""The command line: finds the subcommand, and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from realtime_mer.errors import MerError

COMMANDS: Final = (
    "demo", "analyze", "live", "probe", "convert", "report", "models", "config", "doctor", "setup",
)  # fmt: skip
INTERRUPTED: Final = 130  # what shells return after Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except MerError as error:
        print(f"realtime-mer: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("realtime-mer: interrupted; what was written is whole", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output has gone: nothing to complain about, and nowhere to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="realtime-mer",
        description="Spots, times and names facial micro-expressions in live and recorded video.",
        epilog="Each command has its own --help.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"realtime_mer.commands.{name}").add(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
