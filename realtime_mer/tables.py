"""Tables for standard output: drawn by rich on a terminal, aligned columns of plain text elsewhere."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Container, Sequence

Rows = Sequence[Sequence[str]]


def table(columns: Sequence[str], rows: Rows, left: Container[int] = (0,), indent: int = 0) -> str:
    """The table in the form that suits standard output now.

    columns: headings; none for a table without a header. left: the columns that hold text; the others hold numbers and
    are aligned on the right. indent: spaces before every line.
    """
    if sys.stdout.isatty():
        try:
            return _drawn(columns, rows, left, indent)
        except ImportError:  # `doctor` must run in a broken installation
            pass
    return plain(columns, rows, left, indent)


def plain(columns: Sequence[str], rows: Rows, left: Container[int] = (0,), indent: int = 0) -> str:
    """The table as plain text, for files and pipes; see ``table``."""
    lines = [*([columns] if columns else []), *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        " " * indent
        + "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _drawn(columns: Sequence[str], rows: Rows, left: Container[int], indent: int) -> str:
    from rich import box
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD if columns else None, show_header=bool(columns), pad_edge=False)
    for i, name in enumerate(columns or rows[0]):
        drawn.add_column(
            name if columns else "", justify="left" if i in left else "right", overflow="fold", no_wrap=i not in left
        )
    for row in rows:
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=shutil.get_terminal_size().columns, highlight=False)
    console.print(Padding(drawn, (0, 0, 0, indent)))
    return out.getvalue().rstrip("\n")


# Cells that have a color on a terminal: the marks of `doctor` and the verdicts of `bench compare`.
_STYLES = {"ok": "green", "!!": "bold red", "--": "dim", "better": "green", "worse": "red"}
