"""Creates output files and folders, private to their owner. ``lock`` allows one run at a time.

Outputs show or describe faces, so files are made with mode 0600 and folders with 0700, whatever the umask. A FIFO or a
device as an output is written to, never replaced; a link to a file is refused.
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
    """Makes a folder and its missing parents, private to their owner; an existing folder is unchanged.

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
        folder.mkdir(exist_ok=True)  # raises the right error for something that exists and is not a folder
    except OSError as error:
        raise OutputError(f"cannot create the folder {folder}: {error.strerror}; choose another --out") from None


def new_folder(out: Path) -> Path:
    """A folder for a run that must not replace earlier results: ``out`` itself if it is empty, otherwise a new one in
    it, named after the local time. Raises OutputError.
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
    """An empty unbuffered file at ``path``, private to its owner; a FIFO or a device is opened as it is.

    Raises OutputError for a link to a file and for a path that cannot be written.
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
    """Replaces a file atomically; a FIFO or a device is written to. Raises OutputError."""
    part = path.with_name(path.name + ".part")
    try:
        if is_special(path):
            with _special(path) as file:
                _write_all(file, content)
            return
        _refuse_link(path)
        part.unlink(missing_ok=True)  # left by a killed process
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
    """Whether ``path`` exists and is neither a file nor a folder: a FIFO, a device, or an open descriptor
    (/dev/stdout)."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or path.parent in (Path("/dev"), Path("/dev/fd"))


def keep_input(outputs: Iterable[Path], given: str | Path) -> None:
    """Raises OutputError when one of the outputs is the input, under whatever name."""
    for path in outputs:
        with contextlib.suppress(OSError):  # one of them does not exist, so they are not the same
            if path.samefile(given):
                raise OutputError(f"{path} is the input: choose another output")


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The one-line error for a path that cannot be written."""
    return OutputError(f"cannot write {path}: {error.strerror or error}; choose another place for the output")


def _refuse_link(path: Path) -> None:
    """Refuses links, whose target may belong to someone else. Raises OSError."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, f"it is a link to {os.readlink(path)}")


def _special(path: Path) -> BinaryIO:
    """Opens a FIFO, a device or a descriptor for writing. A FIFO that nobody reads is an error, as it would block
    forever."""
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
    """Sets the mode, which an existing file keeps when it is opened again."""
    if hasattr(os, "fchmod"):
        with contextlib.suppress(OSError):  # another user's file, or a file system without modes
            os.fchmod(descriptor, FILE_MODE)
