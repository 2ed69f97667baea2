"""Ho et al. 2023: six ImageNet networks on single frames of CASME II, none, 20 % or 50 % of the layers frozen.

They split the frames at random, 70 to 30. A clip has some 70 frames 5 ms apart, so nearly every test frame has its
neighbor in the training set: the task is to recognize an image seen before. The clean counterpart tests other people.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from train import fit, gather, models, protocols
from train.protocols import Fold
from train.recipe import Recipe, Stage
from train.records import Clip, labeled, labels_of
from train.reproduce import common
from train.reproduce.common import Setting, Table
from train.samples import Samples

PAPER = "ho2023"
TABLES = ("1", "2", "3", "4", "5", "6", "time", "components")
FROZEN = {"2": "none", "3": "0.2", "4": "0.5"}
QUICK_CLIPS, QUICK_FRAMES = 4, 12  # strides over clips and frames at the quick scale
# Epochs at the quick scale; large networks cost ten times as much as small ones.
QUICK_EPOCHS = {
    "alexnet": 6,
    "squeezenet": 24,
    "googlenet": 12,
    "efficientnet-b0": 10,
    "resnet50": 6,
    "mobilenet-v2": 8,
}
NEAR = 0.010  # s
# network: its rate, epochs and input size (section 3.3).
NETWORKS = {
    "alexnet": (1e-4, 50, 227),
    "squeezenet": (1e-4, 50, 227),
    "googlenet": (1e-3, 15, 224),
    "efficientnet-b0": (1e-3, 10, 224),
    "resnet50": (1e-4, 10, 224),
    "mobilenet-v2": (1e-4, 10, 224),
}
# Networks of each row: torchvision's; the one that they describe, if it differs; and SqueezeNet 1.0, whose ImageNet
# weights are available without registration.
ROWS = {
    "alexnet": "alexnet",
    "alexnet, as described": "alexnet-2012",
    "squeezenet": "squeezenet",
    "squeezenet, as described": "squeezenet-relu",
    "squeezenet 1.0": "squeezenet-1.0",
    "googlenet": "googlenet",
    "googlenet, as described": "googlenet-2015",
    "efficientnet-b0": "efficientnet-b0",
    "resnet50": "resnet50",
    "mobilenet-v2": "mobilenet-v2",
}
# Tables 2 to 4: the five printed runs and the printed average, percent.
PRINTED = {
    "2": {
        "alexnet": ((99.92, 99.88, 99.49, 99.86, 99.65), 99.76),
        "squeezenet": ((99.67, 99.98, 99.82, 99.81, 99.65), 99.79),
        "googlenet": ((99.42, 99.40, 99.38, 99.36, 99.22), 99.36),
        "efficientnet-b0": ((99.73, 99.75, 99.42, 99.59, 99.55), 99.61),
        "resnet50": ((98.70, 98.95, 98.95, 98.81, 98.97), 98.88),
        "mobilenet-v2": ((98.11, 97.59, 98.07, 97.55, 98.15), 97.89),
    },
    "3": {
        "alexnet": ((98.92, 99.49, 99.28, 99.77, 98.58), 99.21),
        "squeezenet": ((99.86, 99.49, 99.16, 99.26, 97.78), 99.11),
        "googlenet": ((98.44, 99.51, 99.57, 99.61, 99.44), 99.31),
        "efficientnet-b0": ((99.45, 99.51, 98.85, 99.63, 98.31), 99.15),
        "resnet50": ((98.09, 98.73, 98.48, 98.48, 98.05), 98.37),
        "mobilenet-v2": ((97.49, 96.96, 97.72, 97.86, 97.53), 97.51),
    },
    "4": {
        "alexnet": ((99.77, 99.82, 99.81, 99.88, 98.92), 99.84),
        "squeezenet": ((98.33, 99.69, 99.63, 99.42, 99.53), 99.32),
        "googlenet": ((98.13, 99.71, 98.72, 99.38, 99.18), 99.02),
        "efficientnet-b0": ((98.17, 99.16, 99.07, 99.38, 98.79), 98.91),
        "resnet50": ((98.19, 98.72, 97.31, 99.59, 98.89), 98.54),
        "mobilenet-v2": ((97.88, 97.16, 96.77, 97.10, 97.78), 97.34),
    },
}
# Table 5 repeats the averages, except for these.
PRINTED_SUMMARY_DIFFERS = {("googlenet", "4"): 99.31}
# Table 6: other work as printed, and how those papers tested.
OTHERS = {
    "3D-CNN with transfer learning (Zhi et al. 2019)": ("97.6", "five-fold cross-validation; of what is not said"),
    "TLCNN (Wang et al. 2018)": ("71.2", "not said"),
    "TS-AUCNN and SVM (Sun et al. 2020)": ("81.8", "not said"),
    "SqueezeNet, nothing frozen (theirs)": ("99.79", "a random split of frames"),
    "GoogLeNet, 20 % frozen (theirs)": ("99.31", "a random split of frames"),
    "AlexNet, 50 % frozen (theirs)": ("99.84", "a random split of frames"),
}
TIMED, TURNS, TIMED_PX = 4, 5, 96  # samples in a step, steps of each setting, px at the quick scale
PRINTED_COUNTS = {
    "happiness": 2360, "sadness": 150, "surprise": 1729, "disgust": 4204, "fear": 127, "repression": 2187,
    "others": 6367,
}  # fmt: skip


def tables(setting: Setting, wanted: Sequence[str]) -> Iterator[Table]:
    """The paper's tables beside ours, each as soon as it is done."""
    plan = common.load(PAPER, setting)
    clips = []
    if set(wanted) & {"1", "2", "3", "4"}:
        clips = labeled(gather.gather(plan.data, setting.data), plan.data.scheme)
    if "1" in wanted:
        yield _counts(clips)
    if "5" in wanted:
        yield _summary()
    if "6" in wanted:
        yield _others()
    if "time" in wanted:
        yield _time(setting)
    if "components" in wanted:
        yield common.components(PAPER)
    for number in ("2", "3", "4"):
        if number in wanted:
            yield _table(number, plan, clips, setting)


