"""The command line: finds the subcommand, and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NoReturn

from realtime_mer.errors import ConfigError, MerError, OutputError

COMMANDS: Final = (
    "demo", "analyze", "live", "app", "probe", "bench", "convert", "report", "models", "config", "doctor", "setup",
)  # fmt: skip
INTERRUPTED: Final = 130  # what shells return after Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, that of the MerError, 2 for bad arguments, 130 after Ctrl-C."""
    try:
        arguments = parser().parse_args(argv)
        code = int(arguments.run(arguments))
        sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    except MerError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted; what was written is whole")
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_output()  # its reader (head, less) has seen enough: nothing to complain about
        return 0
    except OSError as error:  # files are told of where they are written: what is left is a print
        _abandon_output()
        _complain(f"cannot write to {error.filename or 'standard output'}: {error.strerror or error}")
        return OutputError.exit_code
    return code


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


def _complain(text: str) -> None:
    with contextlib.suppress(OSError):  # standard error may be gone too
        print(f"realtime-mer: {text}", file=sys.stderr)


def _abandon_output() -> None:
    """Sends the rest of standard output nowhere, so that the flush at exit does not fail once more."""
    with contextlib.suppress(OSError):  # it may be no file at all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version() -> str:
    try:
        return version("realtime-mer")
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
