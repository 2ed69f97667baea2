"""Text that is whole after any interruption: every write is whole lines, in one system call. Knows no format.

Written by hand: Python's buffered text files split long writes, and leave half a line behind when the process is killed
or the disk is full; libraries for atomic files replace a file at its end, but a log must be readable while it grows.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol, TextIO

from realtime_mer.errors import OutputError


class Lines(Protocol):
    """Something that takes whole lines."""

    def write(self, text: str) -> None: ...

    def close(self) -> None: ...


class LineFile:
    """A new file at ``path``. A killed process leaves all that was written, and no half line.

    Raises OutputError when the file cannot be made, and when a write fails (disk full), after cutting off a half line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115  (closed by close)
        except OSError as error:
            raise cannot_write(path, error) from None

    def write(self, text: str) -> None:
        rest = memoryview(text.encode(errors="backslashreplace"))
        size = len(rest)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # a device has no length to cut
                self._file.truncate(self._size)
            raise OutputError(
                f"writing {self.path} stopped ({error.strerror}); the {self._size} bytes before are whole"
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
            raise  # no mistake: the reader has seen enough
        except OSError as error:
            raise OutputError(f"the output stream takes no more: {error.strerror}") from None

    def close(self) -> None:
        """Nothing: whoever opened the stream closes it."""


def write_whole(path: Path, text: str) -> None:
    """Writes a text file that is either complete or absent. Raises OutputError."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The one-line error for a place that cannot be written."""
    return OutputError(f"cannot write {path}: {error.strerror or error}; choose another place for the output")
