"""Where outputs are put: private files and folders, one run at a time in a folder, and nothing of somebody else's.

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
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from realtime_mer.errors import OutputError

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
LOCK: Final = ".lock"  # in a folder that a run writes to
_LOCKED_BYTE: Final = 1 << 30  # Windows locks bytes against reading too: one beyond the text that says who holds it
_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # what file systems without locks answer


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
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another --out") from None


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
                raise OutputError(f"{path} is the input: choose another place for the output")


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The one-line error for a place that cannot be written."""
    return OutputError(f"cannot write {path}: {error.strerror or error}; choose another place for the output")


class Lock:
    """Holds a folder for one run: a second one ends with an OutputError that says who has it.

    The operating system lets go of it when the process ends, however it ends, so a lock file that a killed process
    left does no harm. On a file system without locks nothing is held.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._descriptor: int | None = None
        while self._descriptor is None:
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), FILE_MODE)
            except OSError as error:
                raise cannot_write(self._path, error) from None
            if not _acquire(descriptor):
                holder = os.read(descriptor, 100).decode(errors="replace").strip() or "another process"
                os.close(descriptor)
                raise OutputError(f"{folder} is in use by {holder}: wait for it to end, or choose another --out")
            if _is_at(descriptor, self._path):
                self._descriptor = descriptor
            else:  # its holder removed it between the two steps: what was locked is no longer there
                os.close(descriptor)
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"process {os.getpid()} since {since}\n".encode())

    def close(self) -> None:
        """Lets go of the folder."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # Windows cannot remove an open file: an old lock file does no harm
                self._path.unlink()
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refuse_link(path: Path) -> None:
    """What a link leads to is somebody else's. Raises OSError."""
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


def _acquire(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return _acquire_on_windows(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def _acquire_on_windows(descriptor: int) -> bool:
    import msvcrt

    os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    except OSError:
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
