"""A recipe: everything that determines a training run, read from TOML. Nothing here trains or reads data.

An unknown key, a wrong type or a value out of range raises a ConfigError of one line that names file and key.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeVar

from realtime_mer.errors import ConfigError
from realtime_mer.recognize.spec import HEADS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Data:
    """name: data sets, keys of ``train.datasets`` or tables of own clips (``clips.csv``), joined by "+". scheme:
    classes, as in ``train.records``.
    samples: "clip", or "frames" / "key-frames" for papers that classify single frames. only: classes kept, empty: all.
    weights: of a clip of each data set in the loss, in the order of ``name``; empty: all count alike.
    listed: a data set of ``name``; other sets keep only the clips that it lists too. Empty: all clips.
    complete: only clips whose onset, apex and offset are annotated and among their frames.
    twins: how a clip that two data sets hold is used. 0: it is an error. Otherwise the first set's is the sample, and
    the other's is ``twins`` more views of it in training.
    """

    name: str
    scheme: str = "3"
    samples: str = "clip"
    only: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    listed: str = ""
    complete: bool = False
    twins: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.name.split("+"))


@dataclass(frozen=True, slots=True)
class Input:
    """feature: feature id. size: px. crop: "none", "face", "eyes" (rotated by the eye line, Ab Razak 2023) or "regions"
    (the rest masked, Hata 2025). apex: "annotated", "middle", "annotated-or-middle", or "spotted" (where the face has
    moved most). onset_moves_s, apex_moves_s: further views for training, motion only: key frames moved by every pair of
    these. tested_moves_s: further pairs (onset, apex) at which the same networks are tested."""

    feature: str = ""
    size: int = 0
    crop: str = "none"
    apex: str = "annotated"
    onset_moves_s: tuple[float, ...] = ()
    apex_moves_s: tuple[float, ...] = ()
    tested_moves_s: tuple[tuple[float, ...], ...] = ()

    @property
    def views(self) -> tuple[tuple[float, float], ...]:
        """Moves (onset, apex) in s used in training. The first is the annotation itself, which is tested."""
        every = product((0.0, *self.onset_moves_s), (0.0, *self.apex_moves_s))
        return tuple(dict.fromkeys(every))


@dataclass(frozen=True, slots=True)
class Model:
    """As ``train.models.create``. unit_motion: the input is motion averaged over 2 x 2 px and scaled to unit length.

    weights_know: who weights from a file were trained on. "file": the people that the model file names; "nobody": the
    file names none, and you vouch that no tested person is among them.
    """

    name: str
    weights: str = "none"
    weights_know: str = "file"
    head: str = "linear"
    stem: str = "2d"
    attention: bool = False
    unit_motion: bool = False
    dropout: float = -1.0  # negative: as published


@dataclass(frozen=True, slots=True)
class Stage:
    """One stretch of training.

    batch: samples per step; 0: all at once. optimizer: "sgd", "adam" or "adamw" (momentum belongs to sgd).
    schedule: "step": the rate is multiplied by ``factor`` after each ``every`` epochs (0: constant); "one-cycle": it
    rises to ``rate`` and falls to nearly 0 over the stage (Smith and Topin 2019).
    frozen: "none", "body", or a share such as "0.2" of the learnable layers.
    patience: stop after so many epochs without a better loss on the inner validation subjects, and keep the best;
    0: always the last epoch. loss: "ce", "focal" or "arcface". class_weights: one a class, in the order of labels.
    balance: "none", "equal" (repeat up to the largest class), "down" (drop to the smallest), a number a class, or
    "weights" (nothing is repeated: each class has the same weight in the loss).
    times: how often an epoch visits each sample, changed again each time; only with balance "none" or "weights".
    augment: names in ``train.augment``. head_l1, head_l2: penalties on the last layer's weights.
    precision: "fp32", or "bf16" to multiply in bfloat16: several times as fast on a GPU, and on a CPU that has it.
    """

    epochs: int
    batch: int = 16
    optimizer: str = "adam"
    rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "step"
    every: int = 0
    factor: float = 1.0
    frozen: str = "none"
    patience: int = 0
    loss: str = "ce"
    gamma: float = 2.0
    margin: float = 0.5
    class_weights: tuple[float, ...] = ()
    balance: str = "none"
    augment: tuple[str, ...] = ()
    head_l1: float = 0.0
    head_l2: float = 0.0
    precision: str = "fp32"
    times: int = 1


@dataclass(frozen=True, slots=True)
class Calibrate:
    """How temperature and abstention threshold are found, always from people the network was not trained on.

    inner: parts of the training subjects; with few, the inner networks know so much less that they are less sure than
    the one that is tested. outer: groups of tested subjects that share a temperature and a threshold in which none of
    them had a part. answered: share of clips like those of the training that shall be answered. least: no answer has a
    lower probability, whatever the share: below one half it is more likely wrong than right, among two classes or ten.
    """

    inner: int = 10
    outer: int = 8
    answered: float = 0.85
    least: float = 0.5


@dataclass(frozen=True, slots=True)
class Still:
    """An answer "none" beside the classes, learned from pairs of moments between which nothing moves (``train.still``).

    gaps_s: from the first moment to the second. rates_fps: frames/s of the sequences, 0: the recording's own.
    crfs: of H.264, 0: raw. drifts_px_s: of the head, in px of the picture. Every combination is made.
    ridge: penalty on the weights of the logistic regression that decides, one sample's loss being the unit.
    """

    gaps_s: tuple[float, ...] = (0.010, 0.100, 0.300)
    rates_fps: tuple[float, ...] = (0.0, 30.0)
    crfs: tuple[int, ...] = (0, 23)
    drifts_px_s: tuple[float, ...] = (0.0, 5.0)
    ridge: float = 0.1


@dataclass(frozen=True, slots=True)
class Capture:
    """Further views in training: the same recordings as other cameras and codecs would have them (``train.capture``).

    views: of each recording, 0: only test in the conditions; for each, one value of every list is drawn by the seed.
    rates_fps: frames/s, 0: the recording's own. crfs: of H.264, 0: raw. jpegs: quality of JPEG where there is no H.264,
    0: raw. faces_px: width of the face, 0: as recorded, and never larger. rolls_deg: of the head. lights: factors of
    the brightness.
    """

    views: int = 8
    rates_fps: tuple[float, ...] = (0.0, 30.0, 60.0, 120.0)
    crfs: tuple[int, ...] = (0, 23, 28)
    jpegs: tuple[int, ...] = (0, 50, 80)
    faces_px: tuple[float, ...] = (0.0, 90.0, 140.0)
    rolls_deg: tuple[float, ...] = (0.0, -12.0, 12.0)
    lights: tuple[float, ...] = (1.0, 0.5)


@dataclass(frozen=True, slots=True)
class Head:
    """A further answer, learned from all coded clips of a data set (``train.heads``).

    name: "objective" (classes I to V) or "action_units". data: a data set whose clips are coded. least: clips in which
    an action unit must be coded. ridge: penalty on the weights of the regression, one sample's loss being the unit.
    """

    name: str
    data: str
    least: int = 10
    ridge: float = 0.1


@dataclass(frozen=True, slots=True)
class Pretrain:
    """Training on a macro-expression data set before the folds, in each without the people that it tests.

    validation: share of these samples, by person where people are known, for ``patience`` in ``stages``.
    with_test: learn from the data set's official test part, too: it is not what the recipe tests.
    """

    data: Data
    size: int = 0  # px; 0: as the recipe's input
    stages: tuple[Stage, ...] = ()
    limit: int = 0  # at most so many images, drawn by the seed; 0: all
    validation: float = 0.0
    with_test: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """name: of the run. seed: of everything random. validation: share of the training clips, by subject, for
    ``patience`` in ``stage``. version, license: of the model. about, method, limits: for people, in the model card:
    what the network is, how its design was chosen, what was not measured."""

    name: str
    data: Data
    model: Model
    stage: tuple[Stage, ...]
    input: Input = field(default_factory=Input)
    pretrain: Pretrain | None = None
    seed: int = 0
    calibrate: Calibrate | None = None
    none: Still | None = None
    capture: Capture | None = None
    head: tuple[Head, ...] = ()
    validation: float = 0.0
    version: str = "1"
    license: str = ""
    about: str = ""
    method: str = ""
    limits: str = ""

    def fingerprint(self) -> str:
        """A hash of everything that affects the results: not of the name and the texts."""
        plain = dataclasses.asdict(self)
        for text in ("name", "version", "license", "about", "method", "limits"):
            plain.pop(text)
        # Settings that an earlier version did not have must not rename its runs.
        before = plain["pretrain"] or {"stages": (), "with_test": True}
        for stage in (*plain["stage"], *before["stages"]):
            for key in ("precision", "times"):
                if stage[key] == getattr(_USUAL, key):
                    del stage[key]
        if not before["with_test"]:
            del before["with_test"]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


LONGEST_GAP: Final = 1.0  # s between two moments of rest: the ring keeps only SPAN
_CHOICES = {
    ("Data", "samples"): ("clip", "frames", "key-frames"),
    ("Model", "weights_know"): ("file", "nobody"),
    ("Head", "name"): HEADS,
    ("Input", "crop"): ("none", "face", "eyes", "regions"),
    ("Input", "apex"): ("annotated", "middle", "annotated-or-middle", "spotted"),
    ("Stage", "optimizer"): ("sgd", "adam", "adamw"),
    ("Stage", "schedule"): ("step", "one-cycle"),
    ("Stage", "loss"): ("ce", "focal", "arcface"),
    ("Stage", "precision"): ("fp32", "bf16"),
}
_USUAL: Final = Stage(epochs=1)
# Keys of a stage that have an effect only with another one.
_NEEDS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "momentum": ("optimizer", ("sgd",)),
    "every": ("schedule", ("step",)),
    "factor": ("schedule", ("step",)),
    "gamma": ("loss", ("focal",)),
    "class_weights": ("loss", ("ce", "focal")),
    "margin": ("loss", ("arcface",)),
    "times": ("balance", ("none", "weights")),
}
_POSITIVE = {("Stage", "epochs"), ("Stage", "times"), ("Stage", "rate"), ("Head", "least"), ("Head", "ridge")}
_NOT_NEGATIVE = {
    ("Stage", "batch"),
    ("Data", "twins"),
    ("Pretrain", "limit"),
    ("Stage", "patience"),
    ("Stage", "every"),
}


def load(path: Path) -> Recipe:
    """Reads a recipe file. Raises ConfigError."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"recipe {path} does not exist: see train/recipes for examples") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"recipe {path} cannot be read: {error}") from None
    return from_table(table, str(path))


