"""Text files that are complete after any interruption: each write is whole lines, in one system call. Independent of
the format.

Written by hand: Python's buffered text files split long writes, and leave half a line when the process is killed or the
disk is full; libraries for atomic files replace a file at its end, but a log must be readable while it grows.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Final, Protocol, TextIO

from realtime_mer.errors import OutputError
from realtime_mer.sinks.place import new_file, replace_file

# Control characters, including line ends, halves of surrogate pairs, and other characters that XML forbids.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")


class Lines(Protocol):
    """A writer of whole lines."""

    def write(self, text: str) -> None: ...

    def close(self) -> None: ...


class LineFile:
    """A new file at ``path``. A killed process leaves everything written so far, and no half line.

    Raises OutputError when the file cannot be made, and when a write fails (disk full), after cutting off a half line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0
        self._file = new_file(path)

    def write(self, text: str) -> None:
        rest = memoryview(text.encode(errors="backslashreplace"))
        size = len(rest)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # a device cannot be truncated
                self._file.truncate(self._size)
            raise OutputError(
                f"writing {self.path} stopped ({error.strerror}); the first {self._size} bytes are complete"
            ) from None
        self._size += size

    def close(self) -> None:
        self._file.close()


class LineStream:
    """Lines to an open text stream such as standard output, flushed at each write; the stream is not closed here."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise  # not an error: the reader has seen enough
        except OSError as error:
            raise OutputError(f"cannot write to standard output: {error.strerror}") from None

    def close(self) -> None:
        """Does nothing: whoever opened the stream closes it."""


def write_whole(path: Path, text: str) -> None:
    """Writes a text file that is either complete or absent. Raises OutputError."""
    replace_file(path, text.encode(errors="backslashreplace"))


def one_line(text: str) -> str:
    """The text with each run of control characters (including tabs and line ends) as one space.

    Names of files and of a model's labels may contain any character; tables, captions and XML may not.
    """
    return _UNPRINTABLE.sub(" ", text)
