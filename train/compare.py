"""``python -m train compare``: compares candidates for the default recognizer on the same clips.

Appearance or motion, large network or small: leave-one-subject-out with a fixed last epoch; nothing is chosen on tested
people. It is a reduced comparison for two CPU cores and an hour: few epochs, small pictures, subjects tested in groups,
as the table says. Finished folds are kept below ``--out``. Recipes on the command line become further rows. The papers
are reproduced in ``train.reproduce``.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import hog
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from realtime_mer.bench.results import processor
from realtime_mer.errors import ConfigError, DataError
from train import evaluate, gather, maps, metrics, models, recipe, runs
from train.cli_options import add_data
from train.folds import fresh
from train.inputs import Prepared, prepare, resize
from train.protocols import Fold, check, loso
from train.recipe import Data, Input, Model, Recipe, Stage
from train.records import THREE
from train.samples import Samples

LEVELS: Final = 128.0  # gray levels of a public map that become 1; maps are scaled to their own extremes, about +-128
PICTURE: Final = 64  # px of a static apex crop
MAP, OWN = 28, 128  # px of a public map and of own flow
# regularization of the linear rows, chosen inside each fold's training subjects
CS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
INNER: Final = 5  # folds of the training subjects for that choice
SHOWN: Final = (slice(*maps.ROWS), slice(*maps.COLUMNS))  # part of the aligned face that the public maps show
GRID: Final = 7  # blocks per side; their means are features of a linear row
ORIENTATIONS: Final = 8  # of a histogram of optical flow
WARM, TIMED = 20, 300  # single answers before timing starts, and timed
LARGE: Final = Stage(epochs=6, batch=32, rate=1e-3, balance="equal", augment=("flip-motion", "shift"))
LONG: Final = dataclasses.replace(LARGE, epochs=12)  # CASME II alone has a third of the clips
PICTURES: Final = dataclasses.replace(LARGE, epochs=4, augment=("flip", "shift"))
SHALLOW: Final = Stage(epochs=30, batch=110, rate=5e-3)  # as selection-quick.toml


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table. plan: None for the linear rows. groups: number of groups to test the subjects in, 0: one by
    one."""

    clips: str
    input: str
    network: str
    plan: Recipe | None = None
    groups: int = 0


LINEAR: Final = "linear"
MEGC, CASME = "MEGC2019", "CASME II"
FEATURE: Final = {"static": models.APEX, "motion": models.FLOW}


def network(
    clips: str, kind: str, name: str, model: str, size: int, stage: Stage, groups: int = 0, weights: str = "none"
) -> Entry:
    """The row of a network of ``train.models``, on inputs of ``size`` px."""
    how = Input(FEATURE[kind], size)
    return Entry(clips, kind, name, Recipe(name, Data(clips), Model(model, weights), (stage,), how, seed=1), groups)


