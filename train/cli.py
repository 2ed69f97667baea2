"""The training commands. Each lives in its own module and is imported only when asked for.

Ctrl-C keeps finished folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Final

from realtime_mer.console import finish
from realtime_mer.errors import ConfigError

# Each module has a function ``command(argv)`` that runs it and gives the exit code.
COMMANDS: Final = {
    "datasets": "train.datasets",
    "reproduce": "train.reproduce",
    "init": "train.commands.init",
    "check": "train.commands.check",
    "fit": "train.commands.fit",
    "evaluate": "train.commands.evaluate",
    "report": "train.report",
    "card": "train.card",
    "compare": "train.compare",
    "choose": "train.commands.choose",
    "early": "train.commands.early",
    "default": "train.commands.default",
}

USAGE: Final = """usage: python -m train COMMAND ...

  datasets                       List data sets: where to request them, whether they are here and complete
  init DIR                       Create a table for your own clips, and a recipe; --from fills it from existing files
  check TABLE.csv                Check a table of your own clips, row by row
  reproduce PAPER                Reproduce the tables of a paper, as published and without its leaks
  fit RECIPE.toml                Train one model on all of the recipe's data; resumes after an interruption
  evaluate RECIPE.toml           Train and test fold by fold (--protocol loso|megc2019|...); resumes
  report RUN                     Write an HTML page about a run or a reproduction
  compare [RECIPE.toml ...]      Compare networks, linear models and recipes on the same clips
  choose RECIPE.toml             Choose among variations by nested cross-validation
  card RUN                       Write a model card from an evaluation and its controls
  early                          Fit and test when a movement is reported before its end
  default                        Evaluate, train and describe the shipped recognizer

Run `python -m train COMMAND --help` for a command's options."""


def main(argv: Sequence[str]) -> int:
    """Runs a command; gives the exit code."""
    kept = "stopped; finished folds are kept: the same command continues from there"
    return finish(lambda: _run(argv), "python -m train", kept)


def _run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if argv[0] not in COMMANDS:
        raise ConfigError(f"unknown command {argv[0]!r}: use one of {', '.join(COMMANDS)}")
    return int(import_module(COMMANDS[argv[0]]).command(argv[1:]))
