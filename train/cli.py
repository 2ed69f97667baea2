"""The training commands. Only the module of the command that runs is imported.

Ctrl-C keeps finished folds.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Final

from realtime_mer.commandline import Parser
from realtime_mer.console import finish

# name: (module, help). A module has ``add(parser)``, which declares the arguments and sets ``run``.
COMMANDS: Final = {
    "datasets": (
        "train.datasets.command",
        "List data sets: where to request them, whether they are here and complete",
    ),
    "init": ("train.commands.init", "Create a table for your own clips, and a recipe that trains on it"),
    "check": ("train.commands.check", "Check a table of your own clips, row by row"),
    "reproduce": ("train.reproduce.command", "Reproduce the tables of a paper, as published and without its leaks"),
    "fit": ("train.commands.fit", "Train one model on all of a recipe's data; resumes after an interruption"),
    "evaluate": ("train.commands.evaluate", "Train and test a recipe fold by fold; resumes after an interruption"),
    "report": ("train.report", "Write an HTML page about a run or a reproduction"),
    "compare": ("train.compare", "Compare networks, linear models and recipes on the same clips"),
    "choose": ("train.commands.choose", "Choose among variations of a recipe by nested cross-validation"),
    "card": ("train.card", "Write a model card from an evaluation and its controls"),
    "early": ("train.commands.early", "Fit and test when a movement is reported before its end"),
    "default": ("train.commands.default", "Evaluate, train and describe the shipped recognizer"),
}


def main(argv: Sequence[str]) -> int:
    """Runs a command; returns its exit code, or that of the MerError whose line was printed."""

    def command() -> int:
        arguments = parser(argv[:1]).parse_args(argv)
        return int(arguments.run(arguments))

    return finish(
        command, "python -m train", "interrupted; finished folds are kept: run the same command again to continue"
    )


def parser(names: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The command line. All commands are listed; only those of these names get their arguments, as torch is slow to
    import."""
    top = Parser(
        prog="python -m train",
        description="Trains and tests recognizers, and reproduces papers.",
        epilog="Run `python -m train COMMAND --help` for a command's options.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, about) in COMMANDS.items():
        command = commands.add_parser(name, help=about)
        if name in names:
            import_module(module).add(command)
    return top
