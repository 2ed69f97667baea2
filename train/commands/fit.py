"""``python -m train fit``: trains one model on all clips of a recipe, and takes its scores from an evaluation of the
same recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from realtime_mer.progress import bar
from train import checkpoint, commands, describe, evaluate, fit, heads, models, none
from train.folds import fresh, model_options
from train.inputs import Prepared
from train.models.coding import WithHeads
from train.models.none import WithNone
from train.recipe import Recipe


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.description = (
        "Train one model on all clips of a recipe's data and write OUT/NAME/model.pt. Temperature, abstention "
        "threshold and scores come from an evaluation of the same recipe, if OUT holds one."
    )
    commands.add_recipe(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains and writes the model file. Returns 0. Raises MerError."""
    model(*commands.read(args), args)
    return 0


def model(plan: Recipe, data: Prepared, args: argparse.Namespace) -> Path:
    """Trains and writes the model file; returns its path."""
    known = evaluate.knows(plan)
    folder, start = args.out / plan.name, commands.start(plan, data, args)
    network = fresh(plan, len(data.labels), start.weights() if start else None)
    total = sum(stage.epochs for stage in plan.stage)
    snapshot = folder / f"fit-{plan.fingerprint()}.pt"
    with bar(total, plan.name, "epochs", quiet=args.quiet) as shown:

        def watch(line: fit.Epoch, _model: object) -> None:
            shown.advance(note=line.words)

        curves = fit.fit(
            network, data.samples, plan.stage, classes=len(data.labels), seed=plan.seed, validation=plan.validation,
            device=args.device, snapshot=snapshot, watch=watch,
        )  # fmt: skip
    people = (*known, *(start.people if start else ()))
    run = describe.evaluated(plan, data, args.out)
    file: Path = folder / "model.pt"
    options = model_options(plan)
    if plan.none is not None:
        network = WithNone(network, none.gate(data, range(len(data.clips)), plan.none))
        options["none"] = True
    taught = commands.head_data(plan, args)
    if taught:
        options["heads"] = [(one.plan.name, len(one.labels), one.each) for one in taught]
        network = WithHeads(network, options["heads"])
        for one in taught:
            network.heads[one.plan.name] = heads.fit(one, range(len(one.clips)))
        people = (*people, *(group for one in taught for group in one.groups))
    coded = [heads.spec(one, describe.of_head(plan, run, one, args.out)) for one in taught]
    state = {key: tensor.cpu() for key, tensor in network.state_dict().items()}
    checkpoint.save(file, plan.model.name, options, state, describe.spec(plan, data, run, people, coded))
    snapshot.unlink(missing_ok=True)
    last = curves[-1]
    print(
        f"{file}: {plan.model.name}, {models.parameters(network)} parameters, {len(data.samples)} clips, "
        f"training loss {last.loss:.3f}, training accuracy {last.accuracy:.3f}"
    )
    if run is None:
        print(
            "The model has no scores and no calibration for new people: run `evaluate` with this recipe, then "
            "`fit` again."
        )
    print(f"python -m export onnx {file}")
    return file
