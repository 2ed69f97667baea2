"""Allows one run at a time in a folder. ``place`` writes the files."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from realtime_mer.errors import OutputError
from realtime_mer.sinks.place import FILE_MODE, LOCK, cannot_write

# Windows also locks bytes against reading, so lock one beyond the text that says who holds the lock
_LOCKED_BYTE: Final = 1 << 30
_WRITES_S: Final = 0.5  # time for the holder of a lock to write who it is
_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # errors of file systems without locks


class Lock:
    """Locks a folder for one run; a second one gets an OutputError that says who holds it.

    The operating system releases the lock when the process ends, however it ends, so the lock file of a killed process
    does no harm. On a file system without locks, nothing is locked.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._descriptor: int | None = None
        while self._descriptor is None:
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), FILE_MODE)
            except OSError as error:
                if folder.is_dir() and not os.access(folder, os.W_OK):
                    return  # a read-only folder of results: readable, and nothing can be written
                raise cannot_write(self._path, error) from None
            if not _acquire(descriptor):
                holder = _holder(descriptor)
                os.close(descriptor)
                raise OutputError(f"{folder} is in use by {holder}: wait for it to end, or choose another --out")
            if _is_at(descriptor, self._path):
                self._descriptor = descriptor
            else:  # its holder removed it between the two steps, so the locked file no longer exists
                os.close(descriptor)
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"process {os.getpid()} since {since}\n".encode())

    def close(self) -> None:
        """Releases the folder."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # Windows cannot remove an open file; an old lock file does no harm
                self._path.unlink()
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _holder(descriptor: int) -> str:
    """The text of the lock file. A process that has just taken the lock may not have written it yet."""
    end = time.monotonic() + _WRITES_S
    while True:
        os.lseek(descriptor, 0, os.SEEK_SET)
        if text := os.read(descriptor, 100).decode(errors="replace").strip():
            return text
        if time.monotonic() > end:
            return "another process"
        time.sleep(0.01)


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
