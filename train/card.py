"""``python -m train card RUN``: a model card from the numbers of an evaluation and of its controls.

RUN is a folder that ``evaluate`` wrote. All figures come from the runs; the recipe holds the text on what the network
is, how its design was chosen and what was not measured.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import OutputError
from train import describe, heads, metrics, none, recipe, runs
from train.calibration import BINS, SUREST, calibration, coverage_risk, perfect_ece
from train.heads import Tested
from train.metrics import Interval
from train.recipe import Recipe
from train.runs import Run

FEW_BINS: Final = 5  # of an ECE that some hundred clips can fill
Mask = NDArray[np.bool_]


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder written by evaluate")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="output file (default: RUN/card.md)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the card. Returns 0; raises DataError when the folder holds no run, OutputError."""
    print(write(args.folder, args.out or args.folder / "card.md"))
    return 0


def write(folder: Path, out: Path) -> Path:
    """Writes the card of the run in ``folder``. Raises OutputError."""
    text = render(runs.load(folder), controls(folder), heads.measured(folder))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {out} ({error.strerror}): choose another --out") from None
    return out


def controls(folder: Path) -> list[Run]:
    """The finished runs of the same recipe beside ``folder``: other protocols, permuted labels and the like."""
    main = runs.load(folder)
    beside = sorted(path.parent for path in folder.parent.glob("*/run.json") if path.parent.name != folder.name)
    found = (runs.load(path) for path in beside if path.name.startswith(f"{main.name}-"))
    return [run for run in found if run.about.get("fingerprint") == main.about["fingerprint"]]


def render(run: Run, beside: Sequence[Run] = (), coded: Sequence[Tested] = ()) -> str:
    """The card as Markdown. beside: controls, each of which adds rows to the score table. coded: the heads."""
    plan = recipe.from_table(_without_none(run.about["recipe"]))
    counts = run.truth[run.main], run.logits[run.main].astype(float)
    parts = [
        f"# Model card: {plan.name}/{plan.version}",
        _introduction(run, plan),
        plan.about,
        "## Data and license",
        _data(run, plan),
        "## How it was measured",
        _protocol(run, plan),
        plan.method,
        "## Scores",
        _table([*_rows(run), *(line for other in beside for line in _control(other, _kind(run)))]),
        f"By class, {_kind(run)}:",
        _fenced(metrics.render(metrics.score(*counts, run.labels))),
        "## Calibration and abstention",
        "No temperature was fitted." if run.calibrated is None else _calibration(run, plan),
        *_nothing(run),
        *_coded(coded),
        "## Limits",
        plan.limits,
        "## How to reproduce it",
        _fenced(run.about.get("command", "python -m train evaluate RECIPE.toml\npython -m train fit RECIPE.toml")),
        _AGAIN,
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _introduction(run: Run, plan: Recipe) -> str:
    return _wrapped(_INTRODUCTION.format(
        feature=plan.input.feature, side=plan.input.size, network=plan.model.name, labels=", ".join(run.labels),
        none="" if plan.none is None else "says that nothing moves, ",
        parameters=f"{run.about['parameters']:,}",
    ))  # fmt: skip


def _data(run: Run, plan: Recipe) -> str:
    terms = plan.license or "The recipe states no license: the terms of the data apply to the weights."
    lines = [terms, "", "| data | clips | subjects | " + " | ".join(run.labels) + " |"]
    lines.append("|---" * (3 + len(run.labels)) + "|")
    for name in sorted(set(_datasets(run).tolist())):
        chosen = _datasets(run) == name
        counts = " | ".join(str(n) for n in np.bincount(run.truth[chosen], minlength=len(run.labels)))
        kind = "" if run.main.all() else " (own motion)" if run.own[chosen].all() else " (public maps)"
        lines.append(f"| {name}{kind} | {chosen.sum()} | {_subjects(run, chosen)} | {counts} |")
    if skipped := run.about["skipped"]:
        lines += ["", f"Left out ({len(skipped)}):", "", *(f"- {reason}" for reason in skipped)]
    return "\n".join(lines)


def _protocol(run: Run, plan: Recipe) -> str:
    parts = [f"{describe.protocol(run)[0].upper()}{describe.protocol(run)[1:]}. {_PROTOCOL}"]
    if run.calibrated is not None and plan.calibrate is not None:
        parts.append(_NESTED.format(outer=plan.calibrate.outer, inner=plan.calibrate.inner))
    return _wrapped(" ".join(parts))


def _rows(run: Run) -> Iterator[tuple[str, ...]]:
    """The scores of a run by kind and data set, and of its moved key frames."""
    yield _row(run, _kind(run), run.logits, run.main, "")
    names, mixed = _datasets(run), not run.main.all()
    if mixed:
        yield _row(run, "all, with public maps", run.logits, np.ones_like(run.main), "")
    shown = sorted(set(names[~run.main].tolist() if mixed else names.tolist()))
    if mixed or len(shown) > 1:
        for name in shown:
            yield _row(run, name, run.logits, names == name, "public maps" if mixed else "")
    for moved, logits in run.moved.items():
        yield _row(run, _kind(run), logits, run.main, moved)


def _control(run: Run, kind: str) -> Iterator[tuple[str, ...]]:
    """kind: the card's name for the samples that the model is made for."""
    note = str(run.about.get("control") or run.protocol.replace("-", " "))
    yield _row(run, kind, run.logits, run.main, note)
    if not run.main.all():
        yield _row(run, "all, with public maps", run.logits, np.ones_like(run.main), note)


def _row(run: Run, name: str, logits: NDArray[Any], where: Mask, note: str) -> tuple[str, ...]:
    """Pooled scores of the samples where the mask is true, with intervals by subject bootstrap."""
    groups = np.asarray(run.groups)[where].tolist()
    found = metrics.bootstrap(run.truth[where], logits[where].astype(float), groups, run.labels)
    scores = (_cell(found[score]) for score in ("UF1", "UAR", "WAR"))
    return name, str(where.sum()), str(_subjects(run, where)), *scores, note


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| tested | clips | subjects | UF1 | UAR | accuracy | |", "|---|---|---|---|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(cells)} |" for cells in rows])


