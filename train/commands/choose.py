"""``python -m train choose``: nested cross-validation of a choice among variations of a recipe.

A design is the recipe or a variation of it. The people are divided into outer parts. For each part, the design is
chosen in an inner split of all other people, and then tested on the part. The pooled score is that of the whole
procedure: nobody tested took part in the choice. The recipe itself is tested on the same parts, for comparison.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import ConfigError
from realtime_mer.progress import bar
from train import commands, evaluate, fit, metrics, protocols
from train.folds import fresh
from train.inputs import Prepared
from train.nested import parts
from train.protocols import Fold
from train.recipe import Recipe, from_table
from train.runs import store

CLEAN: Final = "own recording"  # the samples as they are, beside the conditions of ``Prepared.moved``


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    commands.add_recipe(parser)
    parser.add_argument(
        "--vary", action="append", default=[], metavar="KEY=A,B,...", required=True,
        help="values to try, e.g. stage.weight_decay=1,3,10; repeatable: every combination is tried",
    )  # fmt: skip
    parser.add_argument(
        "--also", action="append", default=[], metavar="CONDITION",
        help='choose by the mean UF1 of the original clips and a tested condition, e.g. "H.264 crf 23, 30 fps"',
    )  # fmt: skip
    parser.add_argument(
        "--outer", type=int, default=8, metavar="N", help="number of outer folds, to test on (default: 8)"
    )
    parser.add_argument(
        "--inner",
        type=int,
        default=5,
        metavar="N",
        help="number of inner folds, to choose by (default: 5)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what was chosen and how well the choice does. Returns 0. Raises MerError."""
    designs = varied(args.recipe, args.vary)
    made = [commands.prepared(design, args) for design in designs]
    if unknown := [name for name in args.also if name not in made[0][1].moved]:
        raise ConfigError(
            f"--also: {unknown[0]!r} is no tested condition: {', '.join(made[0][1].moved) or 'there is none'}"
        )
    folder = args.out / f"{made[0][0].name}-choose"
    found = chosen(made, (CLEAN, *args.also), args.outer, args.inner, folder, args.device, args.quiet)
    print(render(found, [name for name, _ in _labeled(args.vary)]))
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """picked: the design chosen for each outer part. tested: by condition, logits (N, K) of the chosen designs and of
    the first one, on people unknown to choice and training; recordings only, if there are any. truth, groups: of the
    rows."""

    designs: tuple[Recipe, ...]
    picked: tuple[int, ...]
    tested: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    truth: NDArray[np.int64]
    groups: tuple[str, ...]
    labels: tuple[str, ...]


def varied(file: Path, vary: Sequence[str]) -> list[Recipe]:
    """The recipe itself and then every combination of the variations that differs from it. Raises ConfigError."""
    from train import recipe

    plain = recipe.load(file)
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    keys, values = zip(*_labeled(vary), strict=True)
    found = {plain.fingerprint(): plain}
    for combination in itertools.product(*values):
        changed = json.loads(json.dumps(table))
        for key, value in zip(keys, combination, strict=True):
            _set(changed, key, value)
        design = from_table(changed, f"{file} with {', '.join(map(str, combination))}")
        found.setdefault(design.fingerprint(), design)
    return list(found.values())


def chosen(
    made: Sequence[tuple[Recipe, Prepared]], by: Sequence[str], outer: int, inner: int, folder: Path, device: str,
    quiet: bool,
) -> Found:  # fmt: skip
    """Chooses and tests; finished trainings are kept in ``folder``.

    Raises ConfigError when the designs are not about the same clips, DataError when weights know who is tested.
    """
    plain, data = made[0]
    folds = _folds(made, outer)
    main = data.own if data.own.any() else np.ones(len(data.clips), np.bool_)
    first = {name: np.zeros((len(data.clips), len(data.labels))) for name in by}
    itself = {name: logits.copy() for name, logits in first.items()}
    picked = []
    with bar(len(folds) * (len(made) * inner + 2), "choose", "trainings", quiet=quiet) as shown:
        for fold in folds:
            known, held = np.array(fold.train), np.array(fold.test)
            within = parts([data.samples.groups[i] for i in known], inner, plain.seed)
            scores = []
            for plan, prepared in made:
                answers = {name: np.zeros((len(known), len(data.labels))) for name in by}
                for j in sorted(set(within.tolist())):
                    ours = within == j
                    _answer(answers, ours, _trained(plan, prepared, known[~ours], known[ours], by, folder, device))
                    shown.advance()
                truth, mine = data.samples.y[known][main[known]], main[known]
                scores.append(np.mean([metrics.score(truth, answers[name][mine], data.labels).uf1 for name in by]))
            picked.append(int(np.argmax(scores)))
            for design, into in ((picked[-1], first), (0, itself)):
                _answer(into, held, _trained(*made[design], known, held, by, folder, device))
                shown.advance()
    return Found(
        tuple(plan for plan, _ in made), tuple(picked), {name: (first[name][main], itself[name][main]) for name in by},
        data.samples.y[main], tuple(np.asarray(data.samples.groups)[main].tolist()), data.labels,
    )  # fmt: skip


