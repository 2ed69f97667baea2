"""The top of the command line: its subcommands, its version, and how a wrong line is answered."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

from realtime_mer.errors import ConfigError
from realtime_mer.version import product_version

SHELLS: Final = ("bash", "zsh", "fish")


def parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """The command line with the commands of these names; only their modules are loaded.

    In a list of several, one that cannot be loaded is named as such. Raises ImportError when it is the only one.
    """
    top = _Parser(
        prog="realtime-mer",
        description="Spots, times and names facial micro-expressions in live and recorded video.",
        epilog="Run `realtime-mer COMMAND --help` for a command's options.",
    )
    top.add_argument("--version", action="version", version=f"realtime-mer {product_version()}")
    top.add_argument(
        "--print-completion",
        choices=SHELLS,
        action=_PrintCompletion,
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


class _PrintCompletion(argparse.Action):
    """Prints what makes a shell complete the commands, their options and file names."""

    def __call__(self, parser: argparse.ArgumentParser, _namespace: object, shell: object, *_: object) -> NoReturn:
        import shtab

        for action in _actions(parser):
            if action.type is Path or action.metavar in ("VIDEO", "FILE", "DIR"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        print(shtab.complete(parser, str(shell)))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a command and of the commands below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; argparse puts the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(ConfigError.exit_code, f"{self.prog}: {message} (see {self.prog} --help)\n")
