"""Shared by the papers' modules: the settings of a reproduction, printable tables, and running one row."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from realtime_mer.errors import DataError, ModelError
from realtime_mer.tables import plain
from train import evaluate, gather, metrics, pretrain, protocols, recipe, recipe_toml, runs
from train.datasets import find_root
from train.inputs import Prepared, prepare
from train.protocols import Fold
from train.recipe import Recipe
from train.records import Clip
from train.runs import Run

Value = TypeVar("Value")

RECIPES: Final = Path(__file__).parent.parent / "recipes"
# Number of groups in which a reduced scale tests the 68 subjects, to save time.
GROUPS: Final = 6


class RecipeOnlyError(DataError):
    """Only the recipe of a row was requested, and has been printed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The options of the command line. published: also run the papers' own, leaking protocols."""

    data: Path
    out: Path
    scale: str
    published: bool
    weights: str
    device: str = "cpu"
    quiet: bool = False
    jobs: int = 1
    recipes: bool = False  # only print the recipe of each row

    @property
    def quick(self) -> bool:
        return self.scale == "quick"

    @property
    def full(self) -> bool:
        return self.scale == "full"

    @property
    def cache(self) -> Path:
        """Decoded inputs and pre-trained weights, shared by all runs under ``out``."""
        return self.out / "cache"


@dataclass(frozen=True, slots=True)
class Table:
    """number: of the table in the paper. rows: text, one cell per column. notes: printed below, with any leaks named.
    runs: folders of the stored runs behind it."""

    paper: str
    number: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    scale: str
    runs: tuple[str, ...] = ()

    def text(self) -> str:
        rule = ["-" * max(map(len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        lines = [
            f"{self.paper}, table {self.number}: {self.title}",
            f"scale: {self.scale}",
            "",
            plain(self.columns, [rule, *self.rows], left=range(len(self.columns))),
        ]
        return "\n".join([*lines, *(f"* {note}" for note in self.notes)])


# Processor ms to train on one sample at 224 or 227 px, measured on two cores of an AMD EPYC, 2026-11-25.
CPU_MS: Final = {
    "alexnet": 106, "squeezenet": 134, "mobilenet-v2": 324, "resnet18": 340, "efficient-me-tr3": 373, "googlenet": 407,
    "efficientnet-b0": 643, "resnet50": 800, "efficient-me": 868,
}  # fmt: skip


def full_hours(visits: Mapping[str, float]) -> str:
    """The time for the paper's own size, printed below a reduced table. visits: training samples by network."""
    spent = {network: CPU_MS[network] * number / 3.6e6 for network, number in visits.items()}
    parts = ", ".join(f"{network} {hours:.0f} h" for network, hours in spent.items())
    return f"at full scale about {sum(spent.values()):.0f} processor hours: {parts}"


def components(paper: str) -> Table:
    """What the paper says about each part, table and figure, beside what is done here."""
    rows = tomllib.loads((Path(__file__).parent / "components.toml").read_text(encoding="utf-8"))[paper]
    columns = ("component", "paper", "ours", "difference")
    return Table(paper, "components", "part by part", columns, tuple(map(tuple, rows)), (), "as built, nothing trained")


def load(name: str, setting: Setting) -> Recipe:
    """The recipe of this name at the requested scale, with the requested weights."""
    plan = recipe.load(RECIPES / (f"{name}.toml" if setting.full else f"{name}-{setting.scale}.toml"))
    if setting.weights and plan.model.weights != setting.weights:
        plan = with_model(plan, weights=setting.weights)
    return dataclasses.replace(plan, input=gather.usual_input(plan.input, plan.model.name))


def with_model(plan: Recipe, **changes: Any) -> Recipe:
    return dataclasses.replace(plan, model=dataclasses.replace(plan.model, **changes))


def with_input(plan: Recipe, **changes: Any) -> Recipe:
    return dataclasses.replace(plan, input=dataclasses.replace(plan.input, **changes))


def with_stages(plan: Recipe, **changes: Any) -> Recipe:
    """The recipe with the same change in every stage, including pre-training."""
    stages = tuple(dataclasses.replace(stage, **changes) for stage in plan.stage)
    before = plan.pretrain
    if before is not None:
        macro = tuple(dataclasses.replace(stage, **changes) for stage in before.stages)
        before = dataclasses.replace(before, stages=macro)
    return dataclasses.replace(plan, stage=stages, pretrain=before)


def inputs(clips: list[Clip], labels: tuple[str, ...], plan: Recipe, setting: Setting) -> Prepared:
    return prepare(clips, labels, plan.data.scheme, plan.input, setting.cache, setting.quiet)


def present(names: Sequence[str], setting: Setting) -> list[str]:
    """The data sets that are in the data folder."""
    return [name for name in names if find_root(name, setting.data) is not None]


def macro_start(plan: Recipe, labels: tuple[str, ...], setting: Setting) -> pretrain.Start | None:
    """The recipe's macro-expression stage, or None when it has none."""
    return pretrain.start(plan, labels, setting.data, setting.cache, setting.device, setting.quiet)


def loso(clips: Sequence[Clip], setting: Setting) -> list[Fold]:
    """Leave one subject out; at a reduced scale with the subjects joined in GROUPS groups."""
    folds = protocols.loso(clips)
    return folds if setting.full else evaluate.merged(folds, GROUPS)


def row(
    plan: Recipe, data: Prepared, folds: Sequence[Fold], where: str, setting: Setting, *, protocol: str,
    clean: bool = True, once: bool = True, faults: tuple[str, ...] = (), start: pretrain.Start | None = None,
) -> Run:  # fmt: skip
    """A trained and tested row, stored under ``out``/``where`` and reused.

    Raises DataError or ModelError when it cannot be run here or only its recipe was requested; see ``attempt``.
    """
    if setting.recipes:
        print(f"# {where}: {protocol}, {len(folds)} folds\n{recipe_toml.text(dataclasses.replace(plan, name=where))}")
        raise RecipeOnlyError("only its recipe was requested")
    return evaluate.evaluate(
        dataclasses.replace(plan, name=where), data, folds, setting.out / where, protocol=protocol, clean=clean,
        once=once, faults=faults, start=start, device=setting.device, quiet=setting.quiet,
        jobs=1 if "carry-over" in faults else setting.jobs, about={"scale": setting.scale},
    )  # fmt: skip


def stored(where: str, setting: Setting) -> Run | None:
    """A stored run of another table, if any."""
    folder = setting.out / where
    return runs.load(folder) if (folder / "run.json").exists() else None


def attempt(row: Callable[[], Value]) -> Value | str:
    """The result of ``row``, or the reason why it cannot be run here: its weights or its data are missing."""
    try:
        return row()
    except (DataError, ModelError) as error:
        return f"not run: {error}"


def interval(run: Run, name: str) -> str:
    """A score with its 95 % interval over subjects, as text."""
    found = metrics.bootstrap(run.truth, run.probabilities, run.groups, run.labels, repeats=1000)[name]
    return f"{found.value:.3f} [{found.low:.2f}, {found.high:.2f}]"


def counts_note(run: Run) -> str:
    """Class counts and trivial predictors, printed below a table."""
    scores = run.scores
    base = metrics.trivial(run.truth, run.labels)["majority"]
    parts = ", ".join(f"{label} {int(n)}" for label, n in zip(run.labels, scores.counts, strict=True))
    return (
        f"tested: {parts}; always answering the most common class: accuracy {base.accuracy:.3f}, "
        f"UF1 {base.uf1:.3f}, UAR {base.uar:.3f}"
    )


def percent(value: float) -> str:
    return f"{100 * value:.2f}"
