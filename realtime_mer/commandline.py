"""One style of command line for the three programs: ``realtime-mer``, ``python -m train`` and ``python -m export``.

A wrong argument ends in one line, and every command's help begins with what it does. ``PrintCompletion`` makes a shell
complete a command line.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from realtime_mer.errors import ConfigError

SHELLS: Final = ("bash", "zsh", "fish")
FILES: Final = ("VIDEO", "FILE", "DIR")  # metavars of options that take a path


class Parser(argparse.ArgumentParser):
    """As argparse's, but an error is one line without the usage, and ``add_parser`` shows ``help`` in the command's
    own help, too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("action", "parsers", _Commands)

    def error(self, message: str) -> NoReturn:
        self.exit(ConfigError.exit_code, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _Commands(argparse._SubParsersAction):  # type: ignore[type-arg]
    def add_parser(self, name: str, **options: Any) -> Any:
        options.setdefault("description", f"{options['help']}.")
        return super().add_parser(name, **options)


class PrintCompletion(argparse.Action):
    """Prints a script that makes a shell complete the commands, their options and file names; then exits."""

    def __call__(self, parser: argparse.ArgumentParser, _namespace: object, shell: object, *_: object) -> NoReturn:
        import shtab

        for action in _actions(parser):
            if action.type is Path or action.metavar in FILES:
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
