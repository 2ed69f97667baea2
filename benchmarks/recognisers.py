"""Which recogniser deserves to be the default: appearance or motion, large network or small, all on the same clips.

    python -m benchmarks.recognisers --data DATA --out RUNS

Every row is leave-one-subject-out with a fixed last epoch; nothing is chosen on tested people. It is a reduced
comparison (few epochs, small pictures, subjects tested in groups; the table says which), for two CPU cores and an hour.
Finished folds are kept below ``--out``. Reproducing the papers is ``train.reproduce``'s affair, the shipped file's own
measurement is ``python -m train default``.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
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

from export import to_onnx
from export.bench.measure import plain_session
from export.bench.tables import processor
from realtime_mer.errors import MerError
from realtime_mer.recognise.spec import ModelSpec
from train import evaluate, gather, metrics, models, runs
from train.inputs import Prepared, prepare, resize
from train.protocols import Fold, check, loso
from train.recipe import Data, Input, Model, Recipe, Stage
from train.recogniser import onnx_file, scoring
from train.recogniser.data import VIEWS, Motions, from_maps, join, with_maps
from train.recogniser.default import VERSION
from train.recogniser.network import CELLS, GRID, Fitting, cell_means
from train.records import THREE
from train.runs import Run
from train.samples import Samples

LEVELS: Final = 128.0  # grey levels of a public map that become 1: they are scaled to their own extremes, about +-128
PICTURE: Final = 64  # px of a static apex crop
MAP, OWN = 28, 128  # px of a public map and of own flow
CS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # strengths of the linear rows, chosen inside each fold's training subjects
INNER: Final = 5  # parts of the training subjects for that choice
ORIENTATIONS: Final = 8  # of a histogram of optical flow
WARM, TIMED = 20, 300  # single answers before the clock counts, and counted
LARGE: Final = Stage(epochs=6, batch=32, rate=1e-3, balance="equal", augment=("flip-motion", "shift"))
LONG: Final = dataclasses.replace(LARGE, epochs=12)  # CASME II alone has a third of the clips
PICTURES: Final = dataclasses.replace(LARGE, epochs=4, augment=("flip", "shift"))
SHALLOW: Final = Stage(epochs=30, batch=110, rate=5e-3)  # as selection-quick.toml


@dataclass(frozen=True, slots=True)
class Entry:
    """What one row trains. model: a key of ``train.models.MODELS``; empty for the linear and the default rows, which
    have no epochs. groups: parts in which the subjects are tested, 0: one by one."""

    clips: str
    input: str
    network: str
    model: str = ""
    size: int = 0
    stage: Stage | None = None
    groups: int = 0
    weights: str = "none"


LINEAR, DEFAULT, WITH_MAPS = "linear", "default", "default, maps in training"
MEGC, CASME = "MEGC2019", "CASME II"
ENTRIES: Final = (
    Entry(MEGC, "static", LINEAR, size=PICTURE, groups=17),
    Entry(MEGC, "static", "Efficient-ME-Lite, ImageNet", "efficient-me-lite", 64, PICTURES, 6, "imagenet"),
    Entry(MEGC, "motion", LINEAR),
    Entry(MEGC, "motion", "STSTNet", "ststnet", 28, SHALLOW, 17),
    Entry(MEGC, "motion", "OFF-ApexNet", "off-apexnet", 28, LARGE, 17),
    Entry(MEGC, "motion", "Efficient-ME", "efficient-me", 48, LARGE, 6),
    Entry(MEGC, "motion", "MobileNet-v3-small", "mobilenet-v3-small", 48, LARGE, 6),
    Entry(MEGC, "motion", DEFAULT),
    Entry(CASME, "motion", LINEAR),
    Entry(CASME, "motion", "STSTNet", "ststnet", 28, SHALLOW),
    Entry(CASME, "motion", "Efficient-ME", "efficient-me", 48, LONG, 6),
    Entry(CASME, "motion", "MobileNet-v3-small", "mobilenet-v3-small", 48, LONG, 6),
    Entry(CASME, "motion", DEFAULT),
    Entry(CASME, "motion", WITH_MAPS),
)
# Appearance and motion together: the mean of the probabilities of two rows, so that nothing is fitted.
PAIRS: Final = (("Efficient-ME-Lite, ImageNet", "Efficient-ME"), (LINEAR, LINEAR), (LINEAR, DEFAULT))


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A tested entry. keys, truth, probabilities, groups: one a clip, in the order of the keys. latency: p50, ms."""

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