def _calibration(run: Run, plan: Recipe) -> str:
    assert run.calibrated is not None
    lines = [_CALIBRATION_HEAD, "|---|---|---|---|---|---|---|---|"]
    kinds = [(_kind(run), run.main)] + ([] if run.main.all() else [("all", np.ones_like(run.main))])
    for name, chosen in kinds:
        t, p = run.truth[chosen], run.answers[chosen]
        found, coarse = calibration(t, p), calibration(t, p, FEW_BINS)
        lines.append(
            f"| {name} | {found.ece:.3f} | {_perfect(p, BINS)} | {found.ece_adaptive:.3f} | {coarse.ece:.3f} "
            f"| {_perfect(p, FEW_BINS)} | {found.nll:.3f} | {found.brier:.3f} |"
        )
    answered = run.calibrated.answered & run.main
    kept = "none were answered"
    if answered.any():
        there = metrics.score(run.truth[answered], run.calibrated.probabilities[answered], run.labels)
        kept = f"with UF1 {there.uf1:.3f} and UAR {there.uar:.3f}"
    text = _ABSTAINS.format(
        bins=BINS, few=FEW_BINS, below=describe.model_decision(plan, run).abstain_below,
        share=_percent(answered.sum() / run.main.sum()), kept=kept,
    )  # fmt: skip
    lines += [
        "",
        _wrapped(text),
        "",
        "| answered, most certain first | errors among them | probability of the last |",
        "|---|---|---|",
    ]
    curve = coverage_risk(run.truth[run.main], run.answers[run.main])
    for share in (0.5, 0.7, 0.8, 0.9, 1.0):
        coverage, risk, threshold = curve[np.searchsorted(curve[:, 0], share - 1e-9)]
        lines.append(f"| {_percent(coverage)} | {_percent(risk, 1)} | {threshold:.2f} |")
    return "\n".join(lines)


def _nothing(run: Run) -> list[str]:
    """How often still pairs are answered, and movements recorded in the same ways."""
    rows = none.rows(run)
    if not rows:
        return []
    lines = ["| pairs of moments | number | answered | none most probable | UF1 of those answered |"]
    lines.append("|---|---|---|---|---|")
    for row in rows:
        uf1 = "" if row.uf1 is None else f"{row.uf1:.3f}"
        lines.append(f"| {row.kind} | {row.count} | {_percent(row.answered, 1)} | {_percent(row.none, 1)} | {uf1} |")
    still = [row for row in rows if row.still]
    share = sum(row.answered * row.count for row in still) / max(sum(row.count for row in still), 1)
    lost = 0.0 if run.none is None else float((run.none[run.main] > SUREST).mean())
    text = _NOTHING.format(share=_percent(share, 1), lost=_percent(lost, 1))
    return ["## Where nothing moves", _wrapped(text), "\n".join(lines)]


def _coded(coded: Sequence[Tested]) -> list[str]:
    """Objective class and action units, each beside what chance gives."""
    parts = []
    for head in coded:
        if head.each:
            parts += [_UNITS, _units(head)]
        else:
            found = metrics.bootstrap(head.truth, head.probabilities, head.groups, head.labels)
            text = _OBJECTIVE.format(clips=len(head.truth), people=len(set(head.groups)), uf1=_cell(found["UF1"]))
            parts += [
                _wrapped(text),
                _fenced(metrics.render(metrics.score(head.truth, head.probabilities, head.labels))),
            ]
    return ["## Objective class and action units", *parts] if parts else []