ENTRIES: Final = (
    Entry(MEGC, "static", LINEAR, groups=17),
    network(MEGC, "static", "Efficient-ME-Lite, ImageNet", "efficient-me-lite", 64, PICTURES, 6, "imagenet"),
    Entry(MEGC, "motion", LINEAR),
    network(MEGC, "motion", "STSTNet", "ststnet", 28, SHALLOW, 17),
    network(MEGC, "motion", "OFF-ApexNet", "off-apexnet", 28, LARGE, 17),
    network(MEGC, "motion", "Efficient-ME", "efficient-me", 48, LARGE, 6),
    network(MEGC, "motion", "MobileNet-v3-small", "mobilenet-v3-small", 48, LARGE, 6),
    Entry(CASME, "motion", LINEAR),
    network(CASME, "motion", "STSTNet", "ststnet", 28, SHALLOW),
    network(CASME, "motion", "Efficient-ME", "efficient-me", 48, LONG, 6),
    network(CASME, "motion", "MobileNet-v3-small", "mobilenet-v3-small", 48, LONG, 6),
)
# Appearance and motion together: the mean of the probabilities of two rows, so that nothing is fitted.
PAIRS: Final = (("Efficient-ME-Lite, ImageNet", "Efficient-ME"), (LINEAR, LINEAR))


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A tested entry. keys, truth, probabilities, groups: one per clip, in the order of the keys. latency: p50, ms."""

    clips: str
    input: str
    network: str
    keys: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    groups: tuple[str, ...]
    size: str = ""
    folds: str = ""
    parameters: int = 0
    latency: float = 0.0


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("recipes", nargs="*", type=Path, metavar="RECIPE.toml", help="recipes to add as rows")
    add_data(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/compare"),
        metavar="DIR",
        help="keep finished folds here (default: %(default)s)",
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="NAME",
        help="row to compare the others with (default: the first recipe, or linear)",
    )
    parser.add_argument("--quiet", action="store_true", help="hide progress bars")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Trains what ``--out`` does not hold yet and prints the table. Returns 0; raises MerError."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    plans = [recipe.load(file) for file in options.recipes]
    entries = [*ENTRIES, *(entry for plan in plans for entry in added(plan))]
    against = options.against or (plans[0].name if plans else LINEAR)
    if against not in {entry.network for entry in entries}:
        raise ConfigError(f"no row is named {against!r}: give --against the name of a network or recipe in the table")
    inputs = read(options.data, options.out / "cache", options.quiet)
    rows = [tested(entry, inputs, options.out, options.quiet) for entry in entries]
    print(render([*rows, *both(rows, [*PAIRS, *((LINEAR, plan.name) for plan in plans)])], against))
    return 0


def added(plan: Recipe) -> list[Entry]:
    """The rows of a recipe: its network, stages and input, on the clips of the table, each subject alone.

    Raises ConfigError for a recipe that the clips do not fit.
    """
    plan = dataclasses.replace(plan, input=gather.usual_input(plan.input, plan.model.name))
    where = {models.APEX: [(MEGC, "static")], models.FLOW: [(MEGC, "motion"), (CASME, "motion")]}
    if plan.input.feature not in where:
        raise ConfigError(f"{plan.name}: compare supports {' and '.join(where)}, not {plan.input.feature}")
    if plan.pretrain is not None:
        raise ConfigError(f"{plan.name}: compare does not support [pretrain]: use evaluate")
    return [
        Entry(clips, kind, plan.name, dataclasses.replace(plan, data=Data(clips)))
        for clips, kind in where[plan.input.feature]
    ]


def read(data: Path, cache: Path, quiet: bool) -> dict[tuple[str, str], Prepared]:
    """Inputs by clips and kind: apex images uint8; motion float32, 0 at rest, own flow in px."""
    pictures = prepare(gather.one("megc2019", data), THREE, "3", Input(models.APEX, PICTURE), cache, quiet)
    flows = prepare(gather.one("megc2019-maps", data), THREE, "3", Input(models.MAPS, MAP), cache, quiet)
    listed = {clip.key for clip in flows.clips}
    # Where one of the three key frames is not annotated, the public map may show other frames.
    clips = [
        clip
        for clip in gather.one("casme2", data)
        if clip.key in listed and None not in (clip.onset, clip.apex, clip.offset)
    ]
    own = prepare(clips, THREE, "3", Input(models.FLOW, OWN), cache, quiet)
    still = np.median(flows.samples.x, axis=(2, 3), keepdims=True)
    moved = ((flows.samples.x - still) / LEVELS).astype(np.float32)
    return {
        (MEGC, "static"): pictures,
        (MEGC, "motion"): dataclasses.replace(flows, samples=dataclasses.replace(flows.samples, x=moved)),
        (CASME, "motion"): own,
    }


def tested(entry: Entry, inputs: dict[tuple[str, str], Prepared], out: Path, quiet: bool) -> Row:
    """The row of an entry, trained now or read from ``out``."""
    data, plan = inputs[entry.clips, entry.input], entry.plan
    folds = evaluate.merged(loso(data.clips), entry.groups or len(data.clips))
    name = "-".join((entry.clips, entry.input, entry.network)).lower()
    where = out / "".join(c if c.isalnum() else "-" for c in name)
    if plan is not None:
        size = str(plan.input.size)
        data = fitting(data, plan)
        run = evaluate.evaluate(plan, data, folds, where, protocol="loso", quiet=quiet)
        keys, truth, probabilities, groups = run.keys, run.truth, run.probabilities, run.groups
        parameters, answer = _network(plan)
    else:
        size = str(PICTURE) if entry.input == "static" else ""
        data = dataclasses.replace(data, samples=dataclasses.replace(data.samples, x=features(data.samples.x)))
        keys, truth, groups = tuple(clip.key for clip in data.clips), data.samples.y, data.samples.groups
        probabilities = runs.softmax(_kept(where / "linear.json", data, folds))
        parameters, answer = _line(data)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return Row(
        entry.clips, entry.input, entry.network, tuple(keys[i] for i in order), truth[order], probabilities[order],
        tuple(groups[i] for i in order), size, str(len(folds)), parameters, _median_ms(answer),
    )  # fmt: skip


def both(rows: Sequence[Row], pairs: Sequence[tuple[str, str]] = PAIRS) -> Iterator[Row]:
    """The mean probabilities of a static and a motion row on the same clips, for each available pair of names."""
    named = {(row.input, row.network): row for row in rows if row.clips == MEGC}
    for first, second in pairs:
        if ("static", first) not in named or ("motion", second) not in named:
            continue
        a, b = named["static", first], named["motion", second]
        assert a.keys == b.keys, "the rows of a pair must have tested the same clips"
        yield dataclasses.replace(
            b, input="both", network=f"{first} + {second}", probabilities=(a.probabilities + b.probabilities) / 2,
            size="", folds="", parameters=a.parameters + b.parameters, latency=a.latency + b.latency,
        )  # fmt: skip


def fitting(data: Prepared, plan: Recipe) -> Prepared:
    """The samples as input of the recipe's network: at its size, or reduced to what it uses of motion on the aligned
    face."""
    keep, x = models.kept(plan.model.name, plan.model.unit_motion), data.samples.x
    if keep is None:
        return resized(data, plan.input.size)
    on_face = np.stack([maps.placed(sample) for sample in x]) if x.shape[2] == MAP else x
    return dataclasses.replace(data, samples=dataclasses.replace(data.samples, x=keep(on_face)))


def resized(data: Prepared, size: int) -> Prepared:
    """The samples at another size in px; displacements are unchanged."""
    x = data.samples.x
    if x.shape[2] == size:
        return data
    small = np.stack([resize(s.transpose(1, 2, 0), size).transpose(2, 0, 1) for s in x])
    return dataclasses.replace(data, samples=Samples(small, data.samples.y, data.samples.groups))


def features(x: NDArray[Any]) -> NDArray[np.float64]:
    """Features of a linear row, (N, K). Pictures: HOG of 8 px cells. Motion: 7 x 7 block means of u and v, and
    histograms of 8 orientations in 3 x 3 cells, each scaled to length one."""
    if x.dtype == np.uint8:
        grays = [cv2.cvtColor(np.ascontiguousarray(s.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY) for s in x]
        return np.stack([hog(gray, pixels_per_cell=(8, 8), cells_per_block=(2, 2)) for gray in grays])
    flow = x[:, :2].astype(np.float64)
    means = _block_means(flow[:, :, *SHOWN] if x.shape[2] == OWN else flow)
    histograms = np.stack([_histograms(u, v) for u, v in flow])
    return np.concatenate([_unit(means.reshape(len(x), -1)), _unit(histograms)], axis=1)


def _block_means(flow: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of GRID x GRID equal blocks, (N, 2, GRID, GRID)."""
    n, planes, height, width = flow.shape
    means: NDArray[np.float64] = flow.reshape(n, planes, GRID, height // GRID, GRID, width // GRID).mean(axis=(3, 5))
    return means


def _histograms(u: NDArray[np.float64], v: NDArray[np.float64], cells: int = 3) -> NDArray[np.float64]:
    """Magnitudes summed by orientation and cell, (cells * cells * ORIENTATIONS,)."""
    turn = (np.arctan2(v, u) / (2 * np.pi) % 1 * ORIENTATIONS).astype(int) % ORIENTATIONS
    place = np.arange(len(u)) * cells // len(u)
    index = (place[:, None] * cells + place[None, :]) * ORIENTATIONS + turn
    return np.asarray(np.bincount(index.ravel(), np.hypot(u, v).ravel(), cells * cells * ORIENTATIONS), np.float64)


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-9))