def main(argv: Sequence[str] | None = None) -> int:
    """Trains what ``--out`` does not hold yet and prints the table. Returns the exit code; user errors are one line."""
    options = _parser().parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        inputs = read(options.data, options.out / "cache", options.quiet)
        rows = [tested(entry, inputs, options.out, options.quiet) for entry in ENTRIES]
    except MerError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(render([*rows, *both(rows)]))
    return 0


def read(data: Path, cache: Path, quiet: bool) -> dict[tuple[str, str], Prepared]:
    """Inputs by clips and kind: apex pictures uint8, motion float32 with 0 for rest; px for own flow."""
    pictures = prepare(gather.one("megc2019", data), THREE, "3", Input(models.APEX, PICTURE), cache, quiet)
    maps = prepare(gather.one("megc2019-maps", data), THREE, "3", Input(models.MAPS, MAP), cache, quiet)
    listed = {clip.key for clip in maps.clips}
    # A clip without one of the three key frames may show another's: see ``train.recogniser.data``.
    clips = [
        clip
        for clip in gather.one("casme2", data)
        if clip.key in listed and None not in (clip.onset, clip.apex, clip.offset)
    ]
    own = prepare(clips, THREE, "3", Input(models.FLOW, OWN), cache, quiet)
    still = np.median(maps.samples.x, axis=(2, 3), keepdims=True)
    moved = ((maps.samples.x - still) / LEVELS).astype(np.float32)
    return {
        (MEGC, "static"): pictures,
        (MEGC, "motion"): dataclasses.replace(maps, samples=dataclasses.replace(maps.samples, x=moved)),
        (CASME, "motion"): own,
    }


def tested(entry: Entry, inputs: dict[tuple[str, str], Prepared], out: Path, quiet: bool) -> Row:
    """The row of an entry, trained now or taken from ``out``."""
    data = inputs[entry.clips, entry.input]
    folds = evaluate.merged(loso(data.clips), entry.groups or len(data.clips))
    name = "-".join((entry.clips, entry.input, entry.network)).lower()
    where = out / "".join(c if c.isalnum() else "-" for c in name)
    if entry.stage is not None:
        data = resized(data, entry.size)
        plan = _plan(entry, entry.stage)
        run = evaluate.evaluate(plan, data, folds, where, protocol="loso", quiet=quiet)
        parameters, answer = _network(plan, data)
    elif entry.network == LINEAR:
        data = dataclasses.replace(data, samples=dataclasses.replace(data.samples, x=features(data.samples.x)))
        run = _kept(where, data, folds, repr(CS), _linear)
        parameters, answer = _line(data)
    else:
        motions, others = _motions(data), None
        if entry.network == WITH_MAPS:
            clips = inputs[MEGC, "motion"].clips
            others = from_maps([clip for clip in clips if clip.dataset != "casme2"])
            motions = with_maps(motions, [clip for clip in clips if clip.dataset == "casme2"])
        how = f"{VERSION} {Fitting()}"
        run = _kept(where, data, folds, how, lambda known, held: _default(motions, known, held, others))
        parameters, answer = _shipped(motions)
    order = sorted(range(len(run.keys)), key=run.keys.__getitem__)
    return Row(
        entry.clips, entry.input, entry.network, tuple(run.keys[i] for i in order), run.truth[order],
        run.probabilities[order], tuple(run.groups[i] for i in order), str(entry.size or ""),
        str(len(folds)), parameters, _median_ms(answer),
    )  # fmt: skip


def both(rows: Sequence[Row]) -> Iterator[Row]:
    """The pairs of ``PAIRS``: the mean of a static and a motion row's probabilities, over the same clips."""
    named = {(row.input, row.network): row for row in rows if row.clips == MEGC}
    for first, second in PAIRS:
        a, b = named["static", first], named["motion", second]
        assert a.keys == b.keys, "the rows of a pair must have tested the same clips"
        yield dataclasses.replace(
            b, input="both", network=f"{first} + {second}", probabilities=(a.probabilities + b.probabilities) / 2,
            size="", folds="", parameters=a.parameters + b.parameters, latency=a.latency + b.latency,
        )  # fmt: skip


def resized(data: Prepared, size: int) -> Prepared:
    """The same samples at another size in px; displacements stay as they are."""
    x = data.samples.x
    if x.shape[2] == size:
        return data
    small = np.stack([resize(s.transpose(1, 2, 0), size).transpose(2, 0, 1) for s in x])
    return dataclasses.replace(data, samples=Samples(small, data.samples.y, data.samples.groups))


