"""Tries an ONNX file from elsewhere in a separate process, before this process opens it.

ONNX is a format for programs: an endless loop, an operator that crashes ONNX Runtime or a tensor of a terabyte would
end a live run, or the app with all its viewers. Here it ends a process that does nothing else.

This guards against broken files and accidents. It is not a sandbox, and it tests only one run on two samples: open only
models that you trust. Shipped models are not tried.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from realtime_mer.errors import MerError, ModelError

LIMIT_S: Final = 30.0  # to start Python, open the model and run it; a good model needs about one
MEMORY: Final = 8 << 30  # bytes of address space for a trial; a recognizer takes well under one GiB
SHIPPED: Final = Path(__file__).parent / "shipped"
_REFUSED: Final = 3  # exit code; 1 and 2 are Python's own
_COMMAND: Final = "import sys; from realtime_mer.recognize.trial import attempt; sys.exit(attempt(sys.argv[1]))"

_tried: dict[str, str] = {}  # SHA-256 of a file -> why it was refused, empty when it passed; of this process


def check(path: Path, content: bytes) -> None:
    """Returns when the file is shipped, or another process has opened and run it; takes about a second, once per file.

    Raises ModelError when that process refused it, crashed, or was not done after LIMIT_S.
    """
    if path.parent == SHIPPED:
        return
    digest = hashlib.sha256(content).hexdigest()
    if digest not in _tried:
        _tried[digest] = _try(path)
    if _tried[digest]:
        raise ModelError(_tried[digest])


def attempt(path: str) -> int:
    """Runs in the other process: opens and runs the model, and prints why it is refused. Returns the exit code."""
    from realtime_mer.recognize.onnx import OnnxRecognizer

    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows, or a system without such a limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        with contextlib.redirect_stdout(None):  # ONNX Runtime prints there when it tries again
            OnnxRecognizer(Path(path), tried=True)
    except MerError as error:
        print(error)
        return _REFUSED
    return 0


def _try(path: Path) -> str:
    # -P: a file named numpy.py in the working directory is not imported
    command = [sys.executable, "-P", "-c", _COMMAND, str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8:backslashreplace"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{path} was not ready after {LIMIT_S:g} s: it never ends, or is far too large for a live recognizer"
    except (OSError, ValueError) as error:
        return f"{path} could not be tried in a separate process: {error}"
    if done.returncode == _REFUSED:
        return done.stdout.decode(errors="replace").strip() or f"{path} was refused"
    if done.returncode:
        return f"{path} ended the process that tried it (code {done.returncode}): it is damaged or malicious"
    return ""
