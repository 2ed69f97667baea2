"""``python -m train evaluate``: trains and tests a recipe fold by fold, or one of the controls of its scores."""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from realtime_mer.errors import ConfigError, DataError
from realtime_mer.tables import table
from train import calibration, commands, describe, evaluate, heads, metrics
from train.cli_options import add_jobs
from train.inputs import Prepared
from train.recipe import Recipe
from train.runs import Run


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.description = "Train and test a recipe fold by fold. Finished folds are kept in OUT/NAME-PROTOCOL."
    commands.add_recipe(parser)
    parser.add_argument(
        "--protocol",
        choices=evaluate.PROTOCOLS,
        default="loso",
        metavar="P",
        help=f"{', '.join(evaluate.PROTOCOLS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--groups", type=int, default=0, metavar="N", help="test LOSO's subjects in N groups, which is faster"
    )
    parser.add_argument(
        "--permute", type=int, default=0, metavar="SEED",
        help="control: shuffle the labels within each data set; any score above chance is then not due to motion",
    )  # fmt: skip
    parser.add_argument(
        "--without-maps", action="store_true", help="control: train and test on recordings only, without flow maps"
    )
    add_jobs(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the evaluation and prints its scores. Returns 0. Raises MerError."""
    plan, data = commands.read(args)
    command = f"python -m train evaluate {args.recipe.name}\npython -m train fit {args.recipe.name}"
    options = Options(args.protocol, args.groups, args.permute, args.without_maps)
    show(measure(plan, data, args, options, command))
    print(f"python -m train report {args.out / options.folder(plan)}")
    return 0


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure: a protocol, or a control. groups: number of groups to join the subjects in, 0: one by one.
    permute: seed of a shuffle of the labels, 0: none. without_maps: recordings only."""

    protocol: str = "loso"
    groups: int = 0
    permute: int = 0
    without_maps: bool = False

    @property
    def control(self) -> str:
        """Description of the control; empty for the plain protocol."""
        parts = ["trained without public maps"] if self.without_maps else []
        return ", ".join(parts + ([f"permuted labels, shuffle {self.permute}"] if self.permute else []))

    def folder(self, plan: Recipe) -> str:
        permuted = f"-permuted-{self.permute}" if self.permute else ""
        maps = "-without-maps" if self.without_maps else ""
        return f"{plan.name}-{self.protocol}{maps}{permuted}"


def measure(plan: Recipe, data: Prepared, args: argparse.Namespace, options: Options, command: str = "") -> Run:
    """Runs one evaluation into its folder below ``args.out``. Controls are not calibrated.

    command: how to reproduce the model, for the card.
    """
    rule = evaluate.PROTOCOLS[options.protocol]
    if options.without_maps:
        data = recordings_only(data, plan)
    if options.permute:
        data = permuted(data, options.permute)
    folds = rule.make(data.clips, plan.data.scheme, plan.seed)
    if options.groups:
        if not (rule.clean and rule.once):
            raise ConfigError(
                f"--groups needs a protocol that tests every person once, which {options.protocol} does not"
            )
        folds = evaluate.merged(folds, options.groups)
    scored = options.protocol in describe.MEASURED and not options.control
    if not scored:
        data = replace(data, pairs=None)  # a control tests the classes only
    else:
        heads.measure(
            commands.head_data(plan, args), args.out / options.folder(plan), options.groups, plan.fingerprint()
        )
    return evaluate.evaluate(
        plan, data, folds, args.out / options.folder(plan), protocol=options.protocol, clean=rule.clean, once=rule.once,
        start=commands.start(plan, data, args), device=args.device, quiet=args.quiet,
        jobs=args.jobs, calibrate=plan.calibrate if scored else None,
        about={"control": options.control, "command": command},
    )  # fmt: skip


def show(run: Run) -> None:
    """Prints the scores of a run."""
    main = run.main
    truth, probabilities = run.truth[main], run.probabilities[main]
    intervals = metrics.bootstrap(truth, probabilities, np.asarray(run.groups)[main].tolist(), run.labels)
    print(metrics.render(metrics.score(truth, probabilities, run.labels), intervals, table))
    if not main.all():
        every = metrics.score(run.truth, run.probabilities, run.labels)
        print(
            f"\nabove: the {main.sum()} clips of own motion; all {len(main)}: UF1 {every.uf1:.3f}, UAR {every.uar:.3f}"
        )
    found = calibration.calibration(truth, probabilities)
    folds = len(set(run.folds))
    print(f"\nECE {found.ece:.3f}, negative log-likelihood {found.nll:.3f}, {folds} folds, {run.seconds:.0f} s")
    if run.calibrated is not None:
        print(
            f"{100 * run.calibrated.answered[main].mean():.0f} % answered; temperature and threshold from other people"
        )
    if not evaluate.PROTOCOLS[run.protocol].clean:
        print("This protocol leaks: the same person, or the same clip, is trained on and tested.")


def recordings_only(data: Prepared, plan: Recipe) -> Prepared:
    """The recordings, without public maps, also among the views. Raises DataError when nothing is left."""
    if not data.own.any():
        raise DataError("--without-maps: this recipe's data are public maps only")
    found = data.take(np.flatnonzero(data.own).tolist())
    own = found.samples.views
    if own is not None:  # own views, those of the public maps, those of other cameras
        first, captured = len(plan.input.views), plan.capture.views if plan.capture else 0
        own = np.concatenate([own[:, :first], own[:, own.shape[1] - captured :]], axis=1)
    return replace(found, samples=replace(found.samples, views=own))


def permuted(data: Prepared, seed: int) -> Prepared:
    """The data with labels shuffled within each data set, so that only the class counts can be learned."""
    random = np.random.default_rng(seed)
    members: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(data.clips):
        members[clip.dataset].append(i)
    y = data.samples.y.copy()
    for positions in members.values():
        y[positions] = y[random.permutation(positions)]
    return replace(data, samples=replace(data.samples, y=y))
