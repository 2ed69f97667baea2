"""Chooses the times of a stream's frames: the sender's X-Timestamp if it can be believed, otherwise the arrival."""

from __future__ import annotations

import math
from itertools import pairwise

from realtime_mer.sources.feed import RawFrame, RawFrames
from realtime_mer.sources.live import Stream

TRIED = 3  # frames checked before the stamps are believed
TRIED_S = 1.0  # and for at most this long, s, so that a stream at 2 frames/s does not wait for a third
BROKEN = 3  # frames in a row without a usable stamp before arrival times are used
LEAD_S = 2.0  # stamps may span this much more than the arrivals, as the first frame may have been delayed


def stamp_of(text: str | None) -> float | None:
    """X-Timestamp in s; None when there is none, NaN when it is not a time, such as 0, NaN or "now"."""
    if text is None:
        return None
    try:
        stamp = float(text)
    except ValueError:
        return math.nan
    return stamp if math.isfinite(stamp) and stamp > 0 else math.nan


class StampedFrames:
    """Sets the times of the raw frames of one connection. The first connection decides whether the sender's stamps are
    believed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: list[tuple[RawFrame, float | None, float]] = []
        self._unusable = 0

    def push(self, raw: RawFrame, stamp: float | None, arrived: float) -> RawFrames:
        """The raw frames whose times are now known: none, this one, or all that had to wait."""
        if self._stream.clock is not None:
            yield self._dated(raw, stamp, arrived)
            return
        self._waiting.append((raw, stamp, arrived))
        if len(self._waiting) >= TRIED or stamp is None or arrived - self._waiting[0][2] > TRIED_S:
            yield from self.rest()

    def rest(self) -> RawFrames:
        """The raw frames that are still waiting at the end, with times decided by them alone."""
        waiting, self._waiting = self._waiting, []
        if self._stream.clock is None and waiting:
            self._decide([stamp for _, stamp, _ in waiting], waiting[-1][2] - waiting[0][2])
        for raw, stamp, arrived in waiting:
            yield self._dated(raw, stamp, arrived)

    def _decide(self, stamps: list[float | None], seconds: float) -> None:
        if None in stamps:
            self._stream.clock = "monotonic"
            return
        given = [stamp for stamp in stamps if stamp is not None]
        grows = len(given) > 1 and all(a < b for a, b in pairwise(given)) and given[-1] - given[0] < seconds + LEAD_S
        self._stream.clock = "sender" if grows else "monotonic"
        if not grows:
            self._stream.counts.notes.append(
                "the sender's X-Timestamp is not a time that increases: times of arrival are used instead"
            )

    def _dated(self, raw: RawFrame, stamp: float | None, arrived: float) -> RawFrame:
        stream = self._stream
        if stream.clock == "monotonic":
            return raw._replace(time=stream.sender.arrival(arrived))
        usable = None if stamp is None or math.isnan(stamp) else stamp
        at, hole = stream.sender.local(usable, arrived)
        self._unusable = 0 if at is not None else self._unusable + 1
        if self._unusable >= BROKEN:
            stream.clock = "monotonic"
            stream.counts.notes.append("the sender's X-Timestamp stopped: from then on times of arrival are used")
            at = stream.sender.arrival(arrived)
        return raw._replace(time=at, hole=hole)
