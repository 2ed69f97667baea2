"""A spotter of your own in one file: a fixed threshold on how far the regions have moved.

    python demos/own_spotter.py [VIDEO]

It is much worse than the one that ships; it shows what a spotter must do. To ship yours, put it beside
realtime_mer/spotting/detector.py, name it in realtime_mer/build.py, and add it to tests/test_spotting_contract.py.
"""

import sys

import numpy as np

from realtime_mer import MerError, build, open_source, watch
from realtime_mer.bench.clips import Clip, make
from realtime_mer.config import SpotConfig
from realtime_mer.records import Activity, Kind, Measurement, Movement

LIMIT = 0.8  # px: a face that moves more is moving


class FixedThreshold:
    """A ``realtime_mer.spotting.Spotter``: one is made for each face, with the settings and its first movement's id."""

    def __init__(self, settings: SpotConfig, first_id: int) -> None:
        self._settings, self._next = settings, first_id
        self._forget()

    def _forget(self) -> None:
        self._zero: np.ndarray | None = None  # where the regions lay at first
        self._began = 0.0
        self._inside: list[tuple[float, float, np.ndarray]] = []  # of the movement under way: s, px, displacement
        self.settled, self.quiet = False, True

    def push(self, measurement: Measurement) -> tuple[Activity, list[Movement]]:
        if self._zero is None:
            self._zero, self._began = measurement.displacement, measurement.time
        self.settled = measurement.time - self._began >= self._settings.settle_s
        away = measurement.displacement - self._zero
        moved = float(np.sort(np.hypot(*away.T))[-2])  # of the region that moved second most
        self.quiet = not (self.settled and moved > LIMIT)
        found = []
        if not self.quiet:
            self._inside.append((measurement.time, moved, away))
        elif self._inside:
            micro = measurement.time - self._inside[0][0] <= self._settings.micro_max_s
            found = self._end(measurement.time, Kind.MICRO if micro else Kind.MACRO, "" if micro else "too long")
        return Activity(away, np.ones(len(away)), measurement.head, measurement.eyes, moved, LIMIT), found

    def interrupt(self, reason: str) -> list[Movement]:
        found = self._end(self._inside[-1][0], Kind.UNDECIDED, reason) if self._inside else []
        self._forget()
        return found

    def _end(self, offset: float, kind: Kind, reason: str) -> list[Movement]:
        apex, strength, away = max(self._inside, key=lambda sample: sample[1])
        movement = Movement(self._next, self._inside[0][0], apex, offset, strength, kind, reason, away)
        self._next, self._inside = self._next + 1, []
        return [movement]


def main(video: str | None = None) -> int:
    """Prints the movements; returns how many there were."""
    found = 0
    with build(spotter=FixedThreshold) as pipeline, open_source(video or make(Clip())) as source:
        for seen in watch(source, pipeline):
            for event in seen.events:
                found += event.final
                print(f"{event.movement.onset:8.3f} to {event.movement.end:.3f} s: {event.movement.kind}")
    return found


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except MerError as error:
        sys.exit(str(error))