def _table(number: str, plan: Recipe, frames: list[Clip], setting: Setting) -> Table:
    used = thinned(frames, QUICK_CLIPS, QUICK_FRAMES) if setting.quick else frames
    lines, folders, note = [], [], ""
    for label, network in ROWS.items():
        runs, average = PRINTED[number][_printed(label)]
        printed = (label, f"{average:.2f}", f"{np.mean(runs):.2f}")
        found = common.attempt(partial(_row, number, label, network, plan, used, setting))
        if isinstance(found, str):
            lines.append((*printed, found, "", ""))
            continue
        cells, where, remark = found
        lines.append((*printed, *cells))
        folders += where
        note = remark or note
    columns = (
        "network",
        "printed average",
        "mean of the printed runs",
        "ours, frame split",
        "ours, subject split",
        "starts from",
    )
    notes = [
        "leak: frames of one clip are trained on and tested; all figures are accuracies in percent",
        neighbors_note(frames),
        "subject split: other people are tested, " + note,
    ]
    if setting.quick:
        part = 2 * 5 * 0.7 * len(frames)  # two splits, five trials, 70 % of the frames
        notes.append(common.full_hours({name: part * epochs for name, (_, epochs, _) in NETWORKS.items()}))
    title = f"setting {int(number) - 1}, {FROZEN[number]} of the learnable layers frozen"
    return Table(PAPER, number, title, columns, tuple(lines), tuple(notes), _scale(setting), tuple(folders))


def _row(
    number: str, label: str, network: str, plan: Recipe, used: list[Clip], setting: Setting
) -> tuple[tuple[str, str, str], list[str], str]:
    """Accuracies by frames and by subjects, and the starting weights; the stored runs; counts of the tested clips.

    Raises as ``common.row``.
    """
    rate, epochs, size = NETWORKS[_printed(label)]
    row = common.with_stages(common.with_model(plan, name=network), frozen=FROZEN[number])
    if setting.quick:
        row = common.with_stages(row, epochs=QUICK_EPOCHS[_printed(label)])
        row = common.with_model(row, weights=_start(network, setting))
    else:
        row = common.with_input(common.with_stages(row, rate=rate, epochs=epochs), size=size)
    data = common.inputs(used, labels_of(used, plan.data.scheme), row, setting)
    ours, folders, note = {}, [], ""
    for kind, make, clean in (("frames", protocols.frame_split, False), ("subjects", protocols.subject_split, True)):
        if kind == "frames" and not setting.published:
            ours[kind] = "not asked for"
            continue
        accuracies = []
        for trial in range(1 if setting.quick else 5):
            folds = make(data.clips, seed=trial)
            where = f"{PAPER}-{setting.scale}/{network}-{FROZEN[number]}-{kind}-{trial}"
            run = common.row(
                dataclasses.replace(row, seed=trial), data, folds, where, setting,
                protocol=f"random {kind}", clean=clean, once=False,
            )  # fmt: skip
            accuracies.append(run.scores.accuracy)
            folders.append(where)
            if kind == "subjects":
                note = common.counts_note(run)
        ours[kind] = common.percent(float(np.mean(accuracies)))
    start = "ImageNet" if row.model.weights == "imagenet" else "random"
    return (ours["frames"], ours["subjects"], start), folders, note


def _printed(label: str) -> str:
    """The name of a row in the paper."""
    return label.split(",")[0].split()[0]


def _scale(setting: Setting) -> str:
    if not setting.quick:
        return "full: all frames, 224 or 227 px, the paper's epochs and rates, five trials"
    part = f"every {QUICK_FRAMES}th frame of every {QUICK_CLIPS}th clip"
    return f"QUICK, not the paper's: {part}, 64 px, 6 to 24 epochs of Adam at 0.001, one trial"


def _start(network: str, setting: Setting) -> str:
    if setting.weights:
        return setting.weights
    return "imagenet" if models.weights.available(network) else "none"


