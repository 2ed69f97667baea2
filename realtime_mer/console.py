"""Ends a command-line program: errors as one line and an exit code, signals cleanly, a closed pipe silently.

Shared by ``realtime-mer``, ``train`` and ``export``. Exit codes: 0; that of the MerError (1 to 7, see ``errors``);
after a signal, 128 plus its number, as in shells: 129 for SIGHUP (the terminal was closed), 130 for Ctrl-C, 143 for
SIGTERM.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final, Protocol, Self

from realtime_mer.errors import MerError, OutputError

INTERRUPTED: Final = 130  # what shells return after Ctrl-C
NOTHING_BEGUN: Final = "interrupted; nothing was written"
STOPPING: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# Why standard output takes no more: its reader has gone, or it was closed from the start.
_READER_LEFT: Final = (errno.EPIPE, errno.EBADF)

Handler = Callable[[int, FrameType | None], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP. Its text, if any, replaces the program's own."""

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(text)
        self.number = number


def finish(command: Callable[[], int], program: str, interrupted: str) -> int:
    """Runs ``command`` and returns the exit code: its own, that of the MerError, or 128 plus the number of a signal.

    program: the name before an error. interrupted: the message after Ctrl-C.
    """
    _open_standard_streams()
    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise Interrupted(number)

    code = 0
    try:
        try:
            with handling(interrupt):
                code = command()
        except MerError as error:
            report_error(program, str(error))
            code = error.exit_code
        except KeyboardInterrupt as error:
            report_error(program, str(error) or interrupted)
            code = 128 + getattr(error, "number", signal.SIGINT)
        except ImportError as error:
            if received:  # some libraries turn a signal during their import into one
                report_error(program, interrupted)
                code = 128 + received[0]
            elif (error.name or "").startswith("realtime_mer"):
                raise
            else:
                report_error(program, f"{error}: `realtime-mer doctor` says what is missing and how to get it")
                code = MerError.exit_code
        finally:
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be reported
    except BrokenPipeError:
        discard_output()  # its reader (head, less) has seen enough: not an error
    except OSError as error:  # errors of files are raised where they are read and written; what is left is a print
        discard_output()
        why = error.strerror or str(error)
        report_error(
            program, f"{error.filename}: {why}" if error.filename else f"cannot write to standard output: {why}"
        )
        code = OutputError.exit_code
    return code


@contextlib.contextmanager
def handling(handler: Handler) -> Iterator[None]:
    """Within it, ``handler`` gets Ctrl-C, SIGTERM and SIGHUP, except those that were ignored (nohup, a background job).
    Does nothing outside the main thread, where signals cannot be handled."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: old for n in STOPPING if (old := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class Closable(Protocol):
    def close(self) -> None: ...


class Stop:
    """Within it, the first Ctrl-C, SIGTERM or SIGHUP closes the source; a second one ends the run at once.

    number: of the received signal, or None.
    """

    def __init__(self, source: Closable) -> None:
        self.number: int | None = None
        self._source, self._handling = source, handling(self._stop)

    def reason(self) -> str:
        """The signal's name, such as "SIGTERM", for the log; "" without a signal."""
        return "" if self.number is None else signal.Signals(self.number).name

    def __enter__(self) -> Self:
        self._handling.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handling.__exit__(None, None, None)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            raise Interrupted(number)
        self.number = number
        # the handler must not wait for the capture thread
        threading.Thread(target=self._source.close, name="stop", daemon=True).start()


@contextlib.contextmanager
def exit_on_signal(program: str, text: str) -> Iterator[None]:
    """Within it, a signal prints one line and ends the process: for imports and for opening, before anything has been
    written. An exception could be lost or changed inside a library that is being loaded."""
    try:
        errors = os.dup(2)  # standard error may be redirected to silence a library
    except OSError:
        errors = -1

    def leave(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            os.write(errors, f"{program}: {text}\n".encode())
        os._exit(128 + number)

    try:
        with handling(leave):
            yield
    finally:
        if errors >= 0:
            os.close(errors)


def report_error(program: str, text: str) -> None:
    """One line on standard error, after the program's name: red on a terminal. A file's name may have line ends."""
    line = f"{program}: {' '.join(text.splitlines())}"
    if sys.stderr.isatty():
        from rich.console import Console

        with contextlib.suppress(OSError):
            Console(stderr=True, highlight=False).print(line, style="red", markup=False, soft_wrap=True)
    else:
        print_status(line)


def print_status(text: str) -> None:
    """A line on standard error; nothing if that is closed."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def print_output(text: str) -> bool:
    """Text on standard output, for a command whose work goes on whether or not anyone reads it.

    True when it was written or its reader has left; False when it cannot be written (a full disk), which is reported
    once.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        discard_output()
        if error.errno not in _READER_LEFT:
            print_status(f"cannot write to standard output: {error.strerror}")
            return False
    return True


def output_closed() -> bool:
    """Whether standard output was closed when this process was started (``>&-``)."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file
        return False
    try:
        os.write(number, b"")
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def discard_output() -> None:
    """Discards the rest of standard output, so that the flush at exit does not fail again."""
    with contextlib.suppress(OSError):  # it may not be a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_standard_streams() -> None:
    """Replaces closed standard streams, in order, so that each gets its own descriptor.

    Otherwise the next file that is opened would take the descriptor, and get what a library prints. Writing to a closed
    standard output stays an error, as in other commands.
    """
    for name, flags, mode in (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, flags), mode, closefd=False))  # noqa: SIM115 (to the end)
