"""HTML pages from templates: all values are escaped, and a page loads nothing from elsewhere."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

SHARED: Final = "realtime_mer.sinks"  # package whose templates every page may extend


def render(template: str, package: str = SHARED, /, **values: Any) -> str:
    """The page made from a template in the folder "templates" of ``package``, with ``values``."""
    return _environment(package).get_template(template).render(**values)


@cache
def _environment(package: str) -> Environment:
    names = dict.fromkeys((package, SHARED))
    loader = ChoiceLoader([PackageLoader(name, "templates") for name in names])
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
