"""Runs a recipe over the folds of a protocol, and keeps every finished fold. ``train.metrics`` computes the scores.

Each fold starts from the same fresh network (the same seed, so that no fold depends on another), and ``fit`` gets the
training clips only. Two faults of published code can be reproduced by name: "best-on-test" (the epoch is chosen by the
test subject) and "carry-over" (the network is not reset between folds).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from realtime_mer.batch.engine import in_processes, in_turn
from realtime_mer.errors import ConfigError, MerError
from realtime_mer.progress import bar
from train import estimate, fit, looks, models, none, protocols
from train.folds import Plan, begin, fresh, training
from train.inputs import Prepared
from train.models import weights
from train.nested import nested
from train.protocols import Fold
from train.recipe import Calibrate, Recipe
from train.records import Clip
from train.runs import Run, commit, store
from train.still import Pairs

if TYPE_CHECKING:
    from train.pretrain import Start

FAULTS: Final = ("best-on-test", "carry-over")


@dataclass(frozen=True, slots=True)
class Protocol:
    """make: (clips, scheme, seed) -> folds. clean: no person on both sides. once: every clip is tested exactly once."""

    make: Callable[[Sequence[Clip], str, int], list[Fold]]
    clean: bool = True
    once: bool = True


PROTOCOLS: Final[dict[str, Protocol]] = {
    "loso": Protocol(lambda clips, _scheme, _seed: protocols.loso(clips)),
    "megc2019": Protocol(lambda clips, _scheme, _seed: protocols.megc2019_cde(clips)),
    "megc2018-hde": Protocol(lambda clips, _scheme, _seed: protocols.megc2018_hde(clips)),
    "megc2018-cde": Protocol(lambda clips, _scheme, _seed: protocols.megc2018_cde(clips)),
    "kfold": Protocol(lambda clips, scheme, seed: protocols.kfold(clips, scheme, seed=seed), clean=False),
    "frame-split": Protocol(lambda clips, _s, seed: protocols.frame_split(clips, seed=seed), clean=False, once=False),
    "subject-split": Protocol(lambda clips, _scheme, seed: protocols.subject_split(clips, seed=seed), once=False),
    "balanced": Protocol(
        lambda clips, scheme, seed: protocols.balanced_split(clips, scheme, seed=seed), clean=False, once=False
    ),
    "leave-one-dataset-out": Protocol(lambda clips, _scheme, _seed: protocols.leave_one_dataset_out(clips)),
    "official": Protocol(lambda clips, _scheme, _seed: protocols.official_split(clips), clean=False, once=False),
}


def evaluate(
    recipe: Recipe,
    data: Prepared,
    folds: Sequence[Fold],
    out: Path,
    *,
    protocol: str,
    clean: bool = True,
    once: bool = True,
    faults: tuple[str, ...] = (),
    start: Start | None = None,
    device: str = "cpu",
    quiet: bool = False,
    jobs: int = 1,
    calibrate: Calibrate | None = None,
    about: dict[str, Any] | None = None,
) -> Run:
    """Trains and tests every fold that ``out`` does not hold yet, and returns the pooled run.

    start: pre-training; each fold starts from weights trained without its test people. clean, once: properties of the
    protocol, checked before training. jobs: processes that share the folds; with more than one, each trains with one
    thread. calibrate: how temperatures and thresholds are found from other people; None: not at all. Needs clean and
    once. Raises ConfigError when ``out`` holds another run, DataError when the folds violate the protocol, MerError
    when folds failed; the others are kept.
    """
    if unknown := set(faults) - set(FAULTS):
        raise ConfigError(f"unknown fault {sorted(unknown)[0]!r}: choose from {', '.join(FAULTS)}")
    protocols.check(folds, data.clips, subject_disjoint=clean, once=once)
    if clean:
        protocols.check_weights(folds, data.clips, knows(recipe))
    _open(out, recipe, data, folds, protocol, faults, start, about or {})
    if jobs > 1 and "carry-over" in faults:
        raise ConfigError("carry-over passes the network from fold to fold: the folds cannot run in parallel")
    _train(Plan(recipe, data, folds, out, faults, start, device), jobs, quiet)
    run = _close(out, recipe, data, folds)
    return run if calibrate is None else _calibrate(out, recipe, calibrate, data, run, start, device, quiet)


def knows(recipe: Recipe) -> tuple[str, ...]:
    """The people (``Clip.group``) that the recipe's starting weights were trained on.

    Raises ConfigError when the file of weights does not say and the recipe does not vouch for it.
    """
    people = weights.people(recipe.model.weights)
    if people is None and recipe.model.weights_know != "nobody":
        raise ConfigError(
            f"{recipe.model.weights} does not say who it was trained on: set model.weights_know to 'nobody' if "
            "none of the tested people is among them"
        )
    return people or ()


def merged(folds: Sequence[Fold], into: int) -> list[Fold]:
    """Joins folds that test different people into ``into`` larger ones of about equal size: faster, and equally
    clean."""
    if into >= len(folds):
        return list(folds)
    everyone = sorted({i for fold in folds for i in (*fold.train, *fold.test)})
    bins: list[list[int]] = [[] for _ in range(into)]
    for fold in sorted(folds, key=lambda f: (-len(f.test), f.name)):
        min(bins, key=len).extend(fold.test)
    return [
        Fold(f"group {k + 1}", tuple(i for i in everyone if i not in set(test)), tuple(sorted(test)))
        for k, test in enumerate(bins)
    ]


def _train(plan: Plan, jobs: int, quiet: bool) -> None:
    """Runs every fold that has no file yet. A fold that fails does not stop the others."""
    missing = [number for number in range(len(plan.folds)) if not plan.file(number).exists()]
    failed: list[str] = []
    alone = jobs <= 1 or len(missing) <= 1
    if missing:
        recipe, data, labels = plan.recipe, plan.data, len(plan.data.labels)
        estimate.tell(
            f"{recipe.name}, {len(missing)} folds", partial(fresh, recipe, labels),
            data.samples, plan.folds[missing[0]].train, recipe.stage, labels, plan.device,
            times=len(missing) / (1 if alone else jobs), threads=0 if alone else 1,
        )  # fmt: skip
    total, done = (number * plan.epochs for number in (len(plan.folds), len(plan.folds) - len(missing)))
    with bar(total, plan.recipe.name, "epochs", done=done, quiet=quiet) as shown:

        def watch(fold: str, line: fit.Epoch) -> None:
            shown.advance(note=f"fold {fold}, {line.words}")

        if not alone:  # most folds share their pre-training, which two processes must not do twice
            for number in missing:
                begin(plan.start, plan.data, plan.folds[number].train)
        found = (
            in_turn(partial(training, plan, watch=watch), missing)
            if alone
            else in_processes(partial(training, plan, threads=1), missing, jobs)
        )
        for number, fold in enumerate(found, len(plan.folds) - len(missing) + 1):
            if fold.error:
                failed.append(f"{plan.folds[fold.task].name}: {fold.error}")
            shown.reach(number * plan.epochs)  # it stopped early, or ran in another process
    if failed:
        rest = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise MerError(f"a fold failed: {failed[0]}{rest}; run the same command again for what is missing")


def _open(
    out: Path, recipe: Recipe, data: Prepared, folds: Sequence[Fold], protocol: str, faults: tuple[str, ...],
    start: Start | None, about: dict[str, Any],
) -> None:  # fmt: skip
    """Writes the description of the run, or checks that the folder holds the same one."""
    identity = {
        "recipe": recipe.fingerprint(),
        "protocol": protocol,
        "faults": list(faults),
        "start": None if start is None else start.identity,
        "folds": [[fold.name, list(fold.test), len(fold.train)] for fold in folds],
        "keys": [clip.key for clip in data.clips],
        "labels": list(data.labels),
    }
    if content := weights.identity(recipe.model.weights):
        identity["weights"] = content
    file = out / "identity.json"
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")) != identity:
            raise ConfigError(f"{out} holds a run with other settings or data: choose another --out, or delete it")
    else:
        store(file, identity)
    plain = {
        "recipe": asdict(recipe), "fingerprint": recipe.fingerprint(), "commit": commit(), "torch": torch.__version__,
        "weights": weights.identity(recipe.model.weights), "skipped": list(data.skipped),
        "parameters": models.parameters(fresh(recipe, len(data.labels))),
    }  # fmt: skip
    store(out / "about.json", {**plain, "protocol": protocol, "faults": list(faults), **about})


def _close(out: Path, recipe: Recipe, data: Prepared, folds: Sequence[Fold]) -> Run:
    """Pools the folds and stores the whole run in one file."""
    parts = [json.loads((out / "folds" / f"{n:03d}.json").read_text(encoding="utf-8")) for n in range(len(folds))]
    tested = [i for part in parts for i in part["test"]]
    about = json.loads((out / "about.json").read_text(encoding="utf-8"))
    with_best = all(part["best"] is not None for part in parts)
    stored = {
        "name": recipe.name,
        "protocol": about["protocol"],
        "labels": list(data.labels),
        "truth": [int(data.samples.y[i]) for i in tested],
        "logits": [row for part in parts for row in part["logits"]],
        "best": [row for part in parts for row in part["best"]] if with_best else None,
        "keys": [data.clips[i].key for i in tested],
        "groups": [data.clips[i].group for i in tested],
        "folds": [part["name"] for part in parts for _ in part["test"]],
        "curves": [part["curves"] for part in parts],
        "seconds": sum(part["seconds"] for part in parts),
        "about": about,
        "own": data.own[tested].tolist(),
        "moved": {name: [row for part in parts for row in part["moved"][name]] for name in data.moved},
        "none": None if data.pairs is None else [p for part in parts for p in part["none"]],
        "pairs": None if data.pairs is None else _pairs(data.pairs, data.clips, parts),
        "calibrated": None,
        "looks": None,
    }
    if all(part.get("looks") for part in parts):
        truth = [data.samples.y[part["test"]] for part in parts]
        stored["looks"] = looks.joined([part["looks"] for part in parts], truth)
    store(out / "run.json", stored)
    (out / "carried.pt").unlink(missing_ok=True)
    return Run.from_plain(stored)


def _pairs(pairs: Pairs, clips: Sequence[Clip], parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The pooled answers to the pairs of tested clips."""
    tested = [i for part in parts for i in part["pairs"]]
    return {
        "keys": [clips[pairs.clips[i]].key for i in tested],
        "kinds": [pairs.kinds[i] for i in tested],
        "still": pairs.still[tested].tolist(),
        "logits": [row for part in parts for row in part["pair logits"]],
        "none": [p for part in parts for p in part["pair none"]],
    }


