"""Compares events with the published ones: which are found again, and what became of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from realtime_mer.records import Event, Status
from realtime_mer.share.again import movements
from realtime_mer.sinks.text import label_words
from realtime_mer.spotting.scores import Movement, match, overlap

TOUCHES: Final = 1e-3  # s: with less overlap it is another movement


@dataclass(frozen=True, slots=True)
class Survival:
    """A published event and the one found in its place, None if there is none.

    survives: the same verdict and, if a recognizer answered, the same label, with an overlap of half or more.
    """

    event: Event
    found: Event | None
    survives: bool

    @property
    def line(self) -> str:
        """The result in words."""
        was = self.event.movement
        start = f"{was.onset:9.3f} s  face {self.event.track}  {_named(self.event):22}"
        if self.found is None:
            return f"{start}  gone: no movement found there"
        now = self.found.movement
        if not self.survives:
            return f"{start}  gone: now {_named(self.found)}" + (f" ({now.reason})" if now.reason else "")
        apart = {"onset": now.onset - was.onset, "apex": now.apex - was.apex, "offset": now.end - was.end}
        moved = ", ".join(f"{name} {1e3 * by:+.0f} ms" for name, by in apart.items() if abs(by) >= 5e-4)
        return f"{start}  survives" + (f", {moved}" if moved else "")


def survivals(published: Sequence[Event], found: Sequence[Event]) -> tuple[list[Survival], list[Event]]:
    """What became of each published event, and the events that were not published."""
    before, after = movements(published), movements(found)
    partner = dict(match(before, after))
    used = set(partner.values())
    result = []
    for i, event in enumerate(published):
        if (j := partner.get(i)) is None:
            # what was found in its place, if anything: the movement with the largest overlap
            near = [k for k in range(len(found)) if after[k].video == before[i].video and _shared(before[i], after[k])]
            j = max(near, key=lambda k: overlap(before[i], after[k]), default=None)
            result.append(Survival(event, None if j is None else found[j], False))
            continue
        result.append(Survival(event, found[j], _same(event, found[j])))
    return result, [event for k, event in enumerate(found) if k not in used]


def text(results: Sequence[Survival], more: Sequence[Event]) -> str:
    """A line for each micro-expression, and the counts."""
    micro = [fate for fate in results if fate.event.status is Status.CONFIRMED]
    rejected = [fate for fate in results if fate.event.status is Status.REJECTED]
    new = [event for event in more if event.status is Status.CONFIRMED]
    lines = [fate.line for fate in micro] + [fate.line for fate in rejected if not fate.survives]
    lines += [f"{e.movement.onset:9.3f} s  face {e.track}  {_named(e):22}  was not found before" for e in new]
    kept = [f"{sum(f.survives for f in part)} of {len(part)}" for part in (micro, rejected)]
    return "\n".join([*lines, f"{kept[0]} micro-expressions survive, and {kept[1]} rejected movements"])


def _shared(a: Movement, b: Movement) -> bool:
    return min(a.offset, b.offset) - max(a.onset, b.onset) > TOUCHES


def _same(a: Event, b: Event) -> bool:
    if a.movement.kind is not b.movement.kind:
        return False
    return a.prediction is None or b.prediction is None or a.prediction.label == b.prediction.label


def _named(event: Event) -> str:
    kind = event.movement.kind.value
    if event.prediction is None:
        return kind
    return f"{kind}, {label_words(event)}"
