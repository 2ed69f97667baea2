"""Runs a recipe over the folds of a protocol, and keeps every finished fold. Scores are ``train.metrics``' affair.

Each fold starts from the same fresh network (the same seed, so that no fold depends on another) and ``fit`` is given
the training clips only. The two faults that published code has are here, by name, so that they can be shown:
"best-on-test" (the epoch is chosen by the test subject) and "carry-over" (the network is not reset between folds).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from realtime_mer.errors import ConfigError, DataError
from train import checkpoint, fit, models, none, protocols
from train.inputs import Prepared
from train.models import weights
from train.nested import nested
from train.protocols import Fold
from train.recipe import Calibrate, Recipe
from train.records import Clip
from train.runs import Run, commit, store
from train.still import Pairs

if TYPE_CHECKING:
    from train.pretrain import Start  # which makes its networks here

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
    calibrate: Calibrate | None = None,
    about: dict[str, Any] | None = None,
) -> Run:
    """Trains and tests every fold that ``out`` does not hold yet, and gives the pooled run.

    start: pre-training; each fold starts from weights that know none of its test people.
    clean, once: what the protocol promises and the guard checks before training.
    calibrate: how temperatures and thresholds are found from other people; None: they are not. Needs clean and once.
    Raises ConfigError when ``out`` holds another run, DataError when the folds break a promise.
    """
    if unknown := set(faults) - set(FAULTS):
        raise ConfigError(f"unknown fault {sorted(unknown)[0]!r}: choose from {', '.join(FAULTS)}")
    protocols.check(folds, data.clips, subject_disjoint=clean, once=once)
    if clean:
        protocols.check_weights(folds, data.clips, knows(recipe))
    _open(out, recipe, data, folds, protocol, faults, start, about or {})
    model: nn.Module | None = None
    total = len(folds) * sum(stage.epochs for stage in recipe.stage)
    with tqdm(total=total, desc=recipe.name, unit="epoch", disable=quiet, smoothing=0.05) as bar:
        for number, fold in enumerate(folds):
            file, snapshot = out / "folds" / f"{number:03d}.json", out / "folds" / f"{number:03d}.pt"
            if file.exists():
                bar.update(sum(stage.epochs for stage in recipe.stage))
                continue
            if model is None or "carry-over" not in faults:
                model = fresh(recipe, len(data.labels), begin(start, data, fold.train))
                if "carry-over" in faults and (out / "carried.pt").exists():
                    model.load_state_dict(checkpoint.read(out / "carried.pt")["model"])
            _one(recipe, data, fold, model, file, snapshot, faults, device, bar)
            if "carry-over" in faults:
                checkpoint.write(out / "carried.pt", {"model": model.state_dict()})
    run = _close(out, recipe, data, folds)
    return run if calibrate is None else _calibrate(out, recipe, calibrate, data, run, start, device, quiet)


def knows(recipe: Recipe) -> tuple[str, ...]:
    """The people (``Clip.group``) that the recipe's initial weights were trained on.

    Raises ConfigError when they come from a file that does not say so and the recipe does not vouch for it.
    """
    people = weights.people(recipe.model.weights)
    if people is None and recipe.model.weights_know != "nobody":
        raise ConfigError(
            f"{recipe.model.weights} does not say whom it was trained on: set model.weights_know to 'nobody' if none "
            "of the tested people is among them"
        )
    return people or ()


def begin(start: Start | None, data: Prepared, known: Sequence[int]) -> dict[str, Tensor] | None:
    """Weights to start from that know nobody in ``data`` but those at the positions ``known``."""
    if start is None:
        return None
    allowed = {data.samples.groups[i] for i in known}
    return start.weights({group for group in data.samples.groups if group not in allowed})


def fresh(recipe: Recipe, classes: int, start: dict[str, Tensor] | None = None) -> nn.Module:
    """The network as every fold finds it: the same random or ImageNet weights, then those of ``start``."""
    torch.manual_seed(recipe.seed)
    model = models.create(recipe.model.name, classes, **model_options(recipe))
    if start:
        own = model.state_dict()
        fitting = {key: value for key, value in start.items() if key in own and own[key].shape == value.shape}
        if len(fitting) < len(own) // 2:
            raise DataError("the pre-trained weights do not fit this network")
        model.load_state_dict(fitting, strict=False)
    return model


def model_options(recipe: Recipe) -> dict[str, Any]:
    """Options of ``train.models.create`` that the recipe stands for."""
    m = recipe.model
    return {
        "feature": recipe.input.feature,
        "size": recipe.input.size,
        "weights": m.weights,
        "head": m.head,
        "stem": m.stem,
        "attention": m.attention,
        "unit_motion": m.unit_motion,
        "dropout": None if m.dropout < 0 else m.dropout,
    }


def merged(folds: Sequence[Fold], into: int) -> list[Fold]:
    """Joins folds that test different people into ``into`` larger ones of about equal size: cheaper, and as clean."""
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


def _one(
    recipe: Recipe, data: Prepared, fold: Fold, model: nn.Module, file: Path, snapshot: Path,
    faults: tuple[str, ...], device: str, bar: tqdm[Any],
) -> None:  # fmt: skip
    """One fold: train, test, store."""
    began = time.perf_counter()
    test = data.samples.take(fold.test)
    best_right, best_logits = -1, None

    def watch(line: fit.Epoch, now: nn.Module) -> None:
        nonlocal best_right, best_logits
        bar.update()
        bar.set_postfix(fold=fold.name, loss=f"{line.loss:.3f}", refresh=False)
        if "best-on-test" in faults:
            logits = fit.predict(now, test.x, device)
            right = int((logits.argmax(1) == test.y).sum())
            if right > best_right:
                best_right, best_logits = right, logits

    curves = fit.fit(
        model, data.samples.take(fold.train), recipe.stage, classes=len(data.labels), seed=recipe.seed,
        validation=recipe.validation, device=device, watch=watch,
        # What the leak saw before an interruption is not in a snapshot: such a fold starts anew.
        snapshot=None if "best-on-test" in faults else snapshot,
    )  # fmt: skip
    planned = sum(stage.epochs for stage in recipe.stage)
    bar.update(planned - len(curves))
    store(
        file,
        _nothing(recipe, data, fold, model, device)
        | {
            "name": fold.name,
            "test": list(fold.test),
            "logits": fit.predict(model, test.x, device).tolist(),
            "moved": {name: fit.predict(model, x[list(fold.test)], device).tolist() for name, x in data.moved.items()},
            "best": None if best_logits is None else best_logits.tolist(),
            "curves": [_plain(line) for line in curves],
            "seconds": time.perf_counter() - began,
        },
    )
    snapshot.unlink(missing_ok=True)


def _nothing(recipe: Recipe, data: Prepared, fold: Fold, model: nn.Module, device: str) -> dict[str, Any]:
    """What the fold's gate says of the tested clips, and of their pairs; empty without pairs."""
    if data.pairs is None or recipe.none is None:
        return {}
    gate = none.gate(data, fold.train, recipe.none)
    where = data.pairs.of(fold.test)
    return {
        "none": none.of_samples(gate, data, fold.test).tolist(),
        "pairs": where.tolist(),
        "pair logits": fit.predict(model, data.pairs.x[where], device).tolist() if len(where) else [],
        "pair none": none.probability(gate, data.pairs.cells[where]).tolist(),
    }


def _open(
    out: Path, recipe: Recipe, data: Prepared, folds: Sequence[Fold], protocol: str, faults: tuple[str, ...],
    start: Start | None, about: dict[str, Any],
) -> None:  # fmt: skip
    """Writes what the run is, or checks that the folder holds the same one."""
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
    }
    store(out / "run.json", stored)
    (out / "carried.pt").unlink(missing_ok=True)
    return Run.from_plain(stored)


def _pairs(pairs: Pairs, clips: Sequence[Clip], parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The pooled answers to the pairs of tested clips, as ``runs.TestedPairs`` has them."""
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
    """The run with nested probabilities, stored over it."""
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
            return np.zeros(len(asked))  # a part of few people may hold no recording to learn from
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


def _plain(line: fit.Epoch) -> dict[str, Any]:
    """As JSON has it: it knows no nan."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(line).items()
    }
