"""Writes batch.tsv: a row for each recording of a batch, written as it ends."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from realtime_mer.batch.engine import Done
from realtime_mer.batch.listing import Item
from realtime_mer.batch.recordings import Outcome
from realtime_mer.errors import DataError
from realtime_mer.sinks.lines import LineFile, one_line
from realtime_mer.sinks.place import make_folder

NAME: Final = "batch"
COLUMNS: Final = ("path", "results", "status", "events", "seconds", "processor_seconds", "error")


class Table:
    """A table in ``out``, batch.tsv or batch-I-of-N.tsv; with ``keep`` false nothing is written.

    status: "analyzed", "done before" or "failed". Raises OutputError.
    """

    def __init__(self, out: Path, shard: tuple[int, int] | None, *, keep: bool) -> None:
        self._counts: Counter[str] = Counter()
        self._failed: list[str] = []
        self._file: LineFile | None = None
        self._out = out
        if keep:
            make_folder(out)
            name = NAME if shard is None else f"{NAME}-{shard[0]}-of-{shard[1]}"
            (out / f"{name}.tsv").unlink(missing_ok=True)
            self._file = LineFile(out / f"{name}.tsv")
            self._file.write("\t".join(COLUMNS) + "\n")

    def add(self, done: Done[Item, Outcome]) -> None:
        """Adds a row."""
        status = "failed" if done.value is None else "analyzed" if done.value.fresh else "done before"
        self._counts[status] += 1
        total = done.value.recording.summary if done.value is not None else None
        if done.value is None:
            self._failed.append(done.task.path)
        if self._file is not None:
            confirmed = "" if total is None else str(total.events.get("confirmed", 0))
            times = f"{done.seconds:.3f}", f"{done.cpu:.3f}"
            row = (done.task.path, str(done.task.folder), status, confirmed, *times, done.error)
            self._file.write("\t".join(one_line(cell) for cell in row) + "\n")

    def summary(self) -> str:
        """The counts in a line or two."""
        counts = ", ".join(f"{self._counts[name]} {name}" for name in ("analyzed", "done before", "failed"))
        where = f"; {self._file.path}" if self._file is not None else ""
        return f"{sum(self._counts.values())} recordings: {counts}{where}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def read_failures(path: Path) -> list[tuple[str, str]]:
    """Results folder and error of each failed recording. Raises DataError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    return [(row["results"], row.get("error") or "") for row in rows if row.get("status") == "failed"]
