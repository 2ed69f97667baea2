"""Ab Razak & Sahran 2023: Efficient-ME on static apex crops of MEGC2019, pre-trained on macro-expressions.

Their UAR is above 1, which is impossible. Two faults in the authors' public code explain it. The clips of the test
subject are found by a substring of the file name, so that ``s1`` also tests ``s11`` to ``s19``, and recalls are divided
by the class counts of the whole set. And the network is not reset between folds, so that from the second fold on it has
been trained on nearly every test clip. "As published" here has both faults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train import gather, metrics, models, protocols
from train.folds import fresh
from train.inputs import Prepared
from train.models.efficient_me import Truncated
from train.pretrain import Start
from train.protocols import Fold
from train.recipe import Recipe
from train.records import THREE, Clip
from train.reproduce import common, feature_maps
from train.reproduce.common import Setting, Table
from train.runs import Run

PAPER = "abrazak2023"
TABLES = ("1", "2", "3", "4", "5", "6", "7", "figures 5-6", "components")
SCALES = ("quick", "cpu", "full")

LEAK = (
    "as published: the test subject is found by a substring of the file name (s1 also tests s11..s19) and the network "
    "is not reset between folds; its UF1 and 'UAR' are computed their way, dividing by fixed class counts"
)
CLEAN = "clean: each subject tested once, the network reset in every fold; 95 % intervals over subjects"
# Printed: UF1, UAR, and for tables 6 and 7 F1 of negative, positive, surprise.
PRINTED: dict[str, dict[str, tuple[str, ...]]] = {
    "4": {"Efficient-ME": ("0.987", "1.178"), "Efficient-ME (tr3)": ("0.76", "0.89")},
    "5": {
        "Efficient-ME, ImageNet": ("0.46", "0.5376"),
        "EfficientNet-B0, ImageNet": ("0.44", "0.52"),
        "Efficient-ME, CK+": ("0.949", "1.12"),
        "Efficient-ME, FER2013": ("0.985", "1.178"),
    },
    "6": {"focal loss": ("0.98", "1.178", "0.99/0.98/0.98"), "cross-entropy": ("0.916", "1.109", "0.94/0.93/0.87")},
    "7": {"focal loss": ("0.97", "1.165", "0.98/0.97/0.97"), "cross-entropy": ("0.99", "1.191", "0.99/0.99/0.99")},
}
# The rows that the quick scale also runs as published; each takes 68 dependent folds.
QUICK_PUBLISHED = {
    "efficient-me-fer2013-down-focal",
    "efficient-me-fer2013-down-ce",
    "efficient-me-ckplus48-down-focal",
}
# Table 3, repeated in table 4: published results of others on the same composite; parameters as printed.
BASELINES = {
    "STSTNet (2019)": ("optical flow", "0.735", "0.760", "1.67k"),
    "ICE-GAN (2020)": ("apex", "0.845", "0.841", "21.6 mil"),
    "MTM-Net (2020)": ("onset and apex", "0.86", "0.85", "n/a"),
    "GEME (2021)": ("dynamic image", "0.7221", "0.7303", "53 mil"),
    "RNAS-MER (2023)": ("video", "0.8302", "0.8511", "1.91 mil"),
    "Efficient-ME": ("apex", "0.987", "1.178", "867 K"),
    "Efficient-ME (tr3)": ("apex", "0.76", "0.89", "68 K"),
}
BUILT = {"STSTNet (2019)": "ststnet", "Efficient-ME": "efficient-me", "Efficient-ME (tr3)": "efficient-me-tr3"}
NO_WEIGHTS = "not run: no ImageNet weights"
# Figures 5 and 6: figure, side of a map at 224 px, channels, number shown.
FIGURES = {"efficient-me-tr3": ("5", 28, 40, 40), "efficient-me": ("6", 14, 112, 37)}
PRINTED_COUNTS = {"negative": 250, "positive": 109, "surprise": 83}
PRINTED_FER = {"negative": 16698, "positive": 8989, "surprise": 4002}


def tables(setting: Setting, wanted: Sequence[str]) -> Iterator[Table]:
    """The paper's tables beside ours, each as soon as it is finished."""
    if "1" in wanted:
        yield _counts(setting)
    if "2" in wanted:
        yield _fer_counts(setting)
    if "3" in wanted:
        yield _baselines(setting)
    if "components" in wanted:
        yield common.components(PAPER)
    if set(wanted) <= {"1", "2", "3", "components"}:
        return
    plan = common.load(PAPER, setting)
    clips = gather.gather(plan.data, setting.data)
    data = common.inputs(clips, THREE, plan, setting)
    if "4" in wanted:
        rows = {"Efficient-ME": plan}
        if setting.scale != "cpu":
            rows["Efficient-ME (tr3)"] = common.with_model(plan, name="efficient-me-tr3")
        yield _table("4", "lightweight networks", rows, data, setting)
    if "5" in wanted:
        yield _table("5", "pre-training data", _sources(plan), data, setting)
    if "figures 5-6" in wanted:
        yield _feature_maps(plan, data, setting)
    unbalanced = common.with_stages(plan, balance="none")
    for number, base, what in (("6", plan, "balanced"), ("7", unbalanced, "unbalanced")):
        if number in wanted:
            rows = {"focal loss": base, "cross-entropy": common.with_stages(base, loss="ce", class_weights=())}
            yield _table(number, f"loss, pre-trained on {what} FER2013", rows, data, setting)


