"""Shows the progress of long work with the time left: a bar on a terminal, otherwise an occasional line. On standard
error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO, TypeVar, cast

LINE_S: Final = 60.0  # s between two lines without a terminal
T = TypeVar("T")


class Bar:
    """Work in progress. show: called with the units done since the last call, and a short note."""

    def __init__(self, show: Callable[[float, str], None], done: float = 0) -> None:
        self.done = done
        self._show = show

    def advance(self, count: float = 1, note: str = "") -> None:
        """Adds ``done`` units. note: a short status, such as the loss."""
        self.done += count
        self._show(count, note)

    def reach(self, done: float) -> None:
        """Sets the total number of units done."""
        if done > self.done:
            self.advance(done - self.done)


class Countdown:
    """Text for how many tasks are done and how long the rest will take."""

    def __init__(self, tasks: float, done: float = 0) -> None:
        self._tasks, self._done, self._worked = tasks, done, 0.0
        self._began = time.monotonic()

    def step(self, count: float = 1, *, worked: bool = True) -> str:
        """Call after each task: "3 of 200, about 1:02 left". worked: whether it took time; an already complete task did
        not."""
        self._done += count
        self._worked += count * worked
        spent = time.monotonic() - self._began
        left = (self._tasks - self._done) * spent / self._worked if self._worked else 0.0
        progress = f"{self._done:g} of {self._tasks:g}"
        return f"{progress}, about {clock(left)} left" if left >= 1 else progress


def clock(seconds: float) -> str:
    """ "1:02:03", "2:03"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


@contextmanager
def bar(total: float, what: str, unit: str = "", *, done: float = 0, quiet: bool = False) -> Iterator[Bar]:
    """Shows the progress of ``total`` units of work (0: unknown), of which ``done`` are complete.

    what: text before the bar. unit: such as "epochs". quiet: show nothing.
    """
    if quiet:
        yield Bar(lambda _count, _note: None, done)
    elif not sys.stderr.isatty():
        yield Bar(_lines(total, what, unit, done), done)
    else:
        # loaded here, because a run without a terminal does not need it
        from rich import progress as rich
        from rich.console import Console

        columns = (
            rich.TextColumn("{task.description}", markup=False), rich.BarColumn(), rich.MofNCompleteColumn(),
            rich.TextColumn(unit), rich.TimeRemainingColumn(), rich.TextColumn("left"),
            rich.TextColumn("{task.fields[note]}", markup=False),
        )  # fmt: skip
        # prints during the work stay on standard output, which may be a file
        console = Console(file=cast(TextIO, _Terminal()), force_terminal=True)
        with rich.Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
            task = progress.add_task(what, total=total or None, completed=round(done), note="")
            yield Bar(lambda count, note: progress.update(task, advance=count, note=note), done)


def tracked(items: Collection[T], what: str, *, quiet: bool = False) -> Iterator[T]:
    """Iterates over items with a bar."""
    with bar(len(items), what, quiet=quiet) as shown:
        for item in items:
            yield item
            shown.advance()


class _Terminal:
    """Standard error, which may be closed at any time; the work then continues without a bar."""

    def __init__(self) -> None:
        self._stream = sys.stderr  # while a bar is shown, rich replaces it
        self.fileno = self._stream.fileno

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _lines(total: float, what: str, unit: str, done: float) -> Callable[[float, str], None]:
    """Shows progress as a line every ``LINE_S``."""
    countdown, last = Countdown(total, done), time.monotonic()

    def show(count: float, note: str) -> None:
        nonlocal last
        words = countdown.step(count)
        if time.monotonic() - last >= LINE_S:
            last = time.monotonic()
            line = f"{what}: {words}{f' ({unit})' if unit else ''}{', ' if note else ''}{note}"
            with suppress(OSError):  # nobody reads it anymore
                print(line, file=sys.stderr, flush=True)

    return show
