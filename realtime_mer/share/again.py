"""Makes events from a shared recording: its tapes go through the spotter and the reporter, its flow through the
recognizer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from realtime_mer.config import Config
from realtime_mer.events import Reporter, answered
from realtime_mer.motion.ring import Ring
from realtime_mer.recognize import Recognizer, answer
from realtime_mer.records import Event, Status
from realtime_mer.share.files import Flow, Frames
from realtime_mer.share.tape import Tape
from realtime_mer.spotting import MakeSpotter
from realtime_mer.spotting.scores import Movement, match


def spot_again(frames: Frames, tapes: Sequence[Tape], spotter: MakeSpotter, config: Config) -> list[Event]:
    """The final events of all faces, by onset, without predictions.

    With the settings of the original run, the spotter sees what it saw then. With other settings it sees the same
    measurements: the times at which the anchor was renewed, which depend on the movements found, stay as they were.
    """
    reporter = Reporter(None, config, live=False)
    latest: defaultdict[int, int] = defaultdict(int)  # track -> id of its latest movement
    events = []
    for tape in tapes:
        first = max(tape.first_id, latest[tape.track] + 1)
        for event in _spot(replace(tape, first_id=first), frames, spotter, config, reporter):
            latest[tape.track] = max(latest[tape.track], event.movement.id)
            if event.final:
                events.append(event)
    return sorted(events, key=lambda event: (event.movement.onset, event.track))


def classify_again(events: Sequence[Event], flows: Sequence[Flow], recognizer: Recognizer) -> list[Event]:
    """``events`` with the recognizer's answers for confirmed ones whose flow was stored (overlap of half or more).

    The flow of a movement that was not an event when the recording was shared can no longer be made, so it has no
    prediction.
    """
    spec = recognizer.spec
    done = [replace(event, model=spec.id, provider=recognizer.provider) for event in events]
    micro = [i for i, event in enumerate(events) if event.status is Status.CONFIRMED]
    pairs = match(movements([events[i] for i in micro]), [Movement(str(f.track), f.onset, f.offset) for f in flows])
    if not pairs:
        return done
    rows = recognizer.classify(np.stack([flows[j].motion for _, j in pairs]))
    for (i, j), row in zip(pairs, rows, strict=True):
        done[micro[i]] = answered(done[micro[i]], answer(row, spec), flows[j].motion)
    return done


def movements(events: Sequence[Event]) -> list[Movement]:
    """Events as input of ``match``, which pairs only those of one face."""
    return [Movement(str(event.track), event.movement.onset, event.movement.end) for event in events]


def _spot(tape: Tape, frames: Frames, make: MakeSpotter, config: Config, reporter: Reporter) -> Iterator[Event]:
    spotter, ring = make(config.spot, tape.first_id), Ring()
    place = np.searchsorted(frames.time, tape.time)
    place = np.minimum(place, max(len(frames.time) - 1, 0))
    breaks = dict(tape.breaks)
    for row, (measurement, at) in enumerate(zip(tape.measurements(), place.tolist(), strict=True), 1):
        ring.push(measurement, int(frames.lost[at]), bool(frames.repeated[at]))
        _, found = spotter.push(measurement)
        yield from reporter.report(tape.track, ring, found, measurement.time)
        if row in breaks:
            yield from reporter.report(tape.track, ring, spotter.interrupt(breaks[row]), measurement.time)
