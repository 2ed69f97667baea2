"""Keeps MediaPipe's start-up messages off the terminal. Errors and everything else still appear."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Final

_STDERR: Final = 2
# Informational and warning lines of absl's and TensorFlow Lite's logs; errors (E, F) are not among them.
_CHATTER: Final = re.compile(
    rb"WARNING: All log messages before absl|[IW]\d{4} \S+ +\d+ \S+\.cc:\d+\]|INFO: Created Tensor"
)
_one_at_a_time = threading.Lock()  # two overlapping redirections would restore each other's files


@contextlib.contextmanager
def native_log_dropped() -> Iterator[None]:
    """While it is open (about 50 ms), writes to file descriptor 2 are held back; everything but these messages follows
    at the end.

    MediaPipe 0.10.30 to 0.10.33 load a library that logs through its own copy of absl before initializing it, directly
    to the descriptor. It exports no function to set a level, and GLOG_minloglevel, TF_CPP_MIN_LOG_LEVEL and absl-py's
    flags have no effect on it (tested). It is silent once the graph exists.
    """
    with _one_at_a_time, contextlib.ExitStack() as cleanup:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # no standard error, nothing to keep quiet
            yield
            return
        cleanup.callback(os.close, kept)
        held = cleanup.enter_context(tempfile.TemporaryFile())
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(kept, _STDERR)
            held.seek(0)
            for line in held:
                if not _CHATTER.match(line):
                    os.write(_STDERR, line)
