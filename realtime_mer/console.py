"""How every command line here ends: what went wrong as one line and an exit code, and quietly when its reader has left.

What the commands do is in ``cli``, and in the training's and the export's own.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Final

from realtime_mer.errors import MerError, OutputError

INTERRUPTED: Final = 130  # what shells return after Ctrl-C


def finish(command: Callable[[], int], program: str, interrupted: str) -> int:
    """Runs ``command`` and returns the exit code: its own, that of the MerError, 130 after Ctrl-C.

    program: put before the line that tells what went wrong. interrupted: what is told after Ctrl-C.
    """
    code = 0
    try:
        try:
            code = command()
        except MerError as error:
            _complain(program, str(error))
            code = error.exit_code
        except KeyboardInterrupt:
            _complain(program, interrupted)
            code = INTERRUPTED
        finally:
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    except BrokenPipeError:
        _abandon_output()  # its reader (head, less) has seen enough: nothing to complain about
    except OSError as error:  # files are told of where they are read and written: what is left is a print
        _abandon_output()
        why = error.strerror or str(error)
        _complain(program, f"{error.filename}: {why}" if error.filename else f"cannot write to standard output: {why}")
        code = OutputError.exit_code
    return code


def _complain(program: str, text: str) -> None:
    with contextlib.suppress(OSError):  # standard error may be gone too
        print(f"{program}: {' '.join(text.splitlines())}", file=sys.stderr)  # a file's name may have line ends


def _abandon_output() -> None:
    """Sends the rest of standard output nowhere, so that the flush at exit does not fail once more."""
    with contextlib.suppress(OSError):  # it may be no file at all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
