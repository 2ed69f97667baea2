"""A part of a page that is drawn from data: what stands between its two marks is replaced."""

from __future__ import annotations

from collections.abc import Sequence


def marks(script: str) -> tuple[str, str]:
    """The comments around what ``script`` draws."""
    return f"<!-- begin: drawn by {script} -->", f"<!-- end: drawn by {script} -->"


def within(text: str, script: str, drawn: str) -> str:
    """The page with ``drawn`` between the marks of ``script``. Raises ValueError where the page lacks them."""
    begin, end = marks(script)
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{drawn}\n{end}{rest.split(end)[1]}"


def row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") or " " for cell in cells) + " |"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [row(columns), row(["---"] * len(columns)), *map(row, rows)]
