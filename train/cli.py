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

  datasets                       every data set: what it is, where to ask for it, whether it is here and whole
  init DIR                       a table for your own clips and a recipe; --from makes rows of what is there
  check TABLE.csv                what is wrong with a table of your own clips, by row
  reproduce PAPER                the tables of a paper beside ours, as published and clean
  fit RECIPE.toml                train one model on all the recipe's data; resumes after an interruption
  evaluate RECIPE.toml           train and test fold by fold: --protocol loso|megc2019|...; resumes
  report RUN                     a page (HTML) about a run or a reproduction
  compare [RECIPE.toml ...]      networks, linear models and recipes on the same clips, in one table
  choose RECIPE.toml             choose among variations inside the training people, and test that way of choosing
  card RUN                       a model card (Markdown) about an evaluation and its controls
  early                          when a movement may be reported before its end, and what that costs
  default                        score, train and describe the shipped recogniser

python -m train COMMAND --help tells more."""


def main(argv: Sequence[str]) -> int:
    """Runs a command; gives the exit code."""
    kept = "stopped; finished folds are kept: the same command goes on from there"
    return finish(lambda: _run(argv), "python -m train", kept)


def _run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if argv[0] not in COMMANDS:
        raise ConfigError(f"unknown command {argv[0]!r}: use one of {', '.join(COMMANDS)}")
    return int(import_module(COMMANDS[argv[0]]).command(argv[1:]))
