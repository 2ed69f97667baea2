"""Reads data that others may have written: text to plain data, plain data to typed records.

Event logs, settings and the specs in model files are read through this module, so that every value either has the
expected type or is a ValueError of one line. Callers add the file name.
"""

from __future__ import annotations

import json
import math
import tomllib
from typing import Annotated, Any, Final, TypeVar

import msgspec

T = TypeVar("T")

DEEPEST: Final = 32  # levels of nesting; what this package writes has five
LONGEST: Final = 60  # characters of a value that are repeated in a message
LARGEST: Final = 2**53  # the integers up to here are exact in every program that reads JSON
# In s some 30,000 years, and still exact when counted in ms; 1e308 overflows in half of the output formats.
FARTHEST: Final = 1e12

Measure = Annotated[float, msgspec.Meta(ge=-FARTHEST, le=FARTHEST)]  # a time or anything else that was measured
Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


def from_json(text: str) -> Any:
    """The plain data of a JSON text. Raises ValueError, also for what Python reads but JSON does not allow (NaN,
    infinity, a duplicate key) and for nesting deeper than DEEPEST."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_not_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} levels deep") from None
    level = [value]
    for _ in range(DEEPEST):
        if any(type(item) is float and not math.isfinite(item) for item in level):
            _not_finite("a number is too large")
        level = [inner for item in level if isinstance(item, dict | list) for inner in _inside(item)]
        if not level:
            return value
    raise ValueError(f"nested more than {DEEPEST} levels deep")


def from_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def convert(value: Any, kind: type[T]) -> T:
    """Plain data as ``kind``: a dataclass, a container such as ``dict[str, float]``, or one of the types above.

    Only integers are converted, to floats. Fields that ``kind`` does not have are left out, so that an older version
    can read files of a newer one. Raises ValueError with the location.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).replace("`", "").partition(" - at ")
        place = place.removeprefix("$").lstrip(".")
        raise ValueError(f"{place}: {what[:1].lower()}{what[1:]}" if place else what[:1].lower() + what[1:]) from None


def shown(value: object, longest: int = LONGEST) -> str:
    """A value for a message, in one line of at most ``longest`` characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with too many digits for Python to print; deep nesting
        return f"a {type(value).__name__} that is too large"
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _inside(item: dict[str, Any] | list[Any]) -> list[Any]:
    return list(item.values()) if isinstance(item, dict) else item


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(twice)} occurs twice")
    return values


def _not_finite(text: str) -> None:
    raise ValueError(f"{text} is not a finite number")
