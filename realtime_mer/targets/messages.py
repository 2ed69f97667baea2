"""The messages of a run, as JSON objects: the lines of the log, and a status once per second (docs/live-output.md).

header   as in the log, first. ``run`` is an id that all messages of this run share.
event    as in the log, with ``report``: "new" when a movement is first reported while it lasts, "update" when it is
         reported again, "end" with its last report; and ``wall``: its apex by the wall clock (null for a recording).
status   once per second: rate, faces, losses.
end      the run is over.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from realtime_mer.records import End, Event, Frame, Marker, Observation, SourceInfo, Status
from realtime_mer.sinks import Sink
from realtime_mer.sinks.event_json import to_json
from realtime_mer.sinks.jsonl import Anchor, Header, anchor_of
from realtime_mer.targets import Stats

Message = dict[str, Any]
STATUS_S: Final = 1.0  # between two of them


class Announced:
    """Tracks which movements have been announced, and how to announce the next report of each."""

    def __init__(self, *, rejected: bool) -> None:
        self._rejected = rejected
        self._open: set[tuple[int, int]] = set()

    def report(self, event: Event) -> str | None:
        """ "new", "update" or "end"; None for a movement that is not sent.

        An announced movement always gets its end, even if it turns out to be rejected.
        """
        known = event.key in self._open
        if event.final:
            self._open.discard(event.key)
            return "end" if known or self._rejected or event.status is Status.CONFIRMED else None
        self._open.add(event.key)
        return "update" if known else "new"


class Messages(Sink):
    """Posts the messages of one run. ``post`` must return at once, as the measuring thread calls it.

    post(message, passing): a passing message is of no use later and need not wait for an absent peer.
    """

    def __init__(
        self, post: Callable[[Message, bool], None], head: Header, stats: Stats | None, *, rejected: bool
    ) -> None:
        self.run = secrets.token_hex(8)
        self._post, self._head, self._stats = post, head, stats
        self._announced = Announced(rejected=rejected)
        self._anchor: Anchor | None = None  # None for a recording, whose times are unrelated to the wall clock
        self._told = 0.0  # monotonic, s
        self._begun = self._over = False

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002
        if not self._begun:
            self._begin(observation.time)
        self._events(observation.events)
        if (now := time.monotonic()) - self._told >= STATUS_S:
            self._told = now
            self._post(self._status(observation), True)

    def mark(self, marker: Marker) -> None:
        """Posts a marker of the user, or of a stimulus program."""
        if self._begun:
            self._post({"type": "marker", "run": self.run, **dataclasses.asdict(marker)}, False)

    def end(self, end: End) -> None:
        self._events(end.events)

    def close(self) -> None:
        if self._begun and not self._over:
            self._over = True
            self._post({"type": "end", "run": self.run}, False)

    def _begin(self, start: float) -> None:
        self._begun = True
        if self._head.source.live:
            self._anchor = self._head.anchor or anchor_of(self._head.source, start)
        head = dataclasses.replace(self._head, start=float(start), anchor=self._anchor)
        self._post({"type": "header", "run": self.run, **dataclasses.asdict(head)}, False)

    def _events(self, events: Iterable[Event]) -> None:
        for event in events:
            if (report := self._announced.report(event)) is not None:
                wall = None if self._anchor is None else self._anchor.wall_at(event.movement.apex)
                self._post({**to_json(event), "run": self.run, "report": report, "wall": wall}, False)

    def _status(self, observation: Observation) -> Message:
        stats = self._stats() if self._stats else None
        return {
            "type": "status",
            "run": self.run,
            "time": observation.time,
            "fps": round(observation.fps, 2),
            "faces": [{"track": s.face.track, "note": s.note} for s in observation.faces],
            "notes": list(observation.notes),
            "delivered": stats.delivered if stats else observation.index + 1,
            "dropped": stats.dropped if stats else 0,
            "missed": stats.missed if stats else None,
        }


def on_this_clock(info: SourceInfo) -> bool:
    """Whether the times of a source are on this machine's monotonic clock."""
    return info.live and info.clock in ("monotonic", "sender", "device")