def from_table(table: dict[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from nested tables, as TOML gives them."""
    recipe = _build(Recipe, table, where)
    if recipe.name in ("", ".", "..") or Path(recipe.name).name != recipe.name:
        raise ConfigError(f"{where}: name becomes a folder, so it must be a plain file name, not {recipe.name!r}")
    if not recipe.stage:
        raise ConfigError(f"{where}: a recipe needs at least one [[stage]]")
    _check_stages(recipe.stage, recipe.validation, where)
    _check_data(recipe.data, where)
    if recipe.pretrain is not None:
        _check_pretrain(recipe.pretrain, f"{where}: pretrain")
    _check_losses(recipe, where)
    if recipe.model.weights in ("none", "imagenet") and recipe.model.weights_know != "file":
        raise ConfigError(f"{where}: weights_know applies only to weights from a file: remove it")
    if recipe.none is not None:
        _check_none(recipe.none, where)
    if len({head.name for head in recipe.head}) < len(recipe.head):
        raise ConfigError(f"{where}: head: give each answer only once")
    if recipe.capture is not None:
        _check_capture(recipe.capture, where)
    if any(len(pair) != 2 for pair in recipe.input.tested_moves_s):
        raise ConfigError(f"{where}: tested_moves_s is a list of pairs [onset, apex] in seconds")
    if (c := recipe.calibrate) and not (c.inner > 1 and c.outer > 1 and 0 < c.answered <= 1 and 0 <= c.least < 1):
        raise ConfigError(
            f"{where}: calibrate needs inner and outer above 1, answered above 0 and at most 1, and least from 0 "
            "to below 1"
        )
    return recipe


def _check_data(data: Data, where: str) -> None:
    if data.weights and (len(data.weights) != len(data.names) or min(data.weights) <= 0):
        raise ConfigError(f"{where}: weights needs a number above 0 for each of {', '.join(data.names)}")
    if data.samples != "clip" and (data.weights or data.listed or data.complete or data.twins):
        raise ConfigError(f"{where}: weights, listed, complete and twins need samples = 'clip'")
    if len(data.names) == 1 and (data.weights or data.listed or data.twins):
        raise ConfigError(f"{where}: weights, listed and twins have an effect only with several data sets: remove them")
    if len(set(data.names)) < len(data.names):
        raise ConfigError(f"{where}: name has a data set twice: give each only once")
    if data.listed and data.listed not in data.names:
        raise ConfigError(f"{where}: listed must be one of {', '.join(data.names)}, not {data.listed!r}")


def _check_pretrain(plan: Pretrain, where: str) -> None:
    if not plan.stages:
        raise ConfigError(f"{where}: needs at least one [[pretrain.stages]]")
    _check_stages(plan.stages, plan.validation, where)
    if plan.data.weights or plan.data.listed or plan.data.complete or plan.data.twins:
        raise ConfigError(f"{where}: weights, listed, complete and twins have no effect on its data: remove them")


def _check_stages(stages: Sequence[Stage], validation: float, where: str) -> None:
    if not 0 <= validation < 1:
        raise ConfigError(f"{where}: validation must be a fraction from 0 to below 1")
    patient = any(stage.patience for stage in stages)
    if patient and not validation:
        raise ConfigError(f"{where}: patience needs validation above 0 (a fraction of the clips, by person)")
    if validation and not patient:
        raise ConfigError(f"{where}: validation has no effect without patience in a stage: remove it, or set patience")
    for stage in stages:
        _frozen_share(stage.frozen, where)
        if stage.batch == 1:
            raise ConfigError(f"{where}: batch norm cannot average over batch = 1: set 2 or more, or 0 for all")
        if stage.balance not in ("none", "equal", "down", "weights") and not stage.balance.isdigit():
            raise ConfigError(f"{where}: balance must be none, equal, down, weights or a number, not {stage.balance!r}")
        for key, (other, values) in _NEEDS.items():
            if getattr(stage, key) != getattr(_USUAL, key) and getattr(stage, other) not in values:
                raise ConfigError(f"{where}: {key} has no effect unless {other} is {' or '.join(values)}: remove it")
        if bool(stage.every) != (stage.factor != _USUAL.factor):
            raise ConfigError(f"{where}: every and factor have an effect only together: set both or neither")


def _check_losses(recipe: Recipe, where: str) -> None:
    stages = (*recipe.stage, *(recipe.pretrain.stages if recipe.pretrain else ()))
    if recipe.model.head != "arcface" and any(stage.loss == "arcface" for stage in stages):
        raise ConfigError(f"{where}: loss = 'arcface' needs model.head = 'arcface', too")


def _check_none(none: Still, where: str) -> None:
    for name in ("gaps_s", "rates_fps", "crfs", "drifts_px_s"):
        values = getattr(none, name)
        if not values or min(values) < 0 or (name == "gaps_s" and not 0 < min(values) <= max(values) <= LONGEST_GAP):
            least = f"above 0 and at most {LONGEST_GAP:g}" if name == "gaps_s" else "not negative"
            raise ConfigError(f"{where}: none: {name} is a list of numbers {least}, not {list(values)}")
    if none.ridge <= 0:
        raise ConfigError(f"{where}: none: ridge must be above 0, not {none.ridge}")


def _check_capture(capture: Capture, where: str) -> None:
    ranges = {"rates_fps": (0, 1000), "crfs": (0, 51), "jpegs": (0, 100), "faces_px": (0, 4000), "rolls_deg": (-30, 30),
              "lights": (0.05, 4)}  # fmt: skip
    for name, (low, high) in ranges.items():
        values = getattr(capture, name)
        if not values or not low <= min(values) <= max(values) <= high:
            raise ConfigError(f"{where}: capture: {name} is a list of numbers from {low} to {high}, not {list(values)}")
    if capture.views < 0:
        raise ConfigError(f"{where}: capture: views must not be negative, not {capture.views}")


def _frozen_share(text: str, where: str) -> None:
    try:
        if text not in ("none", "body") and not 0 <= float(text) <= 1:
            raise ValueError
    except ValueError:
        raise ConfigError(f"{where}: frozen must be none, body or a fraction from 0 to 1, not {text!r}") from None


def _build(cls: type[T], table: Any, where: str) -> T:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table")
    hints = typing.get_type_hints(cls)
    for key in table:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, 1)
            guess = f": did you mean {near[0]!r}?" if near else f"; known keys are {', '.join(hints)}"
            raise ConfigError(f"{where}: unknown key {key!r}{guess}")
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in table.items()}
    for key, value in values.items():
        choices = _CHOICES.get((cls.__name__, key))
        if choices and value not in choices:
            raise ConfigError(f"{where}: {key} must be one of {', '.join(choices)}, not {value!r}")
        if (cls.__name__, key) in _POSITIVE and value <= 0:
            raise ConfigError(f"{where}: {key} must be above 0, not {value}")
        if (cls.__name__, key) in _NOT_NEGATIVE and value < 0:
            raise ConfigError(f"{where}: {key} must not be negative, not {value}")
    for part in dataclasses.fields(cls):  # type: ignore[arg-type]
        required = part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING
        if required and part.name not in values:
            raise ConfigError(f"{where}: the key {part.name!r} is missing")
    return cls(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list")
        return tuple(_value(inner, item, f"{where}[{i}]") for i, item in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} must be of type {hint.__name__}, not {value!r}")
    return value