def _baselines(setting: Setting) -> Table:
    """Table 3: the printed baselines, with the networks that are built here: parameters, and STSTNet's clean score."""
    rows, folders = [], list[str]()
    for name, (sees, uf1, uar, printed) in BASELINES.items():
        cells = ("not built here", "")
        if (network := BUILT.get(name)) is not None:
            feature = models.MAPS if network == "ststnet" else models.APEX
            count = models.keras_parameters(models.create(network, len(THREE), feature=feature))
            cells = (f"{count:,}", "table 4")
        if network == "ststnet":
            cells = (cells[0], "after `reproduce selection`")
            for where in (f"selection-{setting.scale}/labels", f"selection-{setting.scale}/labels-clean"):
                if (run := common.stored(where, setting)) is not None:
                    cells = (cells[0], f"{common.interval(run, 'UF1')}, {common.interval(run, 'UAR')}")
                    folders.append(where)
                    break
        rows.append((name, sees, uf1, uar, printed, *cells))
    columns = (
        "method",
        "input",
        "UF1 printed",
        "UAR printed",
        "parameters printed",
        "parameters here",
        "UF1, UAR here",
    )
    notes = (
        "the printed UAR of STSTNet, 0.7605, is its precision; recomputed from its authors' log, UAR is 0.719",
        "'parameters here' as Keras counts them, with the running statistics of batch norm",
    )
    return Table(PAPER, "3", "baselines on MEGC2019", columns, tuple(rows), notes, scale(setting), tuple(folders))


def _feature_maps(plan: Recipe, data: Prepared, setting: Setting) -> Table:
    """Figures 5 and 6: the last block's maps for one person's disgust, after the macro-expression stage, as images."""
    disgust = gather.relabeled(list(data.clips), "casme2", setting.data)
    wanted = next((clip.key for clip in disgust if clip.emotion == "disgust"), data.clips[0].key)
    position = next(i for i, clip in enumerate(data.clips) if clip.key == wanted)
    rows: list[tuple[str, ...]] = []
    for name, (figure, size, channels, shown) in FIGURES.items():
        made = common.with_model(plan, name=name)
        found = common.attempt(partial(_maps, made, data.samples.x[position], setting))
        if isinstance(found, str):
            cells = (found, "")
        else:
            file = setting.out / f"{PAPER}-{setting.scale}" / f"figure-{figure}.png"
            feature_maps.draw(found, shown, file)
            cells = (f"{len(found)} of {found.shape[1]}x{found.shape[2]}", str(file))
        rows.append((figure, name, f"{channels} of {size}x{size}", *cells))
    columns = ("figure", "network", "maps printed", "maps here", "drawn in")
    notes = (f"{wanted}, after macro pre-training; the last block ends in a convolution without an activation",)
    return Table(PAPER, "figures 5-6", "output of the last block", columns, tuple(rows), notes, scale(setting))