def features(x: NDArray[Any]) -> NDArray[np.float64]:
    """What a linear row sees, (N, K). Pictures: HOG of 8 px cells. Motion: 7 x 7 block means of u and v, and histograms
    of 8 orientations in 3 x 3 cells, each scaled to length one."""
    if x.dtype == np.uint8:
        grays = [cv2.cvtColor(np.ascontiguousarray(s.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY) for s in x]
        return np.stack([hog(gray, pixels_per_cell=(8, 8), cells_per_block=(2, 2)) for gray in grays])
    flow = x[:, :2].astype(np.float64)
    cells = cell_means(x) if x.shape[2] == OWN else _pooled(flow, CELLS)
    means = _pooled(cells.astype(np.float64), GRID)
    histograms = np.stack([_histograms(u, v) for u, v in flow])
    return np.concatenate([_unit(means.reshape(len(x), -1)), _unit(histograms)], axis=1)


def _pooled(flow: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Means over squares, (N, 2, side, side)."""
    step = flow.shape[2] // side
    means: NDArray[np.float64] = flow.reshape(len(flow), 2, side, step, side, step).mean(axis=(3, 5))
    return means


def _histograms(u: NDArray[np.float64], v: NDArray[np.float64], cells: int = 3) -> NDArray[np.float64]:
    """Magnitudes summed by orientation and cell, (cells * cells * ORIENTATIONS,)."""
    turn = (np.arctan2(v, u) / (2 * np.pi) % 1 * ORIENTATIONS).astype(int) % ORIENTATIONS
    place = np.arange(len(u)) * cells // len(u)
    index = (place[:, None] * cells + place[None, :]) * ORIENTATIONS + turn
    return np.bincount(index.ravel(), np.hypot(u, v).ravel(), cells * cells * ORIENTATIONS)


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-9)


def _plan(entry: Entry, stage: Stage) -> Recipe:
    feature = models.APEX if entry.input == "static" else models.FLOW
    model = Model(entry.model, entry.weights)
    return Recipe(entry.network, Data(entry.clips), model, (stage,), Input(feature, entry.size), seed=1)


Answer = Callable[[], object]
Logits = NDArray[np.float64]


def _network(plan: Recipe, data: Prepared) -> tuple[int, Answer]:
    """Learnable values, and one sample through the exported file with one thread. Weights do not change the time."""
    module = evaluate.fresh(plan, len(THREE)).eval()
    spec = ModelSpec(plan.name, "timed", THREE, plan.input.feature, data.samples.x.shape[1:])
    model = to_onnx.to_proto(to_onnx.Probabilities(module, 1.0).eval(), spec)
    x = data.samples.x[:1].astype(np.float32) / (255 if data.samples.x.dtype == np.uint8 else 1)
    return models.parameters(module), _session(model.SerializeToString(), x)


def _shipped(motions: Motions) -> tuple[int, Answer]:
    net = scoring.train(motions.take(slice(0, None, 4)), Fitting(steps=1))
    spec = ModelSpec("default", "timed", THREE, models.FLOW, (3, OWN, OWN))
    x = np.random.default_rng(0).standard_normal((1, 3, OWN, OWN), dtype=np.float32)
    graph = onnx_file.graph(net, spec)
    return sum(p.numel() for p in net.parameters()), _session(graph.SerializeToString(), x)


def _session(model: bytes, x: NDArray[np.float32]) -> Answer:
    run = plain_session(model, 1)
    return lambda: run(x)


def _line(data: Prepared) -> tuple[int, Answer]:
    """Scikit-learn's own answer: there is no exporter here. The time of the features is not in it."""
    model = _regression().fit(data.samples.x, data.samples.y)
    coefficients = model[-1]
    return coefficients.coef_.size + coefficients.intercept_.size, lambda: model.predict_proba(data.samples.x[:1])


def _regression() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=CS[0], class_weight="balanced", max_iter=2000))


def _linear(known: Prepared, held: Prepared) -> Logits:
    """Logits; the strength is chosen by macro-F1 on parts of the training subjects."""
    search = GridSearchCV(_regression(), {"logisticregression__C": CS}, scoring="f1_macro", cv=GroupKFold(INNER)).fit(
        known.samples.x, known.samples.y, groups=known.samples.groups
    )
    return np.asarray(search.decision_function(held.samples.x))


