"""Ibrahim et al. 2020: five ResNets on onset, apex and offset frames of four data sets, at most 100 pictures per class.

Their 17 % on six classes is chance. Two of three pictures show a neutral face (onset and offset carry the clip's
label), and at a rate of 0.00001 plain SGD hardly moves the weights. The split by picture also puts one clip on both
sides. Of their data only CASME II is available here: five classes, as "tense" belongs to CASME.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torchvision
from torch import nn

from train import evaluate, gather, protocols
from train.inputs import Prepared
from train.recipe import Recipe
from train.records import FIVE
from train.reproduce import common
from train.reproduce.common import Setting, Table
from train.runs import Run

PAPER = "ibrahim2020"
TABLES = ("1", "2", "figures 6-8", "components")
RATES = (1e-3, 1e-4, 1e-5)
NETWORKS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
CPU_NETWORKS = ("resnet18",)
SCALES = ("quick", "cpu", "full")
PRINTED = {
    "disgust": ("0.10", "0.18", "0.12"),
    "happiness": ("0.08", "0.06", "0.06"),
    "others": ("0.12", "0.17", "0.13"),
    "repression": ("0.14", "0.21", "0.14"),
    "surprise": ("0.14", "0.11", "0.09"),
    "tense": ("0.18", "0.29", "0.16"),
}
# Table 1: layer, output, structure.
PRINTED_LAYERS = (
    ("Conv1", "112x112x64", "7x7, 64, stride 2"),
    ("Conv2_x", "56x56x64", "3x3 max pool, stride 2; 3x3, 64; 3x3, 64"),
    ("Conv3_x", "28x28x128", "3x3, 128; 3x3, 128"),
    ("Conv4_x", "14x14x256", "3x3, 256; 3x3, 256"),
    ("Conv5_x", "7x7x512", "3x3, 512; 3x3, 512; 3x3, 512"),
    ("Fc", "6", "512x6 fully-connected"),
)
DATA = ("casme", "casme2", "casmesq", "samm")
REPEATS = 10
CLEAN_GROUPS = 4  # of subjects: a quarter is tested at a time, as in their 75:25


def tables(setting: Setting, wanted: Sequence[str]) -> Iterator[Table]:
    """Table 2 and the accuracies behind the figures."""
    if "1" in wanted:
        yield _structure()
    if "components" in wanted:
        yield common.components(PAPER)
    if set(wanted) <= {"1", "components"}:
        return
    plan = common.load(PAPER, setting)
    plan, labels = on_what_is_there(plan, setting)
    data = common.inputs(gather.gather(plan.data, setting.data), labels, plan, setting)
    if "2" in wanted:
        yield _best(plan, data, setting)
    if "figures 6-8" in wanted:
        yield _rates(plan, data, setting)


def on_what_is_there(plan: Recipe, setting: Setting) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe on those of their four data sets that are here, and its classes: six, or five for CASME II alone."""
    names = common.present(DATA, setting)
    if set(names) <= {"casme2"}:
        return plan, FIVE["casme2"]
    labels = tuple(PRINTED)
    changed = dataclasses.replace(plan.data, name="+".join(names), scheme="emotion", only=labels)
    return dataclasses.replace(plan, data=changed), labels


