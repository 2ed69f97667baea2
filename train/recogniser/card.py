"""Writes the model card from a run's own numbers: nothing in it that was measured is typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.recognise.spec import ModelSpec
from train import metrics
from train.calibration import BINS, calibration, coverage_risk
from train.metrics import Interval
from train.recogniser.data import Motions
from train.recogniser.scoring import INNER, OUTER, Tested
from train.records import THREE

FEW_BINS: Final = 5  # of an ECE that 138 clips can fill


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the score table. note: what was tested, and how it differs from the rows before."""

    name: str
    clips: int
    subjects: int
    uf1: Interval
    uar: Interval
    war: Interval
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Everything that a run found out. own: mask of the own-flow samples. skipped: clips left out and why."""

    data: Motions
    tested: Tested
    rows: tuple[Row, ...]
    skipped: tuple[str, ...]
    command: str


def row(name: str, data: Motions, answers: NDArray[np.float64], where: NDArray[np.bool_], note: str = "") -> Row:
    """Pooled scores of the samples where the mask is true, with intervals by subject bootstrap."""
    groups = data.groups[where]
    found = metrics.bootstrap(data.y[where], answers[where].argmax(axis=1), list(groups), THREE)
    return Row(name, int(where.sum()), len(set(groups)), found["UF1"], found["UAR"], found["WAR"], note)


def scores(findings: Findings) -> dict[str, dict[str, float]]:
    """What the ModelSpec keeps: own flow and all, from the first rows, and calibration."""
    kept: dict[str, dict[str, float]] = {}
    for line, prefix in zip(findings.rows[:2], ("", "all "), strict=False):
        for name, interval in (("UF1", line.uf1), ("UAR", line.uar)):
            kept[prefix + name] = {"value": interval.value, "low": interval.low, "high": interval.high}
    own = findings.data.own
    kept["ECE"] = {"value": calibration(findings.data.y[own], findings.tested.probabilities[own]).ece}
    kept["coverage"] = {"value": float(findings.tested.answered[own].mean())}
    return {name: {key: round(value, 4) for key, value in values.items()} for name, values in kept.items()}


def render(findings: Findings, spec: ModelSpec) -> str:
    """The card as Markdown."""
    data, tested = findings.data, findings.tested
    own = data.own
    parts = [
        f"# Model card: {spec.id}",
        _INTRODUCTION.format(spec=spec, parameters=_parameters(spec)),
        "## Data and terms",
        _data(data, findings.skipped, spec),
        "## How it was measured",
        _PROTOCOL.format(inner=INNER, outer=OUTER),
        "## Scores",
        _table(findings.rows),
        "On own flow, by class:",
        _fenced(metrics.render(metrics.score(data.y[own], tested.probabilities[own], THREE))),
        "## Calibration and abstention",
        _calibration(data, tested, spec),
        "## Limits",
        _LIMITS,
        "## How to make it again",
        _fenced(findings.command),
        _AGAIN,
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _parameters(spec: ModelSpec) -> str:
    return f"{int(spec.scores['parameters']['value']):,}" if "parameters" in spec.scores else "some"


def _data(data: Motions, skipped: Sequence[str], spec: ModelSpec) -> str:
    lines = [f"{spec.training_data}. {spec.licence}", "", "| data | clips | subjects | " + " | ".join(THREE) + " |"]
    lines.append("|---" * (3 + len(THREE)) + "|")
    names = np.array([clip.dataset for clip in data.clips])
    for name in sorted(set(names)):
        chosen = names == name
        counts = " | ".join(str(int((data.y[chosen] == k).sum())) for k in range(len(THREE)))
        kind = "own flow" if data.own[chosen].all() else "public maps"
        lines.append(f"| {name} ({kind}) | {chosen.sum()} | {len(set(data.groups[chosen]))} | {counts} |")
    if skipped:
        lines += ["", f"Left out ({len(skipped)}):", "", *(f"- {reason}" for reason in skipped)]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> str:
    lines = ["| tested | clips | subjects | UF1 | UAR | accuracy | |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {r.name} | {r.clips} | {r.subjects} | {_cell(r.uf1)} | {_cell(r.uar)} | {_cell(r.war)} | {r.note} |"
        for r in rows
    ]
    return "\n".join(lines)


def _cell(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f}-{interval.high:.3f})"


def _calibration(data: Motions, tested: Tested, spec: ModelSpec) -> str:
    lines = [
        "| tested | ECE | a perfect model's (95 % below) | ECE, equal counts | ECE, 5 bins "
        "| a perfect model's (95 % below) | log loss | Brier |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, chosen in (("own flow", data.own), ("all", np.ones(len(data), np.bool_))):
        p = tested.probabilities[chosen]
        found, coarse = calibration(data.y[chosen], p), calibration(data.y[chosen], p, FEW_BINS)
        lines.append(
            f"| {name} | {found.ece:.3f} | {_perfect(p, BINS)} | {found.ece_adaptive:.3f} | {coarse.ece:.3f} "
            f"| {_perfect(p, FEW_BINS)} | {found.nll:.3f} | {found.brier:.3f} |"
        )
    own = data.own
    answered = tested.answered & own
    kept = "none were answered"
    if answered.any():
        found_there = metrics.score(data.y[answered], tested.probabilities[answered], THREE)
        kept = f"with UF1 {found_there.uf1:.3f} and UAR {found_there.uar:.3f}"
    lines += [
        "",
        f"ECE has {BINS} bins. So few clips give a perfectly calibrated model an ECE above 0 by chance alone: beside "
        "each stands the mean of what one with these probabilities would show, and below what 95 % of such models "
        f"stay. With {FEW_BINS} bins chance adds less.",
        "",
        f"The shipped model abstains below a probability of {spec.abstain_below:.2f}. With thresholds chosen in the "
        f"same way from other subjects alone, {answered.sum() / own.sum():.0%} of the own-flow clips were "
        f"answered, {kept}.",
        "",
        "| answered, surest first (own flow) | errors among them | probability of the last |",
        "|---|---|---|",
    ]
    curve = coverage_risk(data.y[own], tested.probabilities[own])
    for share in (0.5, 0.7, 0.8, 0.9, 1.0):
        coverage, risk, threshold = curve[np.searchsorted(curve[:, 0], share - 1e-9)]
        lines.append(f"| {coverage:.0%} | {risk:.1%} | {threshold:.2f} |")
    return "\n".join(lines)


def perfect_ece(
    probabilities: NDArray[np.float64], bins: int = BINS, repeats: int = 200, seed: int = 0
) -> NDArray[np.float64]:
    """ECE of perfectly calibrated models with these probabilities, (repeats,): truths are drawn from them."""
    random = np.random.default_rng(seed)
    steps = probabilities.cumsum(axis=1)[:, :-1]
    draws = [(random.random((len(probabilities), 1)) > steps).sum(axis=1) for _ in range(repeats)]
    return np.array([calibration(truth, probabilities, bins).ece for truth in draws])


def _perfect(probabilities: NDArray[np.float64], bins: int) -> str:
    draws = perfect_ece(probabilities, bins)
    return f"{draws.mean():.3f} ({np.quantile(draws, 0.95):.3f})"


def _fenced(text: str) -> str:
    return f"```\n{text}\n```"


_INTRODUCTION = """
Written by the run that made the model. It answers which of three classes (negative, positive, surprise) the motion of
a face from the onset to the apex of a micro-expression fits, with a probability, or abstains. Intended for research and
for showing the technique. It says nothing about what a person feels, intends or hides; do not use it to judge people,
and note that inferring emotions at work and in education is prohibited in the European Union (AI Act, Art. 5(1)(f)).