Answer = Callable[[], object]
Logits = NDArray[np.float64]


def _network(plan: Recipe) -> tuple[int, Answer]:
    """The number of parameters, and a function that runs one sample through torch. Weights do not change the time."""
    module = fresh(plan, len(THREE)).eval()
    x = torch.randn(1, *models.input_shape(plan.model.name, plan.input.size))

    def answer() -> object:
        with torch.inference_mode():
            return module(x)

    return models.parameters(module), answer


def _line(data: Prepared) -> tuple[int, Answer]:
    """A function that runs one sample through scikit-learn, since there is no exporter here; without the time of the
    features."""
    model = _regression().fit(data.samples.x, data.samples.y)
    coefficients = model[-1]
    return coefficients.coef_.size + coefficients.intercept_.size, lambda: model.predict_proba(data.samples.x[:1])


def _regression() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=CS[0], class_weight="balanced", max_iter=2000))


def _linear(known: Prepared, held: Prepared) -> Logits:
    """Logits; the regularization is chosen by macro-F1 on folds of the training subjects."""
    search = GridSearchCV(_regression(), {"logisticregression__C": CS}, scoring="f1_macro", cv=GroupKFold(INNER)).fit(
        known.samples.x, known.samples.y, groups=known.samples.groups
    )
    return np.asarray(search.decision_function(held.samples.x))


