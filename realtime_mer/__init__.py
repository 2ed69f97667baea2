"""Spots, times and names facial micro-expressions in live and recorded video.

from realtime_mer import Config, build, open_source

with open_source("clip.mp4") as source:
    for observation in build(Config()).run(source):
        for event in observation.events:
            print(event)
"""

import realtime_mer.privacy  # noqa: F401 - first, because libraries read its variables while they are imported
from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.errors import MerError
from realtime_mer.records import Event, Frame, Observation
from realtime_mer.sources import ArraySource, open_source

__all__ = ["ArraySource", "Config", "Event", "Frame", "MerError", "Observation", "build", "open_source"]
