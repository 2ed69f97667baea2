"""ELAN's EAF 3.0: a tier per face and kind of movement, and a tier for the apexes."""

from __future__ import annotations

import mimetypes
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from realtime_mer.records import Event, Status
from realtime_mer.sinks.jsonl import Header, Recording
from realtime_mer.sinks.lines import one_line, write_whole
from realtime_mer.sinks.text import ABSTAINED

_SCHEMA: Final = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
SLOWEST: Final = 1e-3  # frames/s; a lower rate is damaged data, and the length of a frame could be infinite
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
RELATIVE: Final = "relative"  # key of the source's details: relative path from the document to the media, if known


class _Note(NamedTuple):
    start: int  # ms
    end: int  # ms, later than start
    text: str


def write_elan(recording: Recording, out: Path) -> None:
    """Writes the final events as an EAF document; times in ms from the start of the media. Raises OutputError.

    The media is at the source's uri; its path relative to ``out`` is in the source's details (``sinks.media.linked``).
    """
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "realtime-mer",
            "DATE": one_line(recording.header.created),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{_XSI}}}noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    _add_header(root, recording.header)
    order = ElementTree.SubElement(root, "TIME_ORDER")
    tiers = _tiers(recording)
    times = sorted({ms for notes in tiers.values() for note in notes for ms in (note.start, note.end)})
    slots = {ms: f"ts{number}" for number, ms in enumerate(times, 1)}
    for ms, slot in slots.items():
        ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(ms))
    annotation = 0
    for name, notes in tiers.items():
        tier = ElementTree.SubElement(
            root, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=name, ANNOTATOR=one_line(recording.header.model)
        )
        for note in notes:
            annotation += 1
            holder = ElementTree.SubElement(ElementTree.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION", {
                "ANNOTATION_ID": f"a{annotation}",
                "TIME_SLOT_REF1": slots[note.start],
                "TIME_SLOT_REF2": slots[note.end],
            })  # fmt: skip
            ElementTree.SubElement(holder, "ANNOTATION_VALUE").text = one_line(note.text)
    ElementTree.SubElement(
        root, "LINGUISTIC_TYPE", GRAPHIC_REFERENCES="false", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true"
    )
    ElementTree.register_namespace("xsi", _XSI)
    ElementTree.indent(root)
    write_whole(out, '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n")


def _add_header(root: ElementTree.Element, header: Header) -> None:
    element = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if header.source.kind != "file":
        return
    media = Path(header.source.uri)
    relative = header.source.details.get(RELATIVE, f"./{media.name}")
    ElementTree.SubElement(element, "MEDIA_DESCRIPTOR", {
        "MEDIA_URL": media.absolute().as_uri(),
        "MIME_TYPE": mimetypes.guess_type(media.name)[0] or "unknown",
        "RELATIVE_MEDIA_URL": one_line(relative),
    })  # fmt: skip


def _tiers(recording: Recording) -> dict[str, list[_Note]]:
    wanted: defaultdict[str, list[_Note]] = defaultdict(list)
    for event in recording.events:
        if not event.final:
            continue
        start, apex, end = (_ms(recording.header.media_time(t)) for t in _times(event))
        face = f"face {event.track}"
        # an annotation needs a length: that of a frame, and at least ELAN's smallest unit
        frame = max(1, round(1000 / event.fps)) if event.fps > SLOWEST else 1
        wanted[f"{face} {event.movement.kind}"].append(_Note(start, max(end, start + frame), describe(event)))
        if event.status is Status.CONFIRMED:
            wanted[f"{face} apex"].append(_Note(apex, apex + frame, "apex"))
    for marker in recording.markers:
        at = _ms(recording.header.media_time(marker.time))
        wanted["markers"].append(_Note(at, at + 1, marker.text or marker.key))
    tiers: dict[str, list[_Note]] = {}
    for name in sorted(wanted):
        for number, lane in enumerate(_lanes(sorted(wanted[name])), 1):
            tiers[name if number == 1 else f"{name} ({number})"] = lane
    return tiers


def _lanes(notes: list[_Note]) -> list[list[_Note]]:
    """Distributes sorted notes over lanes without overlaps, which ELAN does not allow in a tier."""
    lanes: list[list[_Note]] = []
    for note in notes:
        free = next((lane for lane in lanes if lane[-1].end <= note.start), None)
        if free is None:
            lanes.append([note])
        else:
            free.append(note)
    return lanes


def describe(event: Event) -> str:
    """One line of text: the label with its probability, or why the movement was rejected; then what moved."""
    if event.status is Status.REJECTED:
        return event.movement.reason or event.movement.kind.value
    words = event.movement.kind.value
    if event.prediction is not None:
        best = max(event.prediction.probabilities.values(), default=0.0)
        words = f"{event.prediction.label} {best:.2f}" if event.prediction.label is not None else ABSTAINED
    moved = ", ".join(f"{c.region} {'/'.join(c.action_units)}".rstrip() for c in event.cues)
    return f"{words} ({moved})" if moved else words


def _times(event: Event) -> tuple[float, float, float]:
    return event.movement.onset, event.movement.apex, event.movement.end


def _ms(seconds: float) -> int:
    return max(0, round(1000 * seconds))
