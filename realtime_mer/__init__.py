"""Spots, times and names facial micro-expressions in live and recorded video.

from realtime_mer import build, open_source, watch

with build() as pipeline, open_source("clip.mp4") as source:
    for seen in watch(source, pipeline):
        for event in seen.events:
            print(event)

Each of these names is loaded when it is first used: importing the package loads neither OpenCV nor anything else that
may be missing, so that the command line can say what is.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import realtime_mer.privacy  # noqa: F401 - first, because libraries read its variables while they are imported

if TYPE_CHECKING:
    from realtime_mer.build import build
    from realtime_mer.config import Config
    from realtime_mer.errors import MerError
    from realtime_mer.records import End, Event, Frame, Observation
    from realtime_mer.run import watch
    from realtime_mer.sources import ArraySource, open_source

__all__ = [
    "ArraySource",
    "Config",
    "End",
    "Event",
    "Frame",
    "MerError",
    "Observation",
    "build",
    "open_source",
    "watch",
]

_ROOMS = {
    "build": "build",
    "Config": "config",
    "MerError": "errors",
    **dict.fromkeys(("End", "Event", "Frame", "Observation"), "records"),
    "watch": "run",
    **dict.fromkeys(("ArraySource", "open_source"), "sources"),
}


class _Package(ModuleType):
    """This package, which loads its public names when they are asked for."""

    def __getattr__(self, name: str) -> Any:
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing realtime_mer/build.py binds that module to the package, under the name of the public function.
        if not (name in _ROOMS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