def _units(head: Tested) -> str:
    lines = [
        f"| unit | of {len(head.truth)} clips | average precision | of chance | F1 | always | Brier | of chance |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = heads.units(head)
    lines += [
        f"| {r.unit} | {r.clips} | {r.precision:.2f} ({r.low:.2f}-{r.high:.2f}) | {r.share:.2f} | {r.f1:.2f} "
        f"| {r.always:.2f} | {r.brier:.3f} | {r.base:.3f} |"
        for r in rows
    ]
    mean = np.mean([[r.precision, r.share, r.f1, r.always, r.brier, r.base] for r in rows], axis=0)
    p, share, f1, always, brier, base = mean.tolist()
    return "\n".join(
        [*lines, f"| mean | | {p:.2f} | {share:.2f} | {f1:.2f} | {always:.2f} | {brier:.3f} | {base:.3f} |"]
    )


def _perfect(probabilities: NDArray[np.float64], bins: int) -> str:
    draws = perfect_ece(probabilities, bins)
    return f"{draws.mean():.3f} ({np.quantile(draws, 0.95):.3f})"


def _kind(run: Run) -> str:
    return "all" if run.main.all() else "own motion"


def _datasets(run: Run) -> NDArray[np.str_]:
    return np.array([key.split("/")[0] for key in run.keys])


def _subjects(run: Run, where: Mask) -> int:
    return len(set(np.asarray(run.groups)[where].tolist()))


def _cell(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f}-{interval.high:.3f})"


def _percent(fraction: float, digits: int = 0) -> str:
    return f"{100 * fraction:.{digits}f} %"


def _wrapped(text: str) -> str:
    """Each paragraph in lines of at most 120 characters."""
    return "\n\n".join(textwrap.fill(" ".join(part.split()), 120) for part in text.strip().split("\n\n"))


def _fenced(text: str) -> str:
    return f"```\n{text}\n```"


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    """A stored recipe without the keys that are None, which TOML cannot hold."""
    return {key: value for key, value in table.items() if value is not None}


_INTRODUCTION = """
Written by the run that scored the model. The model names the class of a micro-expression ({labels}) with a probability,
{none}or abstains. It is meant for research and demonstration. It says nothing about what a person feels, intends or
hides. Do not use it to judge people; inferring emotions at work and in education is prohibited in the European Union
(AI Act, Art. 5(1)(f)).

Input: the feature `{feature}`, (3, {side}, {side}). Network: `{network}`, {parameters} parameters.
"""

_PROTOCOL = """
Every network is trained from scratch on the other subjects. UF1, UAR and accuracy are pooled over folds. Brackets hold
95 % intervals from resampling subjects (2000 times).
"""

_NESTED = """
For the temperature and the abstention threshold, the subjects are divided into {outer} groups; the values for a group
come from an inner {inner}-fold split of all other subjects.
"""

_CALIBRATION_HEAD = (
    "| tested | ECE | perfect model (95 % below) | ECE, equal counts | ECE, 5 bins "
    "| perfect model (95 % below) | log loss | Brier |"
)

_ABSTAINS = (
    "ECE uses {bins} bins. With so few clips even a perfectly calibrated model shows an ECE above 0, by chance. "
    "The column beside it gives the mean ECE of a perfect model with these probabilities and, in brackets, the value "
    "below which 95 % of such models stay. With {few} bins chance adds less.\n\n"
    "The model abstains below a probability of {below:.2f}. With thresholds chosen in the same way on other subjects "
    "only, {share} of these clips were answered, {kept}."
)

_NOTHING = """
A still pair is two moments between which nothing moves. For 10 ms these are the clip's own frames at its onset; for
longer gaps they are its resting face with its own noise, followed as the runtime follows a face, raw and through H.264,
with the head fixed and drifting. Movements are the same clips from onset to apex, recorded in the same ways. The person
was unknown to networks, gates, temperatures and thresholds. {share} of all still pairs were answered. For {lost} of the
clips of own motion, "none" has a probability above one half.
"""

_OBJECTIVE = """
The heads were tested by leaving one person out. Each is a regression on the output of the network's first step.
Objective class, {clips} clips of {people} people: UF1 {uf1}.
"""

_UNITS = """
Each action unit has a probability of its own. Brackets hold 95 % intervals from resampling people (500 times). The
average precision of chance is the share of clips that show the unit; "always" is the F1 of always calling it present.
Brier is the mean squared error of the probability; that of chance uses the unit's share for every clip.
"""

_AGAIN = """
The weights are the same on every run on one machine. Other processors and versions of torch may change the last digits.
The data are not part of this project: `python -m train datasets` says where to request them.
"""
