"""Plans where transplanted movements go in a recording: apart from each other, and where one face stays in view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from realtime_mer.errors import ConfigError
from realtime_mer.face.regions import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from realtime_mer.records import Floats
from realtime_mer.synth.donor import Donor, measure
from realtime_mer.synth.inject import STEADY, Track
from realtime_mer.synth.splice import RealClip
from realtime_mer.synth.transplant import MARKS, Graft
from realtime_mer.synth.warp import Doubles

FIRST: Final = 2.0  # s before the first graft, in which a spotter learns the resting face
APART: Final = 1.5  # s from the end of one graft, including its return, to the onset of the next
LAST: Final = 0.5  # s of recording after a graft
STEP: Final = 0.1  # s between candidate start times
JUMP: Final = 0.25  # of the distance between the eyes: a face that moves further between frames is a different one


def plan(track: Track, clips: Sequence[RealClip], seed: int, per_minute: float, back_s: float) -> list[Graft]:
    """Grafts for the carrier of ``track``, in order of time: about ``per_minute``, fewer if they do not fit.

    The clips come in random order, repeatedly if there are too few; those with a blink, or with an apex at the onset,
    are left out. A graft is at least FIRST from the start, LAST from the end and APART from its neighbors, and only
    where every frame shows the same face (no gap, no cut). Raises ConfigError when ``per_minute`` is not above 0, and
    what ``donor.measure`` raises.
    """
    if not per_minute > 0:
        raise ConfigError(f"transplants per minute must be above 0, not {per_minute}")
    if not track or not clips:
        return []
    random = np.random.default_rng((seed, 17))
    breaks = _breaks(track)
    donors = _drawn(clips, random)
    donor = next(donors, None)
    grafts: list[Graft] = []
    begin, last = track[0][0], track[-1][0]
    earliest = begin + FIRST
    while donor is not None:
        shortest = donor.offset + back_s + APART
        # the rest of the mean interval is drawn uniformly from 0 to twice itself
        wanted = earliest + float(random.uniform(0, 2 * max(60 / per_minute - shortest, STEP)))
        graft = _first_fit(Graft(donor, wanted, back_s), breaks, last)
        if graft is None:
            break
        grafts.append(graft)
        earliest = graft.end + APART
        donor = next(donors, None)
    return grafts


def _drawn(clips: Sequence[RealClip], random: np.random.Generator) -> Iterator[Donor]:
    """Suitable donors: all clips once in random order, then in another; measured when needed."""
    found = True
    while found:
        found = False
        for number in random.permutation(len(clips)):
            if clips[number].apex <= clips[number].onset:
                continue
            donor = measure(clips[number])
            if not donor.blinks:
                found = True
                yield donor


def _first_fit(graft: Graft, breaks: Doubles, last: float) -> Graft | None:
    """``graft`` at the earliest time from its start on without a break in it; None when the recording ends before."""
    while graft.end + LAST <= last:
        within = np.searchsorted(breaks, (graft.start - STEADY, graft.end + STEADY))
        if within[0] == within[1]:
            return graft
        graft = replace(graft, start=float(graft.start + STEP))
    return None


def _breaks(track: Track) -> Doubles:
    """Times of frames without a face, and of frames in which the face has jumped."""
    found: list[float] = []
    before: Floats | None = None
    for time, points in track:
        if points is None:
            found.append(time)
        elif before is not None:
            apart = np.hypot(*(points[list(LEFT_EYE_CORNERS)] - points[list(RIGHT_EYE_CORNERS)]).mean(axis=0))
            if np.hypot(*(points[MARKS] - before[MARKS]).mean(axis=0)) > JUMP * apart:
                found.append(time)
        before = points
    return np.array(found, np.float64)
