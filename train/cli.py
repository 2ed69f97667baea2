"""The training commands. Each lives in its own module and is imported only when asked for.

Ctrl-C keeps finished folds.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from realtime_mer.console import finish
from realtime_mer.errors import ConfigError
from train.cli_options import add_common, prepare_torch

if TYPE_CHECKING:
    from train.inputs import Prepared
    from train.recipe import Recipe

UNSURE: Final = 0.5  # a network that was not calibrated names a class only when it is likelier than all others together

USAGE: Final = """usage: python -m train COMMAND ...

  datasets                       every data set: what it is, where to ask for it, whether it is here and whole
  reproduce PAPER                the tables of a paper beside ours, as published and clean
  fit RECIPE.toml                train one model on all the recipe's data; resumes after an interruption
  evaluate RECIPE.toml           train and test fold by fold: --protocol loso|megc2019|...; resumes
  report RUN                     a page (HTML) about a run or a reproduction
  compare [RECIPE.toml ...]      networks, linear models and recipes on the same clips, in one table
  default                        train the shipped recogniser

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
        "default": _default,
    }


def _datasets(argv: Sequence[str]) -> int:
    from train.datasets import command

    return command(argv)


def _reproduce(argv: Sequence[str]) -> int:
    from train.reproduce import command

    return command(argv)


def _report(argv: Sequence[str]) -> int:
    from train.report import command

    return command(argv)


def _compare(argv: Sequence[str]) -> int:
    from train.compare import command

    return command(argv)


def _default(argv: Sequence[str]) -> int:
    from train.recogniser.default import main as train_default

    return int(train_default(list(argv)) or 0)


def _prepare(args: argparse.Namespace) -> tuple[Recipe, Prepared]:
    """Recipe and inputs that ``fit`` and ``evaluate`` have in common."""
    from train import gather, inputs, recipe

    prepare_torch(args)
    plan = recipe.load(args.recipe)
    plan = dataclasses.replace(plan, input=gather.usual_input(plan.input, plan.model.name))
    if args.seed is not None:
        plan = dataclasses.replace(plan, seed=args.seed)
    clips = gather.gather(plan.data, args.data)
    labels = gather.class_list(clips, plan.data)
    data = inputs.prepare(clips, labels, plan.data.scheme, plan.input, args.out / "cache", args.quiet)
    for line in data.skipped:
        print(f"left out: {line}", file=sys.stderr)
    return plan, data


def _start(plan: Recipe, data: Prepared, args: argparse.Namespace) -> dict | None:
    from train import pretrain

    return pretrain.start(plan, data.labels, args.data, args.out / "cache", args.device, args.quiet)


def _parser(name: str, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m train {name}", description=about)
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    add_common(parser)
    return parser


def _fit(argv: Sequence[str]) -> int:
    from tqdm import tqdm

    from realtime_mer.recognise.spec import ModelSpec
    from train import checkpoint, evaluate, fit, models
    from train.runs import commit

    parser = _parser("fit", "Trains one model on all clips of the recipe's data and writes OUT/NAME/model.pt.")
    args = parser.parse_args(argv)
    plan, data = _prepare(args)
    folder = args.out / plan.name
    model = evaluate.fresh(plan, len(data.labels), _start(plan, data, args))
    total = sum(stage.epochs for stage in plan.stage)
    with tqdm(total=total, desc=plan.name, unit="epoch", disable=args.quiet) as bar:

        def watch(line: fit.Epoch, _model: object) -> None:
            bar.update()
            bar.set_postfix(loss=f"{line.loss:.3f}", accuracy=f"{line.accuracy:.3f}")

        snapshot = folder / f"fit-{plan.fingerprint()}.pt"
        curves = fit.fit(
            model, data.samples, plan.stage, classes=len(data.labels), seed=plan.seed, validation=plan.validation,
            device=args.device, snapshot=snapshot, watch=watch,
        )  # fmt: skip
    options = evaluate.model_options(plan)
    shape = models.input_shape(plan.model.name, plan.input.size)
    spec = ModelSpec(
        plan.name, "1", data.labels, plan.input.feature, shape, training_data=plan.data.name, abstain_below=UNSURE,
        protocol="trained on all clips; see evaluate for its scores", commit=commit(),
        created=datetime.now(UTC).date().isoformat(),
    )  # fmt: skip
    state = {key: tensor.cpu() for key, tensor in model.state_dict().items()}
    checkpoint.save(folder / "model.pt", plan.model.name, options, state, spec)
    snapshot.unlink(missing_ok=True)
    last = curves[-1]
    print(
        f"{folder / 'model.pt'}: {plan.model.name}, {models.parameters(model)} parameters, {len(data.samples)} clips, "
        f"training loss {last.loss:.3f}, training accuracy {last.accuracy:.3f} (of no worth for new people: evaluate)"
    )
    return 0


def _evaluate(argv: Sequence[str]) -> int:
    from train import evaluate, metrics

    parser = _parser("evaluate", "Trains and tests fold by fold; finished folds are kept in OUT/NAME-PROTOCOL.")
    parser.add_argument(
        "--protocol", choices=evaluate.PROTOCOLS, default="loso", metavar="P", help=", ".join(evaluate.PROTOCOLS)
    )
    parser.add_argument(
        "--groups", type=int, default=0, metavar="N", help="join the subjects of LOSO in N groups: cheaper"
    )
    args = parser.parse_args(argv)
    plan, data = _prepare(args)
    protocol = evaluate.PROTOCOLS[args.protocol]
    folds = protocol.make(data.clips, plan.data.scheme, plan.seed)
    if args.groups:
        if not (protocol.clean and protocol.once):
            raise ConfigError(f"--groups joins subjects: not for the protocol {args.protocol}")
        folds = evaluate.merged(folds, args.groups)
    folder = args.out / f"{plan.name}-{args.protocol}"
    run = evaluate.evaluate(
        plan, data, folds, folder, protocol=args.protocol, clean=protocol.clean, once=protocol.once,
        start=_start(plan, data, args), device=args.device, quiet=args.quiet,
    )  # fmt: skip
    intervals = metrics.bootstrap(run.truth, run.probabilities, run.groups, run.labels)
    print(metrics.render(run.scores, intervals))
    fitted = metrics.calibration(run.truth, run.probabilities)
    print(f"\nECE {fitted.ece:.3f}, negative log-likelihood {fitted.nll:.3f}, {len(folds)} folds, {run.seconds:.0f} s")
    if not protocol.clean:
        print("This protocol leaks: the same person, or the same clip, is trained on and tested.")
    print(f"python -m train report {folder}")
    return 0
