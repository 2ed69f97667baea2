"""Shows whether a change of the code changed the events: a line per recording, with counts and hashes.

Run it before and after a change on the same recordings, and compare the two files. No frame, time or measurement of a
recording is stored, so the table may be kept where the recordings may not.

    realtime-mer bench fingerprint --casme2 CASME2/Cropped clips.csv --out before.json videos cases
    realtime-mer bench fingerprint --casme2 CASME2/Cropped clips.csv --against before.json videos cases
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from realtime_mer.bench.cases import VIDEO_SUFFIXES, from_casme2
from realtime_mer.bench.spotting import Case
from realtime_mer.errors import MerError, SourceError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Event, Frame, Observation
from realtime_mer.run import watch
from realtime_mer.sinks.event_json import to_json
from realtime_mer.sources import open_source

# Fields of a logged event. The recognizer's answer is hashed separately: a new model changes only that.
ANSWER: Final = ("label", "probabilities")
MOVEMENT: Final = (
    *("track", "id", "status", "kind", "reason", "onset", "apex", "offset", "onset_frame", "apex_frame"),
    *("offset_frame", "strength", "cues", "fps", "gap", "lost", "reported"),
)
SUFFIXES: Final = VIDEO_SUFFIXES | {".mpg", ".ts"}
DIGITS: Final = 6  # decimals compared
HASH: Final = 12  # hex digits of each hash

Row = dict[str, Any]


def files(paths: Iterable[Path]) -> Iterator[Case]:
    """The videos at or below ``paths``, by their path below each, in order."""

    def frames(path: Path) -> Iterator[Frame]:
        with open_source(path) as source:
            yield from source

    for root in paths:
        found = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES) if root.is_dir() else [root]
        for path in found:
            yield Case(str(path.relative_to(root.parent)), partial(frames, path))


def casme2(frames: Path, table: Path) -> Iterator[Case]:
    """The spliced streams of all subjects, as ``bench spotting --casme2`` makes them."""
    for number, case in enumerate(from_casme2(frames, table, ())):
        yield replace(case, name=f"casme2/{case.name}-{number:03d}")


def row(case: Case, pipeline: Pipeline) -> Row:
    """Counts and hashes of one recording; ``failed``: the error that ended it."""
    answers, movements, signals = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    counts: Counter[str] = Counter()
    result: Row = {"frames": 0}
    events: list[Event] = []
    try:
        for seen in watch(case, pipeline):
            events += seen.events
            if not isinstance(seen, Observation):
                break
            result["frames"] += 1
            signals.update(_plain([seen.time, seen.fps, seen.notes]))
            for signal in seen.faces:
                signals.update(_plain([signal.face.track, signal.face.box, signal.note]))
                if (activity := signal.activity) is not None:
                    signals.update(_plain([activity.level, activity.threshold, activity.displacement.tolist()]))
    except MerError as error:
        result["failed"] = type(error).__name__
    for event in events:
        values = to_json(event)
        counts[values["status"] if values["status"] != "rejected" else values["kind"]] += 1
        movements.update(_plain([values[name] for name in MOVEMENT]))
        answers.update(_plain([values[name] for name in ANSWER]))
    hashes = {"signals": signals, "movements": movements, "answers": answers}
    return {
        **result,
        "events": dict(sorted(counts.items())),
        **{name: digest.hexdigest()[:HASH] for name, digest in hashes.items()},
    }


def differences(before: dict[str, Row], after: dict[str, Row]) -> list[str]:
    """A line for each recording and entry that differs between the tables."""
    lines = [f"{name}: only in one of the tables" for name in sorted(before.keys() ^ after.keys())]
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        lines += [
            f"{name}: {key} was {old.get(key)}, is {new.get(key)}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
    return lines


def read(path: Path) -> dict[str, Row]:
    """Reads a stored table. Raises SourceError when it is not one."""
    try:
        recordings: dict[str, Row] = json.loads(path.read_text(encoding="utf-8"))["recordings"]
    except (OSError, ValueError, TypeError, KeyError):
        raise SourceError(f"{path} has no fingerprints: create it with --out") from None
    return recordings


def _plain(value: Any) -> bytes:
    return json.dumps(_rounded(value)).encode()


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, DIGITS)
        case list() | tuple():
            return [_rounded(part) for part in value]
        case dict():
            return {key: _rounded(part) for key, part in value.items()}
    return value
