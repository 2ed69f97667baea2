"""Writes docs/commands.md and docs/settings.md from the command lines themselves and the settings' own descriptions.

python docs/reference.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

from drawn import table

import export.__main__
import train.cli
from realtime_mer import cli
from realtime_mer.config import Config

DOCS: Final = Path(__file__).resolve().parent
COMMANDS: Final = """# Commands

<!-- written by docs/reference.py -->

Each command prints the same with `--help`. There are three programs: `realtime-mer`,
`python -m train` and `python -m export`; the last two are at the end of this page.
[Exit codes](results.md#how-a-command-ends) are the same for all.
"""
SETTINGS: Final = """# Settings

<!-- written by docs/reference.py -->

`realtime-mer config` prints all settings as TOML. Change one with `--set spot.onset_noise=8`, several with a file and
`--config FILE`. Times are in seconds; px are those of the aligned face, which is 128 px wide with 44 px between the
eyes, so that one set of values serves any frame rate and size. [How spotting works](spotting.md) explains the
terms.
"""


def commands(parser: argparse.ArgumentParser, level: int = 2) -> Iterator[str]:
    """A section for each command, those of a command below it."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for command in action.choices.values():
            yield f"{'#' * level} {command.prog.removeprefix('realtime-mer ')}\n"
            yield f"{command.description}\n"
            if rows := [row for part in command._actions if (row := option(part)) is not None]:
                yield "\n".join([*table(("argument", "meaning"), rows), ""])
            yield from commands(command, level + 1)


def option(action: argparse.Action) -> tuple[str, str] | None:
    """An argument and what it means; None for --help and for commands."""
    if isinstance(action, argparse._HelpAction | argparse._SubParsersAction | argparse._VersionAction):
        return None
    metavar = action.metavar if isinstance(action.metavar, tuple) else (action.metavar or action.dest.upper(),)
    values = "" if action.nargs == 0 else " " + " ".join(metavar)
    if action.choices and action.metavar is None:
        values = " " + "|".join(map(str, action.choices))
    name = f"{', '.join(action.option_strings)}{values}".strip()
    return f"`{name}`", (action.help or "") % {"default": action.default, "prog": "realtime-mer"}


def programs() -> tuple[argparse.ArgumentParser, ...]:
    """The three command lines."""
    return cli.parser(), train.cli.parser(), export.__main__.parser()


def settings() -> Iterator[str]:
    """A table for each section of the settings."""
    for section in fields(Config):
        rows = []
        for setting in fields(type(default := getattr(Config(), section.name))):
            value = getattr(default, setting.name)
            rows.append((f"`{setting.name}`", plain(value), setting.metadata["unit"], setting.metadata["help"]))
        yield f"## {section.name}\n"
        yield "\n".join([*table(("setting", "default", "unit", "meaning"), rows), ""])


def plain(value: object) -> str:
    """A default as TOML has it."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def pages() -> dict[Path, str]:
    """The text of each page."""
    return {
        DOCS / "commands.md": "\n".join([COMMANDS, *(part for parser in programs() for part in commands(parser))]),
        DOCS / "settings.md": "\n".join([SETTINGS, *settings()]),
    }


def main() -> None:
    """Writes both pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
