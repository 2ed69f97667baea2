"""Peng et al. 2018: ResNet-10, ImageNet to macro- to micro-expressions, on MEGC2018's five objective classes.

The protocols are clean: hold-out by data set, and leave-one-subject-out. Which epoch was reported cannot be checked.
Their WAR and UAR are recomputed here from the confusion matrices that they print. The 99.35 % on macro-expressions
comes from a random split of neighboring video frames of the same people.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from train import gather, metrics, protocols
from train.datasets import find_root
from train.protocols import Fold
from train.recipe import Recipe
from train.records import MEGC2018, Clip
from train.reproduce import common, descriptors
from train.reproduce.common import Setting, Table
from train.runs import Run

PAPER = "peng2018"
TABLES = ("1", "2", "3", "4", "5", "6", "7", "components")
SCALES = ("quick", "cpu", "full")
COUNTS = {"casme2": (25, 15, 99, 26, 20), "samm": (24, 13, 20, 8, 3)}
# Tables II and III: rows are the truth, percent of its clips.
PRINTED_MATRIX = {
    "2": (
        (91.67, 0, 4.17, 4.17, 0),
        (23.08, 7.69, 30.77, 15.38, 23.08),
        (30, 0, 50, 10, 10),
        (50, 0, 12.5, 37.5, 0),
        (0, 0, 66.67, 0, 33.33),
    ),
    "3": (
        (20, 24, 56, 0, 0),
        (0, 46.67, 53.33, 0, 0),
        (0, 2.02, 93.94, 4.04, 0),
        (3.85, 11.54, 76.92, 7.69, 0),
        (0, 10, 85, 5, 0),
    ),
}
TESTED = {"2": "samm", "3": "casme2"}
CPU_FOLD = "samm"  # the fold that the scale "cpu" runs
PRINTED_HDE = {"2": ("0.544", "0.440"), "3": ("0.578", "0.337"), "mean": ("0.561", "0.389")}
# The challenge's three baselines in tables IV to VI; HDE: WAR and UAR, LOSO: accuracy and F1.
BASELINES = {
    "mean": (("LBP-TOP", "0.285", "0.332"), ("HOOF", "0.353", "0.348"), ("HOG3D", "0.363", "0.228")),
    "5": (("LBP-TOP", "44.70", "0.35"), ("HOOF", "42.17", "0.33"), ("HOG3D", "34.16", "0.22")),
    "6": (("LBP-TOP", "67.80", "0.51"), ("HOOF", "69.64", "0.56"), ("HOG3D", "69.53", "0.51")),
}
MACRO = ("ckplus", "oulu", "jaffe", "mug", "kdef", "taiwanese")
PRINTED_LOSO = {"5": ("samm", "70.59", "0.54"), "6": ("casme2", "75.68", "0.65"), "7": ("both", "74.70", "0.64")}


def tables(setting: Setting, wanted: Sequence[str]) -> Iterator[Table]:
    """The paper's tables beside ours, each as soon as it is done."""
    for number in ("2", "3"):
        if number in wanted:
            yield _matrix(number, setting)
    if "components" in wanted:
        yield common.components(PAPER)
    if not set(wanted) - {"2", "3", "components"}:
        return
    clips = objective_clips(setting)
    if "1" in wanted:
        yield _counts(clips)
    if "4" in wanted:
        yield _holdout(clips, setting)
    for number in ("5", "6", "7"):
        if number in wanted:
            yield _loso(number, clips, setting)


def recomputed(number: str) -> metrics.Scores:
    """The scores of a printed confusion matrix: its rows times the class counts of table I."""
    counts = np.array(COUNTS[TESTED[number]], float)
    matrix = np.rint(np.array(PRINTED_MATRIX[number]) / 100 * counts[:, None])
    return metrics.Scores(MEGC2018, matrix)


def objective_clips(setting: Setting) -> list[Clip]:
    """The clips of CASME II and SAMM; for SAMM its own if present, otherwise the apex crops of MEGC2019 (all 68)."""
    casme2 = gather.one("casme2", setting.data)
    if find_root("samm", setting.data):
        samm = gather.one("samm", setting.data)
    else:
        samm = gather.relabeled(gather.one("megc2019", setting.data), "samm", setting.data)
    return [clip for clip in (*casme2, *samm) if clip.label("objective") in MEGC2018]