def _motions(data: Prepared) -> Motions:
    """The default network's view of the samples. Own flow without moved key frames, as the other rows have it."""
    if data.samples.x.shape[2] == MAP:
        return from_maps(data.clips)
    views = np.repeat(cell_means(data.samples.x)[:, None], len(VIEWS), axis=1)
    return Motions(views, data.samples.y, data.clips, np.ones(len(data.clips), np.bool_))


def _default(motions: Motions, known: Prepared, held: Prepared, extra: Motions | None) -> Logits:
    where = {clip.key: i for i, clip in enumerate(motions.clips)}
    seen = motions.take([where[clip.key] for clip in known.clips])
    net = scoring.train(seen if extra is None else join([seen, extra]), Fitting())
    return scoring.answer(net, motions.take([where[clip.key] for clip in held.clips]))


def _kept(
    where: Path, data: Prepared, folds: Sequence[Fold], how: str, answer: Callable[[Prepared, Prepared], Logits]
) -> Run:
    """As ``evaluate.evaluate``, for what trains in moments: whole runs are kept, not folds. how: the settings; a run
    with others, or of other clips, is done again."""
    identity = [how, [clip.key for clip in data.clips], [list(fold.test) for fold in folds]]
    if (where / "run.json").exists() and (found := runs.load(where)).about.get("identity") == identity:
        return found
    check(folds, data.clips)
    began = time.perf_counter()
    logits = [answer(data.take(fold.train), data.take(fold.test)).tolist() for fold in folds]
    order = [i for fold in folds for i in fold.test]
    stored = {
        "name": where.name, "protocol": "loso", "labels": list(data.labels), "best": None, "curves": [],
        "truth": [int(data.samples.y[i]) for i in order], "logits": [row for part in logits for row in part],
        "keys": [data.clips[i].key for i in order], "groups": [data.clips[i].group for i in order],
        "folds": [fold.name for fold in folds for _ in fold.test], "seconds": time.perf_counter() - began,
        "about": {"commit": runs.commit(), "identity": identity},
    }  # fmt: skip
    runs.store(where / "run.json", stored)
    return runs.load(where)


def _median_ms(answer: Answer) -> float:
    times = []
    for turn in range(WARM + TIMED):
        begin = time.perf_counter()
        answer()
        if turn >= WARM:
            times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1e3


def render(rows: Sequence[Row]) -> str:
    """One Markdown table for each set of clips, with class counts and the majority predictor, and what each row loses
    against the default network by paired resampling of subjects."""
    parts = [f"{datetime.date.today().isoformat()}; {processor()}; one thread."]
    for clips in dict.fromkeys(row.clips for row in rows):
        parts += ["", *_table([row for row in rows if row.clips == clips])]
    return "\n".join(parts)


def _table(rows: Sequence[Row]) -> list[str]:
    reference = next(row for row in rows if row.network == DEFAULT)
    counts = ", ".join(f"{n} {label}" for n, label in zip(np.bincount(reference.truth), THREE, strict=True))
    base = metrics.trivial(reference.truth, THREE)["majority"]
    lines = [
        f"{reference.clips}, {len(reference.keys)} clips of {len(set(reference.groups))} subjects: {counts}",
        "",
        "| input | network | px | folds | parameters | p50 ms | UF1 | UAR | default's UF1 minus this |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| none | the commonest class | | | 0 | | {base.uf1:.3f} | {base.uar:.3f} | |",
    ]
    for row in sorted(rows, key=lambda row: ("static", "motion", "both").index(row.input)):
        found = metrics.bootstrap(row.truth, row.probabilities, row.groups, THREE)
        lost = ""
        if row is not reference and row.keys == reference.keys:
            pair = metrics.compare(row.truth, row.probabilities, reference.probabilities, row.groups, THREE)["UF1"]
            lost = f"{pair.value:+.3f} ({pair.low:+.3f} to {pair.high:+.3f})"
        cells = [f"{i.value:.3f} ({i.low:.3f}-{i.high:.3f})" for i in (found["UF1"], found["UAR"])]
        lines.append(
            f"| {row.input} | {row.network} | {row.size} | {row.folds} | {row.parameters:,} | {row.latency:.3f} "
            f"| {cells[0]} | {cells[1]} | {lost} |"
        )
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.recognisers", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="the folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/recognisers"), metavar="DIR", help="for finished folds")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


if __name__ == "__main__":
    sys.exit(main())
