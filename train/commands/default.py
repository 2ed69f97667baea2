"""``python -m train default``: scores the shipped recognizer's recipe with its controls, then fits it.

It runs ``evaluate``, ``fit`` and ``card`` of ``train/recipes/default.toml``; finished parts are reused.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from train import card, commands
from train.cli_options import add_common, add_jobs
from train.commands import evaluate, fit
from train.commands.evaluate import Options

RECIPE: Final = Path(__file__).parents[1] / "recipes" / "default.toml"
COMMAND: Final = "python -m train default --data DATA\npython -m export onnx runs/flow-default/model.pt"
CONTROL: Final = 17  # groups of subjects in a shuffle; a quarter of the trainings
SHUFFLES: Final = (1, 2, 3)


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.description = (
        "Evaluate the shipped recognizer's recipe with its controls, train it, and write its model card."
    )
    parser.add_argument("--seed", type=int, help="random seed (default: the recipe's)")
    add_common(parser)
    add_jobs(parser)
    parser.set_defaults(run=run, recipe=RECIPE)


def run(args: argparse.Namespace) -> int:
    """Runs what is not finished yet. Returns 0. Raises MerError."""
    make(args)
    return 0


def make(args: argparse.Namespace) -> None:
    """Evaluates, fits and writes the card. args: those of ``commands.read`` and ``evaluate.measure``."""
    plan, data = commands.read(args)
    evaluate.show(evaluate.measure(plan, data, args, Options(), COMMAND))
    controls = [Options(groups=CONTROL, permute=shuffle) for shuffle in SHUFFLES]
    for control in (Options(without_maps=True), Options("leave-one-dataset-out"), *controls):
        evaluate.measure(plan, data, args, control)
    file = fit.model(plan, data, args)
    print(card.write(args.out / f"{plan.name}-loso", file.with_name("card.md")))
