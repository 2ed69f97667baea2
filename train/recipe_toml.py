"""Writes a recipe as the TOML that ``train.recipe`` reads: keys that differ from the defaults or have none."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from train.recipe import Recipe


def text(recipe: Recipe) -> str:
    """The file's content. The name becomes a plain file name."""
    named = dataclasses.replace(recipe, name=recipe.name.replace("/", "-"))
    return "\n".join(_table(named, "")).strip() + "\n"


def _table(part: Any, path: str) -> list[str]:
    """The lines of a dataclass: first its plain values, as TOML requires, then its tables."""
    plain, tables = [], []
    for field in dataclasses.fields(part):
        value, name = getattr(part, field.name), f"{path}.{field.name}".removeprefix(".")
        if value is None or value == _default(field):
            continue
        if dataclasses.is_dataclass(value):
            tables += ["", f"[{name}]", *_table(value, name)]
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for item in value:
                tables += ["", f"[[{name}]]", *_table(item, name)]
        else:
            plain.append(f"{field.name} = {json.dumps(value)}")
    return plain + tables


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