Input: the feature `{spec.feature}`, float32 {spec.input_shape}: motion in px of the aligned face with the head's own
motion removed (`realtime_mer/motion/flow.py`). Inside the file: means of u and v over 14 x 14 cells in the middle of
the face, and from them 7 x 7 blocks of u and v, of u and v each scaled by itself, and of motion to the right, down,
left and up, all scaled to length one; {parameters} parameters in one hidden layer, which is the average of four small
perceptrons and their mirror images; a temperature; softmax. One ONNX file, a few hundredths of a millisecond on one CPU
core.
"""

_PROTOCOL = """
Leave one subject out over all subjects of all data sets together. Every network is trained from scratch on the
other subjects, for a fixed number of steps: no epoch is chosen. For the temperature and the abstention threshold the
subjects are put into {outer} groups: those of a group come from an inner {inner}-part split of the subjects of all the
others. The controls with permuted labels leave out several subjects at a time, and shuffle within a data set: what its
class counts give away remains. CASME II is tested through the runtime's own alignment and flow on the annotated key
frames; SMIC and SAMM only exist as public maps (28 x 28, TV-L1, scaled to their own minimum and maximum), which is
another feature than the runtime's: their rows say how well the classes can be told apart there, not how well the
runtime does on such people. UF1, UAR and accuracy are pooled over folds; in brackets 95 % intervals by resampling
subjects (2000 times).

In training, a clip of own flow shows its flow between nine pairs of key frames, and for a third of the draws its public
map; what is tested is always the flow between the annotated key frames.

The design was picked in two rounds by leave-one-subject-out and leave-one-data-set-out on these same clips: some 190
combinations of block grid, scaling, classifier (logistic regression, RBF SVM, random features, perceptrons),
augmentation and weights of maps and classes for version 1, some 120 more for version 2 (one-sided motion, histograms
of orientation, strain, finer and coarser grids, maps as views, channel jitter, noise, weight decay, label smoothing,
head motion taken from the maps). So the scores are optimistic by what such a choice gives: perhaps .01 to .02 on own
flow and on all. Other seeds move them by about .01.
"""

_LIMITS = """
- Own flow is known from CASME II alone: East Asian students, elicited by films in a laboratory, frontal, in steady
  light, at 200 frames per second, with the head nearly still. Other ages, skin, light, poses, cameras and rates are not
  measured.
- Key frames were annotated by people who saw the whole clip. A spotter's are worse; the rows with moved key frames say
  what that costs. At 30 frames per second the apex may be missed by 17 ms.
- "negative" is disgust and repression; anger, contempt, fear and sadness hardly occur in the own-flow data. There is no
  class "others" and no class "none": a movement of another kind gets one of the three labels or an abstention.
- Scores are per clip that holds a micro-expression. On spotted movements, errors of the spotter come on top.
- Labels say what film the person watched and which action units a coder saw, not what was felt.
"""

_AGAIN = """
The weights are the same on every run on one machine; other processors and versions of torch may differ in the last
digits. Data are not part of this project: `python -m train datasets` says where to ask for them.
"""