def _kept(file: Path, data: Prepared, folds: Sequence[Fold]) -> Logits:
    """Logits of the linear model for each clip, (N, classes), from a model that has not seen its subject.

    Cached in ``file`` as a whole, since a fold takes moments; recomputed for other clips or settings.
    """
    identity = [repr(CS), [clip.key for clip in data.clips], [list(fold.test) for fold in folds]]
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["identity"] == identity:
            return np.array(stored["logits"])
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} cannot be read ({error}): delete it") from None
    check(folds, data.clips)
    logits = np.zeros((len(data.clips), len(data.labels)))
    for fold in folds:
        logits[list(fold.test)] = _linear(data.take(fold.train), data.take(fold.test))
    runs.store(file, {"identity": identity, "logits": logits.tolist()})
    return logits


def _median_ms(answer: Answer) -> float:
    times = []
    for turn in range(WARM + TIMED):
        begin = time.perf_counter()
        answer()
        if turn >= WARM:
            times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1e3


def render(rows: Sequence[Row], against: str) -> str:
    """One Markdown table for each set of clips, with class counts and the majority predictor, and what each row loses
    against the row named ``against`` by paired resampling of subjects."""
    parts = [f"{datetime.date.today().isoformat()}; {processor()}; one thread; p50 of one sample, as trained (torch)."]
    for clips in dict.fromkeys(row.clips for row in rows):
        parts += ["", *_table([row for row in rows if row.clips == clips], against)]
    return "\n".join(parts)


def _table(rows: Sequence[Row], against: str) -> list[str]:
    first = rows[0]
    named = [row for row in rows if row.network == against]
    reference = next((row for row in named if row.input == "motion"), named[0] if named else None)
    counts = ", ".join(f"{n} {label}" for n, label in zip(np.bincount(first.truth), THREE, strict=True))
    base = metrics.trivial(first.truth, THREE)["majority"]
    lines = [
        f"{first.clips}, {len(first.keys)} clips of {len(set(first.groups))} subjects: {counts}",
        "",
        f"| input | network | px | folds | parameters | p50 ms | UF1 | UAR | UF1 of {against} minus this |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| none | the most common class | | | 0 | | {base.uf1:.3f} | {base.uar:.3f} | |",
    ]
    for row in sorted(rows, key=lambda row: ("static", "motion", "both").index(row.input)):
        found = metrics.bootstrap(row.truth, row.probabilities, row.groups, THREE)
        lost = ""
        if reference is not None and row is not reference and row.keys == reference.keys:
            pair = metrics.compare(row.truth, row.probabilities, reference.probabilities, row.groups, THREE)["UF1"]
            lost = f"{pair.value:+.3f} ({pair.low:+.3f} to {pair.high:+.3f})"
        cells = [f"{i.value:.3f} ({i.low:.3f}-{i.high:.3f})" for i in (found["UF1"], found["UAR"])]
        lines.append(
            f"| {row.input} | {row.network} | {row.size} | {row.folds} | {row.parameters:,} | {row.latency:.3f} "
            f"| {cells[0]} | {cells[1]} | {lost} |"
        )
    return lines
