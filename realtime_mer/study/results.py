"""Reads a folder of results: each recording with its participant and conditions, and why one is left out.

Participants come from a table. If it has a column "recording" (a path of the results, or a pattern such as
"sub-*/rest*"), its rows are about recordings; otherwise BIDS' "sub-LABEL" in the path gives the participant.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from realtime_mer.batch.table import NAME, read_failures
from realtime_mer.errors import DataError, MerError
from realtime_mer.records import Event, Status
from realtime_mer.sinks import LOG
from realtime_mer.sinks.jsonl import Recording, Summary, read_jsonl

PARTICIPANT: Final = "participant_id"
RECORDING: Final = "recording"
NOBODY: Final = "n/a"  # as in BIDS
WATCHED_S: Final = 10.0  # a rate from less time is meaningless
_SUBJECT: Final = re.compile(r"(?:^|[/_])sub-([A-Za-z0-9]+)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Participants:
    """rows: the table of participants, by column. conditions: the columns that define groups."""

    rows: tuple[Mapping[str, str], ...] = ()
    conditions: tuple[str, ...] = ()

    def of(self, name: str) -> tuple[str, dict[str, str]]:
        """Participant and conditions of a recording, by the path of its results; NOBODY if unknown."""
        found: Mapping[str, str] = {}
        named = subject(name)
        for row in self.rows:
            if fnmatchcase(name, row[RECORDING]) if RECORDING in row else _same(row[PARTICIPANT], named):
                found = row
                break
        who = found.get(PARTICIPANT, named)
        return who.removeprefix("sub-"), {column: found.get(column, NOBODY) or NOBODY for column in self.conditions}


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording of a study. name: the path of its results below the study's folder. excluded: the reason, "" if
    included.

    recording: None without a readable log.
    """

    name: str
    folder: Path
    participant: str
    conditions: Mapping[str, str] = field(default_factory=dict)
    recording: Recording | None = None
    excluded: str = ""

    @property
    def watched_s(self) -> float:
        """Time in which a movement would have been reported, s."""
        summary = self.recording.summary if self.recording is not None else None
        return watched(summary) if summary is not None else 0.0

    @property
    def events(self) -> list[Event]:
        """The final events."""
        return [e for e in self.recording.events if e.final] if self.recording is not None else []

    @property
    def confirmed(self) -> list[Event]:
        return [e for e in self.events if e.status is Status.CONFIRMED]

    @property
    def rejected(self) -> int:
        """The rejected movements."""
        return sum(event.status is Status.REJECTED for event in self.events)

    @property
    def verdict(self) -> str:
        """The verdict on the recording's quality; "" if its log has none."""
        delivery = self.recording.summary.delivery if self.recording and self.recording.summary else None
        return "" if delivery is None else delivery.verdict


def watched(summary: Summary) -> float:
    """Seconds of faces in which a movement would be reported; for logs of older versions, those of measured frames."""
    if summary.sensitivity is not None:
        return 60 * summary.sensitivity.minutes
    return summary.duration * summary.measured_frames / summary.frames if summary.frames else 0.0


def subject(name: str) -> str:
    """The participant in a path such as "sub-03/rest"; NOBODY if it names none."""
    found = _SUBJECT.search(name)
    return found[1] if found else NOBODY


def read_participants(path: Path) -> Participants:
    """Reads a participants.tsv as in BIDS, or a .csv. Raises DataError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, delimiter="," if path.suffix.lower() == ".csv" else "\t")
            names = [name.strip() for name in table.fieldnames or ()]
            table.fieldnames = names
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if PARTICIPANT not in names:
        raise DataError(f"{path} has no column '{PARTICIPANT}': use a participants.tsv as in BIDS")
    conditions = tuple(name for name in names if name not in (PARTICIPANT, RECORDING))
    if bad := [name for name in conditions if not _NAME.fullmatch(name)]:
        raise DataError(f"{path}: the name of the column '{bad[0]}' must consist of letters, digits and _")
    return Participants(tuple(rows), conditions)


def read_study(folder: Path, who: Participants, least_s: float = WATCHED_S) -> Iterator[Entry]:
    """Every recording with results below ``folder``, and every failed one in batch*.tsv.

    least_s: recordings in which a face was watched for less are left out. Raises DataError when there are none.
    """
    logs = sorted(folder.rglob(LOG))
    failed = {
        _below(Path(results), folder): (Path(results), error)
        for table in sorted(folder.glob(f"{NAME}*.tsv"))
        for results, error in read_failures(table)
    }
    if not logs and not failed:
        raise DataError(f"{folder} has no results: run `realtime-mer analyze ... --out {folder}` first")
    for log in logs:
        name = log.parent.relative_to(folder).as_posix()
        _, failure = failed.pop(name, (log.parent, ""))
        yield _entry(name, log, who, failure, least_s)
    for name, (results, error) in failed.items():
        person, conditions = who.of(name)
        yield Entry(name, results, person, conditions, None, f"failed: {error}")


def _entry(name: str, log: Path, who: Participants, failure: str, least_s: float) -> Entry:
    person, conditions = who.of(name)
    try:
        recording = read_jsonl(log)
    except MerError as error:
        return Entry(name, log.parent, person, conditions, None, f"failed: {error}")
    summary = recording.summary
    excluded = ""
    if failure:
        excluded = f"failed: {failure}"
    elif summary is None or (summary.stopped and not recording.header.source.live):
        excluded = "interrupted: analyze it again"
    elif not summary.measured_frames:
        excluded = "no face was measured"
    elif watched(summary) < least_s:
        excluded = f"a face was watched for only {watched(summary):.1f} s, less than {least_s:g} s"
    elif who.rows and person == NOBODY:
        excluded = "no participant in the table"
    return Entry(name, log.parent, person, conditions, recording, excluded)


def _below(path: Path, folder: Path) -> str:
    for at, root in ((path, folder), (path.resolve(), folder.resolve())):
        if at.is_relative_to(root):
            return at.relative_to(root).as_posix()
    return path.name  # the study was moved after it was analyzed


def _same(participant: str, named: str) -> bool:
    return participant.removeprefix("sub-") == named != NOBODY
