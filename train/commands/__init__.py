"""The commands that train. What they share is reading a recipe's data."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from realtime_mer.errors import DataError
from train import capture, checks, gather, heads, inputs, models, pretrain, protocols, recipe, still
from train.cli_options import add_common, prepare_torch
from train.evaluate import knows
from train.inputs import Prepared
from train.recipe import Recipe
from train.records import Clip


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """RECIPE.toml, --seed and --leave-out, and the options of every command that trains."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml", help="recipe to train (docs/training.md)")
    parser.add_argument("--seed", type=int, help="random seed (default: the recipe's)")
    parser.add_argument("--leave-out", metavar="LIST", help="leave out these subjects, e.g. sub03,casme2/sub08")
    add_common(parser)


def read(args: argparse.Namespace) -> tuple[Recipe, Prepared]:
    """Recipe and inputs, without the subjects of ``--leave-out``. Prints what is left out or doubtful to standard
    error."""
    return prepared(recipe.load(args.recipe), args)


def prepared(plan: Recipe, args: argparse.Namespace) -> tuple[Recipe, Prepared]:
    """As ``read``, for a recipe that is already loaded."""
    prepare_torch(args)
    plan = checks.completed(plan, str(args.recipe))
    known = knows(plan)
    if args.seed is not None:
        plan = dataclasses.replace(plan, seed=args.seed)
    found = gather.joined(plan.data, args.data)
    labels = gather.class_list(found.clips, plan.data)
    keep = models.kept(plan.model.name, plan.model.unit_motion)
    data = inputs.prepare(
        found, labels, plan.data.scheme, plan.input, args.out / "cache", args.quiet, keep=keep, twins=plan.data.twins
    )
    if plan.capture is not None:
        data = capture.added(data, plan.capture, plan.input, plan.seed, args.out / "cache", args.quiet, keep)
    if plan.none is not None:
        made = still.make(data.clips, plan.none, plan.seed, args.out / "cache", args.quiet, keep)
        data = dataclasses.replace(data, pairs=made, skipped=(*data.skipped, *made.skipped))
    for line in data.skipped:
        print(f"left out: {line}", file=sys.stderr)
    if same := protocols.namesakes(data.clips, known):
        print(
            f"warning: the weights were trained on {same[0]}; make sure that {same[1]} is another person",
            file=sys.stderr,
        )
    if plan.pretrain is None:  # otherwise ``start`` warns about all clips together
        _warn(data.clips)
    return without(plan, data, left_out(args)) if left_out(args) else (plan, data)


def head_data(plan: Recipe, args: argparse.Namespace) -> list[heads.HeadData]:
    """Training data of the recipe's heads, without the subjects of ``--leave-out``."""
    found = []
    for head in plan.head:
        made = heads.prepare(head, plan.input, args.data, args.out / "cache", args.quiet)
        kept = [i for i, group in enumerate(made.groups) if not _is_named(group, left_out(args))]
        found.append(made.take(kept))
    return found


def start(plan: Recipe, data: Prepared, args: argparse.Namespace) -> pretrain.Start | None:
    """The recipe's pre-training, without the subjects of ``--leave-out``."""
    made = pretrain.start(plan, data.labels, args.data, args.out / "cache", args.device, args.quiet)
    if made is not None:
        _warn((*data.clips, *made.macro.clips))
    if made is None or not left_out(args):
        return made
    kept = [i for i, group in enumerate(made.macro.samples.groups) if not _is_named(group, left_out(args))]
    return dataclasses.replace(made, macro=made.macro.take(kept))


def _warn(clips: Sequence[Clip]) -> None:
    for doubt in protocols.doubts(clips):
        print(f"warning: {doubt}", file=sys.stderr)


def left_out(args: argparse.Namespace) -> list[str]:
    """The subjects of ``--leave-out``; none for commands without that option."""
    given: str | None = getattr(args, "leave_out", None)
    return given.split(",") if given else []


def without(plan: Recipe, data: Prepared, subjects: Sequence[str]) -> tuple[Recipe, Prepared]:
    """Recipe and data without some people, for scoring recordings that show them.

    subjects: names in any data set, or data set and name. The recipe is renamed, so that no scores of another selection
    are reused. Raises DataError when a subject is unknown, or was in the training data of the starting weights.
    """
    if unknown := [subject for subject in subjects if not any(_is_named(g, [subject]) for g in data.samples.groups)]:
        raise DataError(f"no clips of {', '.join(unknown)} to leave out")
    if known := [person for person in knows(plan) if _is_named(person, subjects)]:
        raise DataError(f"{plan.model.weights} was trained on {known[0]}, who is to be left out")
    kept = [i for i, group in enumerate(data.samples.groups) if not _is_named(group, subjects)]
    name = "-".join(subject.replace("/", "-") for subject in subjects)
    return dataclasses.replace(plan, name=f"{plan.name}-without-{name}"), data.take(kept)


def _is_named(group: str, subjects: Sequence[str]) -> bool:
    """Whether one of the names, with or without the data set, means this person, such as casme2/sub01."""
    return group in subjects or group.split("/")[-1] in subjects
