"""The command line: finds the subcommand and runs it. How it ends is in ``console``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NoReturn

from realtime_mer.console import NOTHING_BEGUN, at_once, finish
from realtime_mer.errors import ConfigError

COMMANDS: Final = (
    "demo", "analyze", "live", "app", "probe", "bench", "convert", "report", "models", "config", "doctor", "setup",
)  # fmt: skip
PROGRAM: Final = "realtime-mer"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, that of the MerError, 2 for bad arguments, else as in ``console``."""
    words = sys.argv[1:] if argv is None else argv

    def command() -> int:
        with at_once(PROGRAM, NOTHING_BEGUN):
            arguments = parser(words[:1] if words and words[0] in COMMANDS else COMMANDS).parse_args(words)
        return int(arguments.run(arguments))

    return finish(command, PROGRAM, "interrupted; everything written so far is complete")


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line with the commands of these names. Only their modules are loaded: `doctor` must also run where
    the others cannot be imported."""
    top = _Parser(
        prog="realtime-mer",
        description="Spots, times and names facial micro-expressions in live and recorded video.",
        epilog="Each command has its own --help.",
    )
    top.add_argument("--version", action="version", version=f"realtime-mer {_version()}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in names:
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