def _maps(plan: Recipe, picture: NDArray[Any], setting: Setting) -> NDArray[np.float32]:
    if setting.recipes:
        raise common.RecipeOnlyError("trained for it: only the macro stage of table 4")
    start = common.macro_start(plan, THREE, setting)
    model = fresh(plan, len(THREE), None if start is None else start.weights())
    assert isinstance(model, Truncated)
    return feature_maps.of(model, picture, setting.device)


def _sources(plan: Recipe) -> dict[str, Recipe]:
    """Table 5. Rows that start from ImageNet need its weights; where they are missing, the row says so."""
    assert plan.pretrain is not None
    ck = dataclasses.replace(plan.pretrain, data=dataclasses.replace(plan.pretrain.data, name="ckplus48"))
    rows = {
        "Efficient-ME, CK+": dataclasses.replace(plan, pretrain=ck),
        "Efficient-ME, FER2013": plan,
        "Efficient-ME, nothing": dataclasses.replace(common.with_model(plan, weights="none"), pretrain=None),
    }
    lite = dataclasses.replace(common.with_model(plan, name="efficient-me-lite", weights="imagenet"), pretrain=None)
    if models.weights.available("efficient-me-lite"):
        rows["Efficient-ME-Lite, ImageNet (ours)"] = lite
    for label, name in (("Efficient-ME, ImageNet", "efficient-me"), ("EfficientNet-B0, ImageNet", "efficientnet-b0")):
        if models.weights.available(name):
            rows[label] = dataclasses.replace(common.with_model(plan, name=name, weights="imagenet"), pretrain=None)
    return rows


def _table(number: str, title: str, rows: dict[str, Recipe], data: Prepared, setting: Setting) -> Table:
    lines, folders, last = [], [], None
    printed = PRINTED[number]
    absent = "not run at this scale" if setting.scale == "cpu" else NO_WEIGHTS
    for label in [*dict.fromkeys([*printed, *rows])]:
        figures = printed.get(label, ("-", "-", "-"))
        found = common.attempt(partial(_row, rows[label], data, setting)) if label in rows else absent
        if isinstance(found, str):
            lines.append((label, *figures[:2], found, "", "", "", ""))
            continue
        leaky, clean, where = found
        folders += where
        f1 = "/".join(f"{value:.2f}" for value in clean.scores.f1)
        lines.append((label, *figures[:2], *leaky, common.interval(clean, "UF1"), common.interval(clean, "UAR"), f1))
        last = clean
    columns = (
        "row", "UF1 printed", "'UAR' printed", "UF1 as published", "'UAR' as published", "UF1 clean", "UAR clean",
        "F1 neg/pos/surp clean",
    )  # fmt: skip
    notes = (
        LEAK,
        CLEAN,
        *([] if last is None else [common.counts_note(last)]),
        "a static image has no motion: expect clean figures near 0.45",
        *([common.full_hours({"efficient-me": 68 * 35 * 435})] if not setting.full else []),
    )
    return Table(PAPER, number, title, columns, tuple(lines), notes, scale(setting), tuple(folders))


def _row(plan: Recipe, data: Prepared, setting: Setting) -> tuple[tuple[str, str], Run, list[str]]:
    """Scores as published, the clean run, and the stored runs. Raises as ``common.row``."""
    where = f"{PAPER}-{setting.scale}/{_slug(plan)}"
    start = common.macro_start(plan, THREE, setting)
    clean = common.row(
        plan, data, common.loso(data.clips, setting), f"{where}-clean", setting, protocol="megc2019", start=start
    )
    if not setting.published:
        return ("not asked for", ""), clean, [f"{where}-clean"]
    if setting.scale == "cpu" or (setting.quick and _slug(plan) not in QUICK_PUBLISHED):
        return ("not run at this scale", ""), clean, [f"{where}-clean"]
    leaky = _as_published(plan, data, f"{where}-published", setting, start)
    return leaky, clean, [f"{where}-clean", f"{where}-published"]


