"""Reads annotation sheets (.xlsx, .csv) as tables; columns are found by their headings. Their meaning is not known
here.

Used by the benchmarks and by training. Workbooks need openpyxl, which the runtime does not depend on.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from realtime_mer.errors import DataError


def rows(
    path: Path, columns: Mapping[str, tuple[str, ...]], optional: Container[str] = ()
) -> Iterable[tuple[int, dict[str, Any]]]:
    """Row numbers (from 1, as in a spreadsheet) and the requested cells, from the first table that has all columns.

    columns: field -> possible headings, compared without regard to case, spaces and punctuation. optional: fields that
    a table may lack. The header may come after a preamble. Empty rows are left out. Raises DataError.
    """
    best: list[str] = []
    for table in tables(path):
        for start, row in enumerate(table):
            places, missing = _places(row, columns, optional)
            if not missing:
                return [
                    (number, {field: row[i] if i < len(row) else None for field, i in places.items()})
                    for number, row in enumerate(table[start + 1 :], start + 2)
                    if any(not blank(row[i]) for i in places.values() if i < len(row))
                ]
            if not best or len(missing) < len(best):
                best = missing
    raise DataError(f"{path}: no column {' and no column '.join(repr(columns[m][0]) for m in best) or 'at all'}")


def tables(path: Path, sheet: str | None = None) -> list[list[tuple[Any, ...]]]:
    """The cells of every sheet of the file, or of one named sheet. DataError when it cannot be read."""
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    if path.suffix.lower() not in (".csv", ".xlsx"):
        raise DataError(f"{path}: only .xlsx and .csv sheets can be read: save it as .xlsx first")
    try:
        pages = _comma_separated(path) if path.suffix.lower() == ".csv" else _workbook(path)
    except DataError:
        raise
    except Exception as error:  # for a damaged file, zipfile, the XML parser and openpyxl raise almost anything
        raise DataError(
            f"{path} cannot be read as a sheet ({str(error).split(chr(10))[0]}): download it again"
        ) from None
    if path.suffix.lower() == ".csv" or sheet is None:
        return list(pages.values())
    if sheet not in pages:
        raise DataError(f"{path}: no sheet {sheet!r}; it has {', '.join(pages)}")
    return [pages[sheet]]


def blank(value: Any) -> bool:
    return value is None or not str(value).strip()


def frame_number(value: Any) -> int | None:
    """A whole number not below 0, from a number or its digits; None for everything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and value >= 0 else None
    if isinstance(value, int):
        return value if value >= 0 else None
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _comma_separated(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return {path.stem: [tuple(row) for row in csv.reader(stream)]}


def _workbook(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    try:
        import openpyxl
    except ImportError:
        raise DataError(f"{path}: reading .xlsx needs openpyxl: `pip install openpyxl`, or save it as .csv") from None
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        return {page.title: [tuple(row) for row in page.iter_rows(values_only=True)] for page in book.worksheets}
    finally:
        book.close()


def _places(
    row: tuple[Any, ...], columns: Mapping[str, tuple[str, ...]], optional: Container[str]
) -> tuple[dict[str, int], list[str]]:
    """The column of each field in a header row, and the missing required fields."""
    plain = [re.sub(r"[^a-z0-9]", "", str(cell).lower()) if cell is not None else "" for cell in row]
    places: dict[str, int] = {}
    for field, headings in columns.items():
        wanted = [re.sub(r"[^a-z0-9]", "", heading.lower()) for heading in headings]
        hits = [plain.index(heading) for heading in wanted if heading in plain]
        if hits:
            places[field] = hits[0]
    return places, [field for field in columns if field not in places and field not in optional]