def _calibrate(
    out: Path, recipe: Recipe, how: Calibrate, data: Prepared, run: Run, start: Start | None, device: str,
    quiet: bool,
) -> Run:  # fmt: skip
    """The run with nested probabilities, which replaces the stored one."""
    row = {key: i for i, key in enumerate(run.keys)}
    order = [row[clip.key] for clip in data.clips]  # of the clips in the run

    def answer(known: Sequence[int], asked: Sequence[int]) -> NDArray[np.float32]:
        model = fresh(recipe, len(data.labels), begin(start, data, known))
        fit.fit(
            model, data.samples.take(known), recipe.stage, classes=len(data.labels), seed=recipe.seed,
            validation=recipe.validation, device=device,
        )  # fmt: skip
        return fit.predict(model, data.samples.take(asked).x, device)

    def nothing(known: Sequence[int], asked: Sequence[int]) -> NDArray[np.float64]:
        if recipe.none is None or not len(none.taught(data).of(known)):
            return np.zeros(len(asked))  # a part of few people may have no recording to learn from
        return none.of_samples(none.gate(data, known, recipe.none), data, asked)

    found = nested(
        how, data.samples.y, data.samples.groups, run.main[order], run.logits[order], answer,
        recipe.seed, out / "calibrate", quiet,
        None if run.none is None else run.none[order], None if run.none is None else nothing,
    )  # fmt: skip
    stored = json.loads((out / "run.json").read_text(encoding="utf-8"))
    stored["calibrated"] = {
        "probabilities": found.probabilities[np.argsort(order)].tolist(),
        "answered": found.answered[np.argsort(order)].tolist(),
        "decided": found.decided[np.argsort(order)].tolist(),
    }
    store(out / "run.json", stored)
    return Run.from_plain(stored)
