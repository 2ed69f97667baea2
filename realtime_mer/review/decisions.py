"""One coder's decisions on one log: ``review-CODER.jsonl`` beside it, an append-only file.

The first line says who codes what. Each further line adds or undoes a decision; the current state is the sum of the
decisions that were not undone. docs/formats.md has the fields.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from realtime_mer.errors import ConfigError, SourceError
from realtime_mer.sinks import LOG
from realtime_mer.sinks.jsonl import iso
from realtime_mer.sinks.place import cannot_write, new_file
from realtime_mer.typed import Count, Measure, convert, from_json

FORMAT: Final = 1
PREFIX: Final = "review-"
_CODER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_ADDED: Final = re.compile(r"new-[1-9][0-9]{0,5}")
_FOUND: Final = re.compile(r"[0-9]{1,9}-[0-9]{1,9}")
TEXT: Final = 1000  # characters of a comment or a label

Verdict = Literal["accepted", "rejected", "open"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A coder's decision on one event; None fields are unchanged.

    event: "TRACK-ID" of a logged event, or "new-N" of one that the coder added. verdict: "accepted": it is a
    micro-expression; "rejected": it is not; "open": undecided. onset, apex, offset: s on the source's clock, as in the
    log. face: the track of an added event. at: wall-clock time, ISO 8601, UTC.
    """

    event: str
    verdict: Verdict | None = None
    onset: Measure | None = None
    apex: Measure | None = None
    offset: Measure | None = None
    label: str | None = None
    comment: str | None = None
    face: Count | None = None
    at: str = ""

    @property
    def added(self) -> bool:
        """Whether the event was added by the coder."""
        return self.event.startswith("new-")


@dataclass(frozen=True, slots=True)
class Review:
    """All decisions of one coder on a log. blind: made without seeing the events of the machine and of other coders.

    decisions: those that were not undone, in order; ``now`` sums them up.
    """

    coder: str
    blind: bool
    log: str
    created: str
    decisions: tuple[Decision, ...] = ()

    def now(self) -> dict[str, Decision]:
        """The current verdict, times, label and comment of each decided event."""
        found: dict[str, Decision] = {}
        for step in self.decisions:
            before = found.get(step.event)
            found[step.event] = step if before is None else _put(before, step)
        return found


@dataclass(frozen=True, slots=True)
class _Head:
    coder: str
    blind: bool
    log: str
    created: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class _Undo:
    number: Count


def review_name(coder: str) -> str:
    """The name of a coder's file. Raises ConfigError for an invalid name."""
    if not _CODER.fullmatch(coder):
        raise ConfigError("a coder's name must have 1 to 40 letters, digits, - or _, and begin with a letter or digit")
    return f"{PREFIX}{coder}.jsonl"


def reviews_beside(log: Path) -> list[Path]:
    """All coders' files of a log, by name."""
    return sorted(path for path in log.parent.glob(f"{PREFIX}*.jsonl") if path.is_file())


def begin(log: Path, coder: str, *, blind: bool = False) -> Path:
    """The coder's file beside ``log``, created if missing. Raises ConfigError, OutputError."""
    path = log.with_name(review_name(coder))
    if not path.exists():
        with new_file(path) as file:
            file.write(_line({"type": "review", **asdict(_Head(coder, blind, log.name, _now()))}))
    return path


def decide(path: Path, decision: Decision) -> Review:
    """Adds a decision to a coder's file; returns the new state. Raises SourceError, OutputError, and ConfigError for an
    invalid decision, such as an apex outside the movement."""
    review = read_review(path)
    decision = replace(decision, at=_now())
    after = replace(review, decisions=(*review.decisions, decision))
    check(after.now()[decision.event])
    _append(path, {"type": "decision", **{k: v for k, v in asdict(decision).items() if v is not None}})
    return after


def undo(path: Path) -> Review:
    """Undoes the latest decision, if any. Raises SourceError, OutputError."""
    numbered = _read(path)[1]
    if numbered:
        _append(path, {"type": "undo", "number": numbered[-1][0]})
    return read_review(path)


def check(decision: Decision) -> None:
    """Raises ConfigError when the sum of a coder's decisions on one event is invalid."""
    if not (_ADDED if decision.added else _FOUND).fullmatch(decision.event):
        raise ConfigError("an event must be named TRACK-ID, or new-NUMBER if a coder added it")
    onset, apex, offset = decision.onset, decision.apex, decision.offset
    if decision.added and (onset is None or offset is None):
        raise ConfigError("an added event needs an onset and an offset")
    times = [time for time in (onset, apex, offset) if time is not None]
    if times != sorted(times) or (onset is not None and onset == offset):
        raise ConfigError("onset, apex and offset must follow each other")
    if any(len(text or "") > TEXT for text in (decision.label, decision.comment)):
        raise ConfigError(f"a label or a comment can have at most {TEXT} characters")


def read_review(path: Path) -> Review:
    """Reads a coder's file without an incomplete last line. Raises SourceError."""
    head, numbered = _read(path)
    return Review(head.coder, head.blind, head.log, head.created, tuple(step for _, step in numbered))


def _read(path: Path) -> tuple[_Head, list[tuple[int, Decision]]]:
    """The first line, and the decisions that were not undone with their numbers, counted from 1."""
    lines = _text(path).split("\n")[:-1]
    head: _Head | None = None
    standing: list[tuple[int, Decision]] = []
    total = 0
    for at, line in enumerate(lines, 1):
        try:
            values = convert(from_json(line), dict[str, Any])
            kind = values.pop("type", None)
            if at == 1:
                if kind != "review" or values.get("format") != FORMAT:
                    break
                head = convert(values, _Head)
            elif kind == "decision":
                total += 1
                standing.append((total, convert(values, Decision)))
            elif kind == "undo":
                gone = convert(values, _Undo).number
                standing = [(number, step) for number, step in standing if number != gone]
        except ValueError as error:
            raise SourceError(f"{path}, line {at}, does not belong to a review of this version: {error}") from None
    if head is None:
        raise SourceError(f"{path} is not a review: it must begin with a line of type review, format {FORMAT}")
    return head, standing


def is_review(path: Path) -> bool:
    """Whether this is the name of a coder's file."""
    return path.name.startswith(PREFIX) and path.suffix == ".jsonl"


def log_of(path: Path) -> Path:
    """The log beside a coder's file. Raises SourceError."""
    name = read_review(path).log
    return path.with_name(name if Path(name).name == name else LOG)


def _put(before: Decision, step: Decision) -> Decision:
    given: dict[str, Any] = {f.name: v for f in fields(step) if (v := getattr(step, f.name)) is not None}
    return replace(before, **given)


def _append(path: Path, values: dict[str, Any]) -> None:
    """Appends one line in one write, after removing a line that a killed process left incomplete."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        with open(descriptor, "r+b", buffering=0) as file:
            content = file.read()
            file.seek(content.rfind(b"\n") + 1)
            file.truncate()
            file.write(_line(values))
    except OSError as error:
        raise cannot_write(path, error) from None


def _line(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, allow_nan=False) + "\n").encode(errors="backslashreplace")


def _now() -> str:
    return iso(datetime.now(UTC))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None


def new_name(path: Path) -> str:
    """The next "new-N" of a coder's file; numbers of undone additions are not used again."""
    used = [int(n) for n in re.findall(r'"event": "new-(\d{1,6})"', _text(path))]
    return f"new-{max(used, default=0) + 1}"
