"""One run at a time in a folder. What is written there, and how, is in ``place``."""

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

_LOCKED_BYTE: Final = 1 << 30  # Windows locks bytes against reading too: one beyond the text that says who holds it
_WRITES_S: Final = 0.5  # in which whoever takes the lock says so
_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # what file systems without locks answer


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
                if folder.is_dir() and not os.access(folder, os.W_OK):
                    return  # results that were put away read-only: they can be looked at, and nothing can be written
                raise cannot_write(self._path, error) from None
            if not _acquire(descriptor):
                holder = _holder(descriptor)
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


def _holder(descriptor: int) -> str:
    """What the lock file says. Whoever has taken it this very moment is still to write that."""
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
