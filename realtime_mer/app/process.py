"""Runs a command as a subprocess that can be stopped from another thread, with everything that it has started.

The caller chooses the command and handles its files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

GRACE: Final = 3.0  # s an interrupted process has to clean up


class Subprocess:
    """Runs one command at a time. ``stop`` and ``close`` may be called from any thread, also when nothing runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopped = self._closed = False

    @property
    def busy(self) -> bool:
        return self._process is not None

    def run(self, command: Sequence[str], scratch: Path) -> subprocess.CompletedProcess[str] | None:
        """Runs ``command``; returns its exit code and its standard error, or None when it was stopped.

        scratch: folder for its temporary files, so that they are removed with the folder when it had to be killed.
        """
        with self._lock:
            if self._closed:
                return None
            self._stopped = False
            self._process = process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, "TMPDIR": str(scratch)},
                start_new_session=True,  # a new process group, so that its children can be stopped with it
            )
        _, said = process.communicate()
        with self._lock:
            self._process = None
            return None if self._stopped else subprocess.CompletedProcess(command, process.returncode, "", said)

    def stop(self) -> None:
        """Stops the running command, if any; waits until it has ended."""
        with self._lock:
            process, self._stopped = self._process, True
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """As ``stop``, and refuses further commands."""
        with self._lock:
            self._closed = True
        self.stop()
