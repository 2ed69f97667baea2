"""This project's pipeline, all stages on. argv: VIDEO SECONDS. Runs in the project's own environment."""

import itertools
import sys
from dataclasses import replace

from timing import time_frames

from realtime_mer.build import build
from realtime_mer.sources import open_source

pipeline = build()


def frames():
    """The file repeated, as one recording with continuous times."""
    index, offset = itertools.count(), 0.0
    while True:
        with open_source(sys.argv[1]) as source:
            for frame in source:
                last = offset + frame.time
                yield replace(frame, index=next(index), time=last)
        offset = last + 0.01


def analyze(frame):
    return pipeline.push(frame).faces


with pipeline:
    time_frames(
        "decode, follow the face, motion of 15 regions, spotting, and the recognizer for what was spotted",
        "realtime-mer",
        analyze,
        frames(),
    )