def _matrix(number: str, setting: Setting) -> Table:
    """Their matrix, its scores, and ours beside it if the hold-out task was run."""
    scores, ours = recomputed(number), _ours(number, setting)
    rows = []
    for i, (label, percent) in enumerate(zip(MEGC2018, PRINTED_MATRIX[number], strict=True)):
        counts, recall = scores.confusion[i], scores.recall[i]
        beside = "after table 4" if ours is None else "/".join(f"{n:g}" for n in ours.confusion[i])
        shares = "/".join(f"{p:g}" for p in percent)
        rows.append((label, shares, "/".join(f"{n:g}" for n in counts), f"{recall:.4f}", beside))
    war, uar = PRINTED_HDE[number]
    beside = "" if ours is None else f"{ours.accuracy:.3f}, {ours.uar:.3f}"
    rows.append(("WAR, UAR", f"{war}, {uar}", "recomputed", f"{scores.accuracy:.3f}, {scores.uar:.3f}", beside))
    tested = TESTED[number]
    title = f"their confusion matrix, tested on {tested}, recomputed from its own counts"
    notes = (f"UF1 of the same matrix: {scores.uf1:.3f}; always answering III: WAR {_always(tested):.3f}",)
    return Table(
        PAPER,
        number,
        title,
        ("class", "printed row, %", "clips", "recall", "ours, clips"),
        tuple(rows),
        notes,
        "arithmetic on the printed matrix" + ("" if ours is None else f"; ours: {_scale(setting)}"),
    )


def _ours(number: str, setting: Setting) -> metrics.Scores | None:
    """The scores of the same fold here; None before table 4 has been run."""
    run = common.stored(_hde(setting), setting)
    return None if run is None or TESTED[number] not in run.folds else _part(run, TESTED[number])


def _hde(setting: Setting) -> str:
    return f"{PAPER}-{setting.scale}/hde"


def _always(dataset: str) -> float:
    counts = COUNTS[dataset]
    return counts[MEGC2018.index("III")] / sum(counts)


def _counts(clips: list[Clip]) -> Table:
    rows = []
    found = {name: Counter(c.label("objective") for c in clips if c.dataset == name) for name in COUNTS}
    for i, label in enumerate(MEGC2018):
        pairs = ((str(COUNTS[name][i]), str(found[name][label])) for name in COUNTS)
        rows.append((label, *(cell for pair in pairs for cell in pair)))
    totals = ((str(sum(COUNTS[name])), str(sum(found[name].values()))) for name in COUNTS)
    rows.append(("all", *(cell for pair in totals for cell in pair)))
    columns = ("class", "CASME II printed", "here", "SAMM printed", "here")
    notes = ("the sheet of CASME II with objective classes is from 2019 and reassigns some clips",)
    return Table(PAPER, "1", "clips in the objective classes", columns, tuple(rows), notes, "whole")


def _holdout(clips: list[Clip], setting: Setting) -> Table:
    plan = on_what_is_there(common.load(PAPER, setting), setting)
    data = common.inputs(clips, MEGC2018, plan, setting)
    start = common.macro_start(plan, MEGC2018, setting)
    where = _hde(setting)
    folds = [fold for fold in protocols.megc2018_hde(data.clips) if setting.scale != "cpu" or fold.name == CPU_FOLD]
    once = setting.scale != "cpu"  # runs one of the two folds
    run = common.row(plan, data, folds, where, setting, protocol="megc2018-hde", start=start, once=once)
    parts = {fold.name: _part(run, fold.name) for fold in folds}
    rows = []
    for number, a, b in (("2", "casme2", "samm"), ("3", "samm", "casme2")):
        ours = (f"{parts[b].accuracy:.3f}", f"{parts[b].uar:.3f}") if b in parts else ("not run at this scale", "")
        rows.append((f"trained on {a}, tested on {b}", *PRINTED_HDE[number], *ours))
    rows.append(("mean", *PRINTED_HDE["mean"], *(_mean(list(parts.values())) if len(parts) > 1 else ("", ""))))
    for name, war, uar in BASELINES["mean"]:
        found = _described(name, clips, protocols.megc2018_hde(clips), setting)
        rows.append((f"{name}, mean", war, uar, *((found, "") if isinstance(found, str) else _mean(found))))
    columns = ("fold", "WAR printed", "UAR printed", "WAR ours", "UAR ours")
    notes = (
        *([] if setting.full else ["at full scale about 1.5 h per fold on two cores, after 25 h of macro stage"]),
        f"always answering III: WAR {_always('samm'):.3f} on SAMM, {_always('casme2'):.3f} on CASME II; UAR 0.200",
        *_notes(run),
    )
    return Table(PAPER, "4", "hold-out by data set", columns, tuple(rows), notes, _scale(setting), (where,))


def on_what_is_there(plan: Recipe, setting: Setting) -> Recipe:
    """The recipe with those of their four macro-expression sets, and of two more, that are here; CK+48 replaces CK+."""
    names = common.present(MACRO, setting)
    if not names or plan.pretrain is None:
        return plan
    names = names if "ckplus" in names else ["ckplus48", *names]
    data = dataclasses.replace(plan.pretrain.data, name="+".join(names), scheme="emotion")
    return dataclasses.replace(plan, pretrain=dataclasses.replace(plan.pretrain, data=data))


