"""The command line: finds the subcommand and runs it. Exit codes and signals are handled in ``console``.

Few modules are imported here: until ``main`` runs, Ctrl-C would print a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from realtime_mer.console import NOTHING_BEGUN, exit_on_signal, finish

if TYPE_CHECKING:
    import argparse

COMMANDS: Final = (
    "demo", "analyze", "live", "app", "probe", "bench", "convert", "collect", "share", "report", "agree", "models",
    "config", "doctor", "setup",
)  # fmt: skip
PROGRAM: Final = "realtime-mer"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, that of the MerError, 2 for bad arguments, else as in ``console``."""
    words = sys.argv[1:] if argv is None else argv

    def command() -> int:
        with exit_on_signal(PROGRAM, NOTHING_BEGUN):
            arguments = parser(words[:1] if words and words[0] in COMMANDS else COMMANDS).parse_args(words)
        return int(arguments.run(arguments))

    return finish(command, PROGRAM, "interrupted; everything written so far is complete")


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line with the commands of these names. Only their modules are loaded: `doctor` must also run where
    the others cannot be imported."""
    from realtime_mer.commands.top import parser

    return parser(names)


if __name__ == "__main__":
    sys.exit(main())
