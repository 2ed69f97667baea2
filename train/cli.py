"""The training commands. Each lives in its own module and is imported only when asked for.

Ctrl-C keeps finished folds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from realtime_mer.console import finish
from realtime_mer.errors import ConfigError

USAGE: Final = """usage: python -m train COMMAND ...

  datasets                       every data set: what it is, where to ask for it, whether it is here and whole
  reproduce PAPER                the tables of a paper beside ours, as published and clean
  fit RECIPE.toml                train one model on all the recipe's data; resumes after an interruption
  evaluate RECIPE.toml           train and test fold by fold: --protocol loso|megc2019|...; resumes
  report RUN                     a page (HTML) about a run or a reproduction
  compare [RECIPE.toml ...]      networks, linear models and recipes on the same clips, in one table
  card RUN                       a model card (Markdown) about an evaluation and its controls
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
    command = _commands().get(argv[0])
    if command is None:
        raise ConfigError(f"unknown command {argv[0]!r}: use one of {', '.join(_commands())}")
    return command(argv[1:])


def _commands() -> dict[str, Callable[[Sequence[str]], int]]:
    return {
        "datasets": _datasets,
        "reproduce": _reproduce,
        "fit": _fit,
        "evaluate": _evaluate,
        "report": _report,
        "compare": _compare,
        "card": _card,
        "default": _default,
    }


def _datasets(argv: Sequence[str]) -> int:
    from train.datasets import command

    return command(argv)


def _reproduce(argv: Sequence[str]) -> int:
    from train.reproduce import command

    return command(argv)


def _fit(argv: Sequence[str]) -> int:
    from train.commands.fit import command

    return command(argv)


def _evaluate(argv: Sequence[str]) -> int:
    from train.commands.evaluate import command

    return command(argv)


def _card(argv: Sequence[str]) -> int:
    from train.card import command

    return command(argv)


def _report(argv: Sequence[str]) -> int:
    from train.report import command

    return command(argv)


def _compare(argv: Sequence[str]) -> int:
    from train.compare import command

    return command(argv)


def _default(argv: Sequence[str]) -> int:
    from train.commands.default import command

    return command(argv)
