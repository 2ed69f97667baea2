"""A table is aligned text in files and pipes, and drawn to the width of a terminal."""

from __future__ import annotations

import builtins
import re
import sys
from typing import Any

import pytest

from realtime_mer.tables import plain, table

COLUMNS = ("name", "n", "what")
ROWS = (("long name", "7", "a sentence that is too long for a narrow terminal"), ("ok", "1234", "short"))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_plain_columns_are_aligned_and_no_line_ends_in_blanks() -> None:
    text = plain(COLUMNS, ROWS, left=(0, 2), indent=2)
    assert text.splitlines() == [
        "  name          n  what",
        "  long name     7  a sentence that is too long for a narrow terminal",
        "  ok         1234  short",
    ]
    assert table(COLUMNS, ROWS, left=(0, 2), indent=2) == text  # no terminal here
    assert plain((), ROWS[1:], left=(0, 2)) == "ok  1234  short"


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_a_table_of_its_width_with_all_words() -> None:
    drawn = table(COLUMNS, ROWS, left=(0, 2), indent=2)
    assert "\x1b[" in drawn  # the mark "ok" is green
    lines = re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines()
    assert max(map(len, lines)) <= 40
    words = " ".join(lines).split()
    assert all(word in words for row in (COLUMNS, *ROWS) for cell in row for word in cell.split())


@pytest.mark.usefixtures("terminal")
def test_a_broken_installation_without_rich_still_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def broken(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("rich"):
            raise ImportError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", broken)
    assert table(COLUMNS, ROWS) == plain(COLUMNS, ROWS)
