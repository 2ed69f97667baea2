"""The commands that train: each module has a ``command(argv)``. What they share is reading a recipe's data."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from realtime_mer.errors import DataError
from train import gather, inputs, models, pretrain, recipe, still
from train.cli_options import add_common, prepare_torch
from train.inputs import Prepared
from train.recipe import Recipe


def parser(name: str, about: str) -> argparse.ArgumentParser:
    """For a command that takes a recipe."""
    made = argparse.ArgumentParser(prog=f"python -m train {name}", description=about)
    made.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    made.add_argument("--seed", type=int, help="instead of the recipe's")
    made.add_argument("--leave-out", metavar="LIST", help="subjects to leave out, e.g. sub03,casme2/sub08")
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
    return without(plan, data, args.leave_out.split(",")) if args.leave_out else (plan, data)


def start(plan: Recipe, data: Prepared, args: argparse.Namespace) -> dict[str, Tensor] | None:
    """Weights from the recipe's pre-training."""
    return pretrain.start(plan, data.labels, args.data, args.out / "cache", args.device, args.quiet)


def without(plan: Recipe, data: Prepared, subjects: Sequence[str]) -> tuple[Recipe, Prepared]:
    """Recipe and data without some people: for scoring recordings that show them. Raises DataError.

    subjects: names in any data set, or data set and name. The recipe gets a name of its own, so that no scores of
    another selection are taken over.
    """
    names = [{group, group.split("/")[-1]} for group in data.samples.groups]
    if unknown := [subject for subject in subjects if not any(subject in either for either in names)]:
        raise DataError(f"no clips of {', '.join(unknown)} to leave out")
    kept = [i for i, either in enumerate(names) if not either & set(subjects)]
    return dataclasses.replace(
        plan, name=f"{plan.name}-without-{'-'.join(s.replace('/', '-') for s in subjects)}"
    ), data.take(kept)