def _structure() -> Table:
    """Table 1 beside torchvision's ResNet-18, read from the network itself."""
    net = torchvision.models.resnet18(num_classes=6)
    parts = [net.conv1, net.layer1, net.layer2, net.layer3, net.layer4, net.fc]
    rows = []
    for printed, part in zip(PRINTED_LAYERS, parts, strict=True):
        layers = [m for m in part.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
        here = "; ".join(f"{m.kernel_size[0]}x{m.kernel_size[1]}, {m.out_channels}" for m in layers)
        rows.append((*printed, here or f"{net.fc.in_features}x{net.fc.out_features} fully-connected"))
    notes = ("the printed table has one of the two blocks of each stage, and a third convolution in the last",)
    columns = ("layer", "output printed", "structure printed", "torchvision's")
    return Table(PAPER, "1", "ResNet-18", columns, tuple(rows), notes, "as built, nothing trained")


def _best(plan: Recipe, data: Prepared, setting: Setting) -> Table:
    """Their best network at their best rate, class by class."""
    published = _runs(plan, data, setting, "balanced") if setting.published else []
    clean = _runs(plan, data, setting, "subjects")
    rows = []
    for label, printed in PRINTED.items():
        if label not in data.labels:
            rows.append((label, "/".join(printed), "not in the data here", ""))
            continue
        rows.append((label, "/".join(printed), _class(published, label), _class(clean, label)))
    rows.append(("accuracy", "0.17", _accuracy(published), _accuracy(clean)))
    columns = ("class", "printed P/R/F1", "as published P/R/F1", "clean P/R/F1")
    tested = "one quarter of the people" if setting.scale == "cpu" else "tested by quarters of the people"
    notes = (
        "leak as published: onset, apex and offset of one clip are split between training and test",
        "17 % on six balanced classes is chance (16.7 %); five classes here: chance 20 %",
        f"clean: the same pictures, {tested}; {common.counts_note(clean[0])}",
        *_hours(setting, ("resnet18",), 1),
    )
    title = "ResNet-18 at a rate of 0.00001"
    where = _folders(plan, setting, published, clean)
    return Table(PAPER, "2", title, columns, tuple(rows), notes, _scale(plan, setting), where)


def _rates(plan: Recipe, data: Prepared, setting: Setting) -> Table:
    networks = CPU_NETWORKS if setting.scale == "cpu" else NETWORKS
    rows = []
    for network in networks:
        for rate in RATES:
            row = common.with_stages(common.with_model(plan, name=network), rate=rate)
            found = common.attempt(partial(_pair, row, data, setting))
            cells = (found, "") if isinstance(found, str) else found
            rows.append((network, f"{rate:g}", *cells))
    left = [name for name in NETWORKS if name not in networks]
    notes = ["the paper prints curves here, no numbers", *_hours(setting, ("resnet18", "resnet50"), len(RATES))]
    if left:
        notes.append(f"not run at this scale: {', '.join(left)}")
    columns = ("network", "rate", "accuracy as published", "accuracy clean")
    return Table(PAPER, "figures 6-8", "networks and rates", columns, tuple(rows), tuple(notes), _scale(plan, setting))


def _pair(plan: Recipe, data: Prepared, setting: Setting) -> tuple[str, str]:
    """Accuracies as published and clean. Raises as ``common.row``."""
    published = _runs(plan, data, setting, "balanced") if setting.published else []
    return _accuracy(published), _accuracy(_runs(plan, data, setting, "subjects"))


def _runs(plan: Recipe, data: Prepared, setting: Setting, kind: str) -> list[Run]:
    runs = []
    for trial in range(REPEATS if setting.full else 1):
        folds = protocols.balanced_split(data.clips, plan.data.scheme, seed=trial)
        used = data
        if kind == "subjects":
            used = data.take(sorted((*folds[0].train, *folds[0].test)))
            folds = evaluate.merged(protocols.loso(used.clips), CLEAN_GROUPS)
            folds = folds[:1] if setting.scale == "cpu" else folds
        where = f"{_where(plan, setting)}-{kind}-{trial}"
        runs.append(
            common.row(
                dataclasses.replace(plan, seed=trial),
                used,
                folds,
                where,
                setting,
                protocol=kind,
                clean=kind == "subjects",
                once=kind == "subjects" and setting.scale != "cpu",  # tests one quarter of the people
            )
        )
    return runs


def _hours(setting: Setting, networks: Sequence[str], rates: int) -> list[str]:
    """The time for the paper's own size, for reduced scales."""
    visits = 75 * len(FIVE["casme2"]) * 100 * REPEATS * rates * (1 + CLEAN_GROUPS)
    return [] if setting.full else [common.full_hours(dict.fromkeys(networks, visits))]


def _where(plan: Recipe, setting: Setting) -> str:
    return f"{PAPER}-{setting.scale}/{plan.model.name}-{plan.stage[0].rate:g}"


def _folders(plan: Recipe, setting: Setting, published: list[Run], clean: list[Run]) -> tuple[str, ...]:
    pairs = (("balanced", published), ("subjects", clean))
    return tuple(f"{_where(plan, setting)}-{kind}-{i}" for kind, runs in pairs for i in range(len(runs)))


def _class(runs: list[Run], label: str) -> str:
    if not runs:
        return "not asked for"
    i = runs[0].labels.index(label)
    parts = (np.mean([np.nan_to_num(values) for values in column]) for column in _columns(runs, i))
    return "/".join(f"{part:.2f}" for part in parts)


def _columns(runs: list[Run], i: int) -> tuple[list[float], list[float], list[float]]:
    scores = [run.scores for run in runs]
    return [s.precision[i] for s in scores], [s.recall[i] for s in scores], [s.f1[i] for s in scores]


def _accuracy(runs: list[Run]) -> str:
    return f"{np.mean([run.scores.accuracy for run in runs]):.2f}" if runs else "not asked for"


def _scale(plan: Recipe, setting: Setting) -> str:
    size, epochs, names = plan.input.size, plan.stage[0].epochs, plan.data.name
    if setting.quick:
        return f"QUICK, not the paper's: {names}, {size} px, {epochs} epochs, one repetition, random weights"
    if setting.scale == "cpu":
        start = "random" if plan.model.weights == "none" else plan.model.weights
        return f"CPU: {names}, {size} px and {epochs} epochs as in the paper; one repetition, {start} weights"
    return f"full: {names}, {size} px, {epochs} epochs, {REPEATS} repetitions"