def _folds(made: Sequence[tuple[Recipe, Prepared]], outer: int) -> list[Fold]:
    """The outer parts, checked for leaks as before every training."""
    plain, data = made[0]
    keys = [clip.key for clip in data.clips]
    if any([clip.key for clip in other.clips] != keys or other.labels != data.labels for _, other in made):
        raise ConfigError("--vary: every design must be about the same clips and classes")
    if any(plan.pretrain is not None for plan, _ in made):
        raise ConfigError("choose takes no recipe with [pretrain]")
    which = parts(data.samples.groups, outer, plain.seed)
    folds = [
        Fold(f"part {k + 1}", tuple(np.flatnonzero(which != k).tolist()), tuple(np.flatnonzero(which == k).tolist()))
        for k in sorted(set(which.tolist()))
    ]
    protocols.check(folds, data.clips)
    for plan, _ in made:
        protocols.check_weights(folds, data.clips, evaluate.knows(plan))
    return folds


def _answer(into: dict[str, NDArray[np.float64]], where: NDArray[Any], part: dict[str, Any]) -> None:
    for name, logits in into.items():
        if len(part[name]):
            logits[where] = part[name]


def render(found: Found, keys: Sequence[str]) -> str:
    """How often each design was chosen, and their scores beside those of the recipe itself."""
    lines = []
    for design, count in Counter(found.picked).most_common():
        text = ", ".join(f"{key} = {_get(found.designs[design], key)}" for key in keys)
        lines.append(f"chosen {count} times: {text}" + (" (the recipe itself)" if design == 0 else ""))
    for name, (first, plain) in found.tested.items():
        own = metrics.bootstrap(found.truth, first, found.groups, found.labels)["UF1"]
        itself = metrics.bootstrap(found.truth, plain, found.groups, found.labels)["UF1"]
        against = metrics.compare(found.truth, plain, first, found.groups, found.labels)["UF1"]
        lines.append(f"{name}: UF1 {own} chosen inside; {itself} the recipe itself; difference {against}")
    return "\n".join(lines)


def _trained(
    plan: Recipe, data: Prepared, known: NDArray[np.int64], asked: NDArray[np.int64], by: Sequence[str], folder: Path,
    device: str,
) -> dict[str, Any]:  # fmt: skip
    """Logits by condition for ``asked``, of a network trained on ``known``; cached by content."""
    identity = json.dumps([plan.fingerprint(), known.tolist(), asked.tolist(), [clip.key for clip in data.clips]])
    file = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:20]}.json"
    if not file.exists():
        model = fresh(plan, len(data.labels))
        fit.fit(
            model, data.samples.take(known), plan.stage, classes=len(data.labels), seed=plan.seed,
            validation=plan.validation, device=device,
        )  # fmt: skip
        inputs = {CLEAN: data.samples.x, **data.moved}
        store(file, {name: fit.predict(model, inputs[name][asked], device).tolist() for name in by})
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _labeled(vary: Sequence[str]) -> list[tuple[str, list[Any]]]:
    found = []
    for text in vary:
        key, equals, values = text.partition("=")
        try:
            if not equals:
                raise ValueError
            found.append((key, tomllib.loads(f"values = [{values}]")["values"]))
        except ValueError:
            raise ConfigError(f"--vary {text}: give a key and its values, e.g. stage.rate=0.003,0.01") from None
    return found


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    """Sets a value in nested tables; in a list of tables (``stage``), in each."""
    first, dot, rest = key.partition(".")
    if not dot:
        table[first] = value
        return
    for part in table[first] if isinstance(table.get(first), list) else [table.setdefault(first, {})]:
        _set(part, rest, value)


def _get(found: Any, key: str) -> Any:
    for name in key.split("."):
        found = getattr(found[0] if isinstance(found, tuple) else found, name)
    return found
