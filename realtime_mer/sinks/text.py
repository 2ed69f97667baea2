"""The text of an event wherever it is shown: beside the face, on its card, in lists and reports."""

from __future__ import annotations

from typing import Final

from realtime_mer.records import Event, Status

ABSTAINED: Final = "abstained"  # shown in place of a label when the recognizer abstained


def event_words(event: Event) -> str:
    """A few words: "micro: negative 83 %", "micro: abstained", "movement ...", "blink"."""
    if event.status is Status.REJECTED:
        return event.movement.kind.value
    if event.prediction is None:
        return "micro-expression" if event.status is Status.CONFIRMED else "movement ..."
    best = max(event.prediction.probabilities.values(), default=0.0)
    label = ABSTAINED if event.prediction.label is None else f"{event.prediction.label} {100 * best:.0f} %"
    return f"micro: {label}" if event.status is Status.CONFIRMED else f"micro? {label}"


def label_words(event: Event) -> str:
    """The label alone: "negative", "abstained", or "not classified" when no recognizer ran."""
    return "not classified" if event.prediction is None else event.prediction.label or ABSTAINED


def event_line(event: Event) -> str:
    """As ``event_words``, with the reason of a rejected movement."""
    reason = event.movement.reason
    return f"{event_words(event)}: {reason}" if event.status is Status.REJECTED and reason else event_words(event)
