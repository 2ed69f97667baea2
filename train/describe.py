"""Builds the metadata of a model (``ModelSpec``): its data, and the results of an evaluation of the same recipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.recognize.spec import Head, ModelSpec
from train import heads, metrics, models, none, runs
from train.calibration import SUREST, Decision, calibration, decide, perfect_ece
from train.inputs import Prepared
from train.models import weights
from train.models.none import LABEL
from train.recipe import Recipe
from train.runs import Run, commit

# Protocols whose scores are for new people, best first, with their names in a model's metadata.
MEASURED: Final = {"loso": "leave one subject out", "megc2019": "leave one subject out (MEGC2019)"}
Scores = dict[str, dict[str, float]]


def evaluated(plan: Recipe, data: Prepared, out: Path) -> Run | None:
    """The finished evaluation of the same recipe on the same clips below ``out``, if any."""
    keys = sorted(clip.key for clip in data.clips)
    for protocol in MEASURED:
        folder = out / f"{plan.name}-{protocol}"
        if (folder / "run.json").exists():
            run = runs.load(folder)
            same = run.about.get("fingerprint") == plan.fingerprint() and sorted(run.keys) == keys
            same = same and run.about.get("weights", "") == weights.identity(plan.model.weights)
            if same and not run.about["faults"]:
                return run
    return None


def of_head(plan: Recipe, run: Run | None, taught: heads.HeadData, out: Path) -> heads.Tested | None:
    """The result of the head of the same recipe on the same clips in the evaluation ``run``; None when it was not
    tested."""
    if run is None:
        return None
    found = heads.measured(out / f"{plan.name}-{run.protocol}")
    who = sorted(taught.groups)
    return next((one for one in found if one.name == taught.plan.name and sorted(one.groups) == who), None)


def spec(plan: Recipe, data: Prepared, run: Run | None, people: Iterable[str], coded: Sequence[Head] = ()) -> ModelSpec:
    """The metadata of the network fitted on ``data``. run: an evaluation of the same recipe, if any.

    people: other people in the training data (``Clip.group``): of pre-training, of the starting weights, or of the
    heads. coded: metadata of the heads.
    """
    keys = [clip.key for clip in data.clips]
    shape = models.input_shape(plan.model.name, plan.input.size)
    decision = None if run is None or run.calibrated is None else model_decision(plan, run)
    labels = data.labels if plan.none is None else (*data.labels, LABEL)
    return ModelSpec(
        plan.name, plan.version, labels, plan.input.feature, shape,
        temperature=1.0 if decision is None else round(decision.temperature, 4),
        abstain_below=SUREST if decision is None else round(decision.abstain_below, 3),
        none="" if plan.none is None else LABEL,
        training_data=trained_on(data.labels, keys, data.samples.groups, data.samples.y),
        people=tuple(sorted({*data.samples.groups, *people})),
        license=plan.license,
        protocol="not measured, not calibrated" if run is None else protocol(run),
        scores={} if run is None else scores(run),
        heads=tuple(coded),
        commit=commit(),
        created=datetime.now(UTC).date().isoformat(),
    )  # fmt: skip


def model_decision(plan: Recipe, run: Run) -> Decision:
    """Temperature and threshold of the model fitted on everyone, from the pooled answers of the run."""
    assert plan.calibrate is not None
    how = plan.calibrate
    return decide(run.truth, run.logits, run.main, how.answered, run.none, how.least)


def trained_on(labels: Sequence[str], keys: Sequence[str], groups: Sequence[str], y: NDArray[np.int64]) -> str:
    """Clips, subjects and class counts of each data set, in one line."""
    names = np.array([key.split("/")[0] for key in keys])
    parts = []
    for name in sorted(set(names.tolist())):
        counts = np.bincount(y[names == name], minlength=len(labels))
        text = ", ".join(f"{count} {label}" for label, count in zip(labels, counts, strict=True))
        parts.append(f"{name} {counts.sum()} ({text})")
    return f"{len(keys)} clips of {len(set(groups))} subjects: {'; '.join(parts)}"


def protocol(run: Run) -> str:
    """How the scores were measured, in one line."""
    folds, people = len(set(run.folds)), len(set(run.groups))
    text = MEASURED.get(run.protocol, run.protocol)
    text += "" if folds == people else f", {people} subjects in {folds} groups"
    calibrated = "not calibrated" if run.calibrated is None else "temperature and threshold nested"
    of = "" if run.main.all() else "; scores of own motion, and of all with public maps"
    return f"{text}, pooled; {calibrated}{of}"


def scores(run: Run) -> Scores:
    """UF1 and UAR with intervals by subject bootstrap, calibration error and coverage on the samples that the model is
    made for; UF1 and UAR on all samples when there are others; the number of parameters."""
    kept: Scores = {}
    everything = np.ones_like(run.main)
    for prefix, where in [("", run.main)] + ([] if run.main.all() else [("all ", everything)]):
        groups = np.asarray(run.groups)[where].tolist()
        found = metrics.bootstrap(run.truth[where], run.logits[where].astype(float), groups, run.labels)
        for name in ("UF1", "UAR"):
            kept[prefix + name] = {key: getattr(found[name], key) for key in ("value", "low", "high")}
    if run.calibrated is not None:
        p = run.answers[run.main]
        kept["ECE"] = {"value": calibration(run.truth[run.main], p).ece}
        kept["ECE of a perfect model"] = {"value": float(perfect_ece(p).mean())}
        kept["coverage"] = {"value": float(run.calibrated.answered[run.main].mean())}
    still = [row for row in none.rows(run) if row.still]
    if still:
        counts = [row.count for row in still]
        kept["still pairs answered"] = {"value": float(np.average([row.answered for row in still], weights=counts))}
        kept["still pairs answered, worst kind"] = {"value": max(row.answered for row in still)}
    kept["parameters"] = {"value": float(run.about["parameters"])}
    return {name: {key: round(value, 4) for key, value in values.items()} for name, values in kept.items()}
