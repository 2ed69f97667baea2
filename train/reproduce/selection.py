"""The effect of choosing the epoch on the test subject. Not one of the five papers: it measures a fault of others.

STSTNet (Liong et al. 2019) prints UF1 0.7353 and "UAR" 0.7605; its log gives a UAR of 0.7186 (the printed one is its
macro precision). HTNet (Wang et al. 2024) prints 0.860 / 0.848, and its public code keeps, for each test subject, the
epoch that does best on that subject. Here one network is trained once per fold; its last epoch and its best epoch on
the test subject are read from the same training, and again with permuted labels, where everything above chance is the
leak.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from train import gather, metrics, protocols
from train.inputs import Prepared
from train.records import THREE
from train.reproduce import common
from train.reproduce.common import Setting, Table
from train.runs import Run, softmax
from train.samples import Samples

PAPER = "selection"
TABLES = ("1",)


def tables(setting: Setting, wanted: Sequence[str]) -> Iterator[Table]:
    """One table: honest labels and permuted ones, last epoch and epoch chosen on the test subject."""
    del wanted  # there is one table
    plan = common.load(PAPER, setting)
    data = common.inputs(gather.gather(plan.data, setting.data), THREE, plan, setting)
    folds = protocols.megc2019_cde(data.clips)
    faults: tuple[str, ...] = ("best-on-test",) if setting.published else ()
    where = f"{PAPER}-{setting.scale}/labels{'' if setting.published else '-clean'}"
    honest = common.row(plan, data, folds, where, setting, protocol="megc2019", faults=faults)
    rows = [("STSTNet, last epoch", "0.735", "0.719", *_ours(honest, best=False))]
    folders = [where]
    if setting.published:
        shuffled = common.row(
            plan, permuted(data, plan.seed), folds, f"{PAPER}-{setting.scale}/permuted", setting,
            protocol="megc2019, labels permuted", faults=faults,
        )  # fmt: skip
        rows += [
            ("the same, epoch chosen on the test subject (as in HTNet)", "0.860", "0.848", *_ours(honest, best=True)),
            ("permuted labels, last epoch", "-", "-", *_ours(shuffled, best=False)),
            ("permuted labels, epoch chosen on the test subject", "-", "-", *_ours(shuffled, best=True)),
        ]
        folders.append(f"{PAPER}-{setting.scale}/permuted")
    notes = (
        "leak: the epoch is chosen for each test subject by that subject's own labels",
        "printed: STSTNet's own (UAR recomputed from its log: the printed 0.7605 is precision); HTNet's for its rule",
        common.counts_note(honest),
    )
    columns = ("row", "UF1 printed", "UAR printed", "UF1 ours", "UAR ours")
    epochs = sum(stage.epochs for stage in plan.stage)
    scale = f"{'QUICK' if setting.quick else 'full'}: 68 folds, {epochs} epochs, 28 px maps"
    yield Table(PAPER, "1", "the epoch chosen on the test subject", columns, tuple(rows), notes, scale, tuple(folders))


def permuted(data: Prepared, seed: int) -> Prepared:
    """The data with labels shuffled over all clips."""
    y = np.random.default_rng(seed).permutation(data.samples.y)
    return dataclasses.replace(data, samples=Samples(data.samples.x, y, data.samples.groups))


def _ours(run: Run, best: bool) -> tuple[str, str]:
    if not best:
        return common.interval(run, "UF1"), common.interval(run, "UAR")
    assert run.best is not None
    scores = metrics.score(run.truth, softmax(run.best), run.labels)
    return f"{scores.uf1:.3f}", f"{scores.uar:.3f}"
