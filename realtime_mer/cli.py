"""The command line: finds the subcommand and runs it. How it ends is in ``console``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NoReturn

from realtime_mer.console import finish
from realtime_mer.errors import ConfigError

COMMANDS: Final = (
    "demo", "analyze", "live", "app", "probe", "bench", "convert", "report", "models", "config", "doctor", "setup",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, that of the MerError, 2 for bad arguments, 130 after Ctrl-C."""

    def command() -> int:
        arguments = parser().parse_args(argv)
        return int(arguments.run(arguments))

    return finish(command, "realtime-mer", "interrupted; what was written is whole")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="realtime-mer",
        description="Spots, times and names facial micro-expressions in live and recorded video.",
        epilog="Each command has its own --help.",
    )
    top.add_argument("--version", action="version", version=f"realtime-mer {_version()}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"realtime_mer.commands.{name}").add(commands)
    return top


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; argparse puts the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(ConfigError.exit_code, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _version() -> str:
    try:
        return version("realtime-mer")
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
