"""Spots, times and names facial micro-expressions in live and recorded video.

from realtime_mer import build, open_source, watch

with build() as pipeline, open_source("clip.mp4") as source:
    for seen in watch(source, pipeline):
        for event in seen.events:
            print(event)
"""

import realtime_mer.privacy  # noqa: F401 - first, because libraries read its variables while they are imported
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