def scale(setting: Setting) -> str:
    if setting.full:
        return "full: 224 px, 68 folds, the paper's epochs"
    if setting.scale == "cpu":
        return (
            "CPU: 112 px, the paper's epochs of training, at most 20 of macro pre-training, random weights; "
            f"clean only: the 68 subjects in {common.GROUPS} groups"
        )
    return (
        "QUICK, not the paper's: 48 px, 3000 macro pictures, 4 epochs, random instead of ImageNet weights; "
        f"clean: the 68 subjects in {common.GROUPS} groups; as published: 68 folds of 1 epoch"
    )


def _slug(plan: Recipe) -> str:
    """A folder name for a row; a row that two tables share is run once."""
    before = plan.pretrain
    source = plan.model.weights if before is None else f"{before.data.name}-{before.stages[-1].balance}"
    return f"{plan.model.name}-{source}-{plan.stage[-1].loss}"


def substring_folds(clips: Sequence[Clip]) -> list[Fold]:
    """The authors' folds: every clip with the subject's name anywhere in its file name is tested. Clips repeat."""
    folds = []
    for subject in sorted({_their_name(clip) for clip in clips}):
        test = tuple(i for i, clip in enumerate(clips) if subject in clip.frames[0].name)
        folds.append(Fold(subject, tuple(i for i in range(len(clips)) if i not in set(test)), test))
    return folds


def printed_way(run: Run, counts: Sequence[int]) -> tuple[float, float]:
    """UF1 and "UAR" as their script computes them: hits over all folds, divided by the class counts of the whole set.

    A clip tested in two folds counts twice in the numerator and once in the denominator, so a recall can exceed 1.
    """
    scores = run.scores
    hits = np.diagonal(scores.confusion)
    return scores.uf1, float(np.mean(hits / np.asarray(counts, float)))


def _as_published(plan: Recipe, data: Prepared, where: str, setting: Setting, start: Start | None) -> tuple[str, str]:
    if setting.quick:
        plan = dataclasses.replace(plan, stage=(dataclasses.replace(plan.stage[-1], epochs=1),))
    folds = substring_folds(data.clips)
    run = common.row(
        plan, data, folds, where, setting, protocol="loso by substring", clean=True, once=False, faults=("carry-over",),
        start=start,
    )  # fmt: skip
    uf1, uar = printed_way(run, np.bincount(data.samples.y, minlength=3).tolist())
    return f"{uf1:.3f}", f"{uar:.3f}"


def _their_name(clip: Clip) -> str:
    """SMIC's subjects are s1 to s20 in the file names, CASME II's sub01, SAMM's 006."""
    subject = str(clip.subject)
    return f"s{int(subject[1:])}" if clip.dataset == "smic" else subject


def _counts(setting: Setting) -> Table:
    clips = gather.one("megc2019", setting.data)
    found = {label: sum(clip.label("3") == label for clip in clips) for label in THREE}
    rows = [(label, str(PRINTED_COUNTS[label]), str(found[label])) for label in THREE]
    rows.append(("all", str(sum(PRINTED_COUNTS.values())), str(len(clips))))
    note = f"{len(protocols.loso(clips))} subjects; always answering 'negative' gives UF1 {_majority(found):.3f}"
    return Table(PAPER, "1", "clips of MEGC2019", ("class", "printed", "here"), tuple(rows), (note,), "whole")


def _majority(counts: dict[str, int]) -> float:
    truth = np.repeat(np.arange(3), [counts[label] for label in THREE])
    return metrics.trivial(truth, THREE)["majority"].uf1


def _fer_counts(setting: Setting) -> Table:
    clips = gather.one("fer2013", setting.data)
    found = {label: sum(clip.label("3") == label for clip in clips) for label in THREE}
    rows = [(label, str(PRINTED_FER[label]), str(found[label])) for label in THREE]
    return Table(PAPER, "2", "pictures of FER2013", ("class", "printed", "here"), tuple(rows), (), "whole")
