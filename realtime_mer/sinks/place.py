"""Where outputs are put: private files and folders, and nothing of someone else's. One run at a time is in ``lock``.

Outputs show faces or tell of them, so files are made with mode 0600 and folders with 0700, whatever the umask. A FIFO
or a device that is named as an output is written to, never replaced; a link to a file is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final

from realtime_mer.errors import OutputError

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
LOCK: Final = ".lock"  # the file that ``lock.Lock`` makes in a folder


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, for their owner alone; one that is there stays as it is.

    Raises OutputError.
    """
    missing = []
    try:
        above = folder
        while not above.exists() and above != above.parent:
            missing.append(above)
            above = above.parent
        for path in reversed(missing):
            path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        folder.mkdir(exist_ok=True)  # says what is wrong with something that is there and no folder
    except OSError as error:
        raise OutputError(f"cannot create the folder {folder}: {error.strerror}; choose another --out") from None


def new_folder(out: Path) -> Path:
    """A folder for a run that must replace no earlier results: ``out`` itself while it is empty, else a new one in it,
    named after the local time. Raises OutputError.
    """
    make_folder(out)
    try:
        if all(path.name == LOCK for path in out.iterdir()):
            return out
        name = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
        for number in count(1):
            folder = out / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=FOLDER_MODE)
                return folder
    except OSError as error:
        raise OutputError(f"cannot create a folder in {out}: {error.strerror}; choose another --out") from None
    raise AssertionError("count() does not end")


def new_file(path: Path) -> BinaryIO:
    """An empty file at ``path``, unbuffered, for its owner alone; a FIFO or a device is opened as it is.

    Raises OutputError for a link to a file and for a place that cannot be written.
    """
    try:
        if is_special(path):
            return _special(path)
        _refuse_link(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), FILE_MODE)
        _make_private(descriptor)
        return open(descriptor, "wb", buffering=0)
    except OSError as error:
        raise cannot_write(path, error) from None


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file that is either complete or as it was; a FIFO or a device is written to. Raises OutputError."""
    part = path.with_name(path.name + ".part")
    try:
        if is_special(path):
            with _special(path) as file:
                _write_all(file, content)
            return
        _refuse_link(path)
        part.unlink(missing_ok=True)  # a killed process may have left it
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            _make_private(descriptor)
            with open(descriptor, "wb", buffering=0) as file:
                _write_all(file, content)
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        raise cannot_write(path, error) from None


def is_special(path: Path) -> bool:
    """Whether ``path`` names something that is there and is neither a file nor a folder, such as a FIFO, a device, or
    an open descriptor (/dev/stdout)."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or path.parent in (Path("/dev"), Path("/dev/fd"))


def keep_input(outputs: Iterable[Path], given: str | Path) -> None:
    """Raises OutputError when one of the outputs is what it is made from, under whatever name."""
    for path in outputs:
        with contextlib.suppress(OSError):  # one of them is not there: they are not the same
            if path.samefile(given):
                raise OutputError(f"{path} is the input: choose another output")


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The one-line error for a place that cannot be written."""
    return OutputError(f"cannot write {path}: {error.strerror or error}; choose another place for the output")


def _refuse_link(path: Path) -> None:
    """What a link leads to is someone else's. Raises OSError."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, f"it is a link to {os.readlink(path)}")


def _special(path: Path) -> BinaryIO:
    """Opens a FIFO, a device or a descriptor for writing. A FIFO that nobody reads is an error; waiting would be
    for ever."""
    fifo = path.is_fifo()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | (os.O_NONBLOCK if fifo else 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(error.errno, "nobody reads from it") from None
        raise
    if fifo:
        os.set_blocking(descriptor, True)
    return open(descriptor, "wb", buffering=0)


def _write_all(file: BinaryIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _make_private(descriptor: int) -> None:
    """A file of an earlier run keeps its mode when it is opened again."""
    if hasattr(os, "fchmod"):
        with contextlib.suppress(OSError):  # a file of another user, or a file system without modes
            os.fchmod(descriptor, FILE_MODE)