def thinned(frames: Sequence[Clip], clips: int, stride: int) -> list[Clip]:
    """Every ``stride``-th frame of every ``clips``-th clip."""
    names = sorted({_clip_of(frame) for frame in frames})
    kept = set(names[::clips])
    return [frame for frame in frames if _clip_of(frame) in kept and position(frame) % stride == 0]


def _clip_of(frame: Clip) -> str:
    return frame.key.rsplit("@", 1)[0]


def position(frame: Clip) -> int:
    """Position of a single frame in its clip."""
    return int(frame.clip.rsplit("@", 1)[1])


def neighbors(frames: Sequence[Clip], fold: Fold, within: int) -> float:
    """Share of the tested frames with a training frame of the same clip at most ``within`` frames away."""
    trained: dict[str, set[int]] = defaultdict(set)
    for i in fold.train:
        trained[_clip_of(frames[i])].add(position(frames[i]))
    near = [
        any(position(frames[i]) + d in trained[_clip_of(frames[i])] for d in range(-within, within + 1))
        for i in fold.test
    ]
    return float(np.mean(near))


def neighbors_note(frames: Sequence[Clip]) -> str:
    fold = protocols.frame_split(frames)[0]
    share = neighbors(frames, fold, round(NEAR * 200))
    return (
        f"in a 70:30 split of all {len(frames)} frames, {100 * share:.1f} % of the test frames have a training frame "
        "of the same clip within 10 ms"
    )


def _counts(frames: Sequence[Clip]) -> Table:
    found = Counter(str(frame.label("7")) for frame in frames)
    rows = [(label, str(printed), str(found[label])) for label, printed in PRINTED_COUNTS.items()]
    rows.append(("all", "17124", str(len(frames))))
    return Table(PAPER, "1", "frames of CASME II", ("class", "printed", "here"), tuple(rows), (), "whole")


def _summary() -> Table:
    rows, notes = [], []
    for network in NETWORKS:
        cells = []
        for number in FROZEN:
            runs, average = PRINTED[number][network]
            printed = PRINTED_SUMMARY_DIFFERS.get((network, number), average)
            cells += [f"{printed:.2f}", f"{np.mean(runs):.2f}"]
            if abs(printed - np.mean(runs)) > 0.02:
                which = f"{network}, setting {int(number) - 1}"
                notes.append(f"{which}: printed {printed:.2f}, its five runs average {np.mean(runs):.2f}")
        rows.append((network, *cells))
    columns = ("network", *(f"setting {k} {what}" for k in (1, 2, 3) for what in ("printed", "recomputed")))
    title = "their summary, and the averages recomputed from their own runs"
    return Table(PAPER, "5", title, columns, tuple(rows), tuple(notes), "arithmetic, nothing trained")


def _others() -> Table:
    """Table 6 compares with three papers; this is how they tested."""
    rows = [(name, printed, how) for name, (printed, how) in OTHERS.items()]
    columns = ("model", "accuracy printed", "how it was tested")
    notes = ("these papers use other protocols than the random split of frames, so the order means nothing",)
    return Table(PAPER, "6", "their table of other work", columns, tuple(rows), notes, "as printed, nothing trained")


def _time(setting: Setting) -> Table:
    """Times a training step with none, 20 % and 50 % of the layers frozen, in turns."""
    rows = []
    for label, network in ROWS.items():
        side = TIMED_PX if setting.quick else NETWORKS[_printed(label)][2]
        steps = {number: _steps(network, frozen, side, setting) for number, frozen in FROZEN.items()}
        spent: dict[str, list[float]] = {number: [] for number in FROZEN}
        for turn in range(TURNS + 1):
            for number, step in steps.items():
                seconds = next(step)
                if turn:  # the first one warms up
                    spent[number].append(seconds)
        middle = {number: float(np.median(times)) for number, times in spent.items()}
        cells = (f"{middle[n] / middle['2']:.2f}" for n in ("3", "4"))
        rows.append((label, f"{1e3 * middle['2'] / TIMED:.0f} ms", *cells))
    columns = ("network", "a sample, nothing frozen", "20 % frozen, to that", "50 % frozen, to that")
    side_px = TIMED_PX if setting.quick else "224 or 227"
    scale = f"{TURNS} steps of {TIMED} samples each, in turns, {side_px} px, this machine"
    note = (
        "the paper says without a figure that transfer learning 'cuts down on the time'; a step is forward, backward, "
        "update"
    )
    return Table(PAPER, "time", "what freezing saves", columns, tuple(rows), (note,), scale)


def _steps(network: str, frozen: str, side: int, setting: Setting) -> Iterator[float]:
    """Seconds of successive training steps on noise."""
    model = models.create(network, len(PRINTED_COUNTS), size=side)
    noise = np.random.default_rng(0)
    x = noise.integers(0, 256, (TIMED, 3, side, side), np.uint8)
    samples = Samples(x, noise.integers(0, len(PRINTED_COUNTS), TIMED), ("nobody",) * TIMED)
    stage = Stage(epochs=1, batch=TIMED, optimizer="sgd", momentum=0.9, rate=1e-4, frozen=frozen)
    return fit.timed_steps(model, samples, stage, len(PRINTED_COUNTS), setting.device, TURNS + 1)