def _part(run: Run, fold: str) -> metrics.Scores:
    rows = [i for i, name in enumerate(run.folds) if name == fold]
    return metrics.score(run.truth[rows], run.probabilities[rows], run.labels)


def _loso(number: str, clips: list[Clip], setting: Setting) -> Table:
    dataset, accuracy, f1 = PRINTED_LOSO[number]
    plan = _loso_plan(setting)
    chosen = [clip for clip in clips if dataset in ("both", clip.dataset)]
    data = common.inputs(chosen, MEGC2018, plan, setting)
    start = common.macro_start(plan, MEGC2018, setting)
    where = f"{PAPER}-{setting.scale}/loso-{dataset}"
    run = common.row(plan, data, common.loso(data.clips, setting), where, setting, protocol="loso", start=start)
    ours = (common.percent(run.scores.accuracy), f"{run.scores.weighted_f1:.2f}", common.interval(run, "UF1"))
    columns = ("clips", "accuracy printed", "F1 printed", "accuracy ours", "weighted F1 ours", "UF1 ours")
    notes = ("they do not say which F1 they mean: both are given", common.counts_note(run), *_notes(run))
    rows = [(dataset, accuracy, f1, *ours)]
    for name, hits, printed in BASELINES.get(number, ()):
        found = _described(name, chosen, protocols.loso(chosen), setting)
        cells = (found, "", "") if isinstance(found, str) else _pooled(found)
        rows.append((f"{dataset}, {name}", hits, printed, *cells))
    title = f"leave-one-subject-out, {dataset}"
    return Table(PAPER, number, title, columns, tuple(rows), notes, _scale(setting), (where,))


def _described(name: str, clips: Sequence[Clip], folds: Sequence[Fold], setting: Setting) -> list[metrics.Scores] | str:
    """One of the challenge's baselines, fold by fold, or the reason why not: it uses movement, so it needs whole
    clips."""
    if setting.recipes:
        return "no recipe: a descriptor and a linear SVM"
    if stills := sorted({clip.dataset for clip in clips if len(clip.frames) == 1}):
        return f"not run: no videos of {', '.join(stills)}"
    y = np.array([MEGC2018.index(str(clip.label("objective"))) for clip in clips])
    found = descriptors.described(name, clips, setting.cache, setting.quiet)
    return [metrics.score(y[list(fold.test)], descriptors.answers(found, y, fold), MEGC2018) for fold in folds]


def _mean(folds: Sequence[metrics.Scores]) -> tuple[str, str]:
    """WAR and UAR as the challenge defines them: the mean over the folds."""
    mean = metrics.megc2018_average(folds)
    return f"{mean['WAR']:.3f}", f"{mean['UAR']:.3f}"


def _pooled(folds: Sequence[metrics.Scores]) -> tuple[str, str, str]:
    """Accuracy, weighted F1 and UF1 of all folds together."""
    scores = metrics.Scores(MEGC2018, np.sum([fold.confusion for fold in folds], axis=0))
    return common.percent(scores.accuracy), f"{scores.weighted_f1:.2f}", f"{scores.uf1:.3f}"


def _loso_plan(setting: Setting) -> Recipe:
    """Section III.C, composite task: batches of 10, rate 0.001 divided by 10 after 20 epochs, decay 0.05, corners."""
    plan = on_what_is_there(common.load(PAPER, setting), setting)
    changes: dict[str, Any] = {"balance": "equal", "augment": ("corners",)}
    if not setting.quick:
        changes |= {"batch": 10, "rate": 1e-3, "every": 20, "factor": 0.1, "weight_decay": 0.05}
    return dataclasses.replace(plan, stage=tuple(dataclasses.replace(stage, **changes) for stage in plan.stage))


def _notes(run: Run) -> tuple[str, ...]:
    start, before = run.about["recipe"]["model"]["weights"], run.about["recipe"]["pretrain"]
    weights = "random" if start == "none" else start
    macro = before["data"]["name"] if before else "nothing"
    return (
        f"no leak is known in this protocol; ours starts from {weights} weights and {macro}; without SAMM's own videos "
        "its images are the composite's apex crops, which are cropped differently from CASME II's",
    )


def _scale(setting: Setting) -> str:
    if setting.full:
        return "full: 224 px, the paper's epochs"
    if setting.scale == "cpu":
        return "CPU: 224 px, the paper's 50 epochs of 200 a class; macro stage of 10 epochs of 500 a class"
    return (
        "QUICK, not the paper's: 64 px, macro stage of 4 epochs, 3 epochs, random weights, leave-one-out over "
        f"{common.GROUPS} groups of subjects"
    )
