"""A recipe: everything that decides a training run, read from TOML. No training here, no data read.

An unknown key, a wrong type or a value out of range is one ConfigError line that names file and key.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from realtime_mer.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Data:
    """name: data sets, keys of ``train.datasets``, joined by "+". scheme: classes, as in ``train.records``.
    samples: "clip", or "frames" / "key-frames" for papers that classify single frames. only: classes kept, empty: all.
    """

    name: str
    scheme: str = "3"
    samples: str = "clip"
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """feature: feature id. size: px. crop: "none", "face", "eyes" (rotated by the eye line, Ab Razak 2023) or
    "regions" (the rest masked, Hata 2025).
    apex: "annotated", "middle", "annotated-or-middle", or "spotted" (by our own spotter)."""

    feature: str = ""
    size: int = 0
    crop: str = "none"
    apex: str = "annotated"


@dataclass(frozen=True, slots=True)
class Model:
    """As ``train.models.create``."""

    name: str
    weights: str = "none"
    head: str = "linear"
    stem: str = "2d"
    attention: bool = False
    dropout: float = -1.0  # negative: as published


@dataclass(frozen=True, slots=True)
class Stage:
    """One stretch of training.

    optimizer: "sgd" or "adam" (momentum belongs to sgd). every, factor: the rate is multiplied by ``factor`` after
    each ``every`` epochs (0: constant). frozen: "none", "body", or a share such as "0.2" of the learnable layers.
    patience: stop after so many epochs without a better loss on the inner validation subjects, and keep the best;
    0: always the last epoch. loss: "ce", "focal" or "arcface". class_weights: one a class, in the order of labels.
    balance: "none", "equal" (repeat up to the largest class), "down" (drop to the smallest) or a number a class.
    augment: names in ``train.augment``. head_l1, head_l2: penalties on the last layer's weights.
    """

    epochs: int
    batch: int = 16
    optimizer: str = "adam"
    rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
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


@dataclass(frozen=True, slots=True)
class Pretrain:
    """Training on a macro-expression data set before the folds; once, since no test person is in it."""

    data: Data
    size: int = 0  # px; 0: as the recipe's input
    stages: tuple[Stage, ...] = ()
    limit: int = 0  # at most so many images, drawn by the seed; 0: all


@dataclass(frozen=True, slots=True)
class Recipe:
    """name: of the run. seed: of everything random. validation: share of the training clips, by subject, for
    ``patience``. about: for people."""

    name: str
    data: Data
    model: Model
    stage: tuple[Stage, ...]
    input: Input = field(default_factory=Input)
    pretrain: Pretrain | None = None
    seed: int = 0
    validation: float = 0.0
    about: str = ""

    def fingerprint(self) -> str:
        """Changes when anything in the recipe does (but its name and description)."""
        plain = dataclasses.asdict(self)
        plain.pop("about")
        plain.pop("name")
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


_CHOICES = {
    ("Data", "samples"): ("clip", "frames", "key-frames"),
    ("Input", "crop"): ("none", "face", "eyes", "regions"),
    ("Input", "apex"): ("annotated", "middle", "annotated-or-middle", "spotted"),
    ("Stage", "optimizer"): ("sgd", "adam"),
    ("Stage", "loss"): ("ce", "focal", "arcface"),
}
_POSITIVE = {("Stage", "epochs"), ("Stage", "batch"), ("Stage", "rate")}


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
    if not recipe.stage:
        raise ConfigError(f"{where}: a recipe needs at least one [[stage]]")
    stages = (*recipe.stage, *(recipe.pretrain.stages if recipe.pretrain else ()))
    if any(s.patience for s in recipe.stage) and not recipe.validation:
        raise ConfigError(f"{where}: patience needs validation > 0 (a share of the training subjects)")
    if not 0 <= recipe.validation < 1:
        raise ConfigError(f"{where}: validation is a share from 0 to below 1")
    for stage in stages:
        _frozen_share(stage.frozen, where)
        if stage.balance not in ("none", "equal", "down") and not stage.balance.isdigit():
            raise ConfigError(f"{where}: balance is none, equal, down or a number, not {stage.balance!r}")
    return recipe


def _frozen_share(text: str, where: str) -> None:
    try:
        if text not in ("none", "body") and not 0 <= float(text) <= 1:
            raise ValueError
    except ValueError:
        raise ConfigError(f"{where}: frozen is none, body or a share from 0 to 1, not {text!r}") from None


def _build(cls: type[T], table: Any, where: str) -> T:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table")
    hints = typing.get_type_hints(cls)
    for key in table:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, 1)
            guess = f": did you mean {near[0]!r}?" if near else f": known are {', '.join(hints)}"
            raise ConfigError(f"{where}: unknown key {key!r}{guess}")
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in table.items()}
    for key, value in values.items():
        choices = _CHOICES.get((cls.__name__, key))
        if choices and value not in choices:
            raise ConfigError(f"{where}: {key} is one of {', '.join(choices)}, not {value!r}")
        if (cls.__name__, key) in _POSITIVE and value <= 0:
            raise ConfigError(f"{where}: {key} must be above 0, not {value}")
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
