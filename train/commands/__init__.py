"""The commands that train: each module has a ``command(argv)``. What they share is reading a recipe's data."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from torch import Tensor

from train import gather, inputs, models, pretrain, recipe, still
from train.cli_options import add_common, prepare_torch
from train.inputs import Prepared
from train.recipe import Recipe


def parser(name: str, about: str) -> argparse.ArgumentParser:
    """For a command that takes a recipe."""
    made = argparse.ArgumentParser(prog=f"python -m train {name}", description=about)
    made.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    made.add_argument("--seed", type=int, help="instead of the recipe's")
    add_common(made)
    return made


def read(args: argparse.Namespace) -> tuple[Recipe, Prepared]:
    """Recipe and inputs; clips that are left out are told on stderr."""
    prepare_torch(args)
    plan = recipe.load(args.recipe)
    plan = dataclasses.replace(plan, input=gather.usual_input(plan.input, plan.model.name))
    if args.seed is not None:
        plan = dataclasses.replace(plan, seed=args.seed)
    found = gather.joined(plan.data, args.data)
    labels = gather.class_list(found.clips, plan.data)
    data = inputs.prepare(
        found, labels, plan.data.scheme, plan.input, args.out / "cache", args.quiet,
        keep=models.find(plan.model.name).keep, twins=plan.data.twins,
    )  # fmt: skip
    if plan.none is not None:
        models.check_none(plan.input.feature, plan.input.size)
        made = still.make(data.clips, plan.none, plan.seed, args.out / "cache", args.quiet)
        data = dataclasses.replace(data, pairs=made, skipped=(*data.skipped, *made.skipped))
    for line in data.skipped:
        print(f"left out: {line}", file=sys.stderr)
    return plan, data


def start(plan: Recipe, data: Prepared, args: argparse.Namespace) -> dict[str, Tensor] | None:
    """Weights from the recipe's pre-training."""
    return pretrain.start(plan, data.labels, args.data, args.out / "cache", args.device, args.quiet)
