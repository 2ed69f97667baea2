"""``realtime-mer doctor``: checks what is installed, what works, what is missing and how to get it."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from realtime_mer import privacy
from realtime_mer.commands.options import Commands
from realtime_mer.errors import MerError
from realtime_mer.tables import table

Row = tuple[str, str, str]  # mark, what was checked, finding

NEEDED: Final = ("numpy", "opencv-python", "mediapipe", "onnxruntime", "av")
OPTIONAL: Final = {
    "gradio": "the browser front end: pip install 'realtime-mer[app]'",
    "scikit-image": "the demo clip: pip install 'realtime-mer[demo]'",
    "torch": "training, and models exported as .pt2: pip install 'realtime-mer[train]'",
    "onnx": "export: pip install 'realtime-mer[export]'",
    "torch-tensorrt": "TensorRT engines from a checkpoint: pip install 'realtime-mer[gpu]', see docs/gpu.md",
    "onnxruntime-gpu": ".onnx models on an NVIDIA GPU: see docs/gpu.md",
    "pylsl": "Lab Streaming Layer: pip install 'realtime-mer[targets]'",
    "paho-mqtt": "events to an MQTT broker: pip install 'realtime-mer[targets]'",
}
BROKEN: Final = "!!"
RIVALS: Final = ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser("doctor", help="Check the installation: versions, devices, what is missing")
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> int:
    """Prints a row per finding: "ok", "!!" for what must be fixed, "--" for what may be missing.

    Returns 1 when something needed does not work.
    """
    rows: list[Row] = []
    print(f"realtime-mer {_version('realtime-mer')}, Python {platform.python_version()}, {platform.platform()}")
    working = True
    for name in NEEDED:
        found = _version(name)
        if name == "opencv-python" and found is None:
            found = next((f"{_version(rival)} ({rival})" for rival in RIVALS if _version(rival)), None)
        working &= found is not None
        rows.append(_row(found is not None, name, found or "missing: pip install realtime-mer"))
    for what, check in (("OpenCV", _opencv), ("face model", _face_model), ("recognizer", _recognizer)):
        rows.append(_checked(what, check))
        working &= rows[-1][0] != BROKEN
    rows.append(_row(not privacy.TOO_LATE, "telemetry", privacy.TOO_LATE or "off in every library used"))
    rows += [_checked(what, check) for what, check in (("GPU", _gpu), ("TensorRT", _tensorrt), ("cameras", _cameras))]
    for name, use in OPTIONAL.items():
        found = _version(name)
        rows.append(_row(True if found else None, name, found or f"not installed ({use})"))
    print(table((), rows, left=(0, 1, 2)))
    return 0 if working else 1


def _checked(what: str, check: Callable[[], str]) -> Row:
    try:
        found = check()
    except (MerError, ImportError, OSError) as error:
        return _row(False, what, str(error))
    return _row(True if found else None, what, found or "none found")


def _row(good: bool | None, what: str, text: str) -> Row:
    return {True: "ok", False: BROKEN, None: "--"}[good], what, text


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _opencv() -> str:
    try:
        import cv2
    except ImportError as error:
        hint = "on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0" if sys.platform == "linux" else ""
        raise ImportError(f"cannot be imported ({error}); {hint}") from None
    installed = [name for name in ("opencv-python", *RIVALS) if _version(name)]
    if len(installed) > 1:
        raise ImportError(f"installed {len(installed)} times ({', '.join(installed)}): uninstall all but one")
    return f"{cv2.__version__}, {cv2.getNumThreads()} threads"


def _face_model() -> str:
    from realtime_mer.assets import face_model

    return str(face_model())


def _recognizer() -> str:
    from realtime_mer.recognize import load

    recognizer = load()
    return f"{recognizer.spec.id} on {recognizer.provider} ({recognizer.why})"


def _gpu() -> str:
    from realtime_mer.recognize.device import gpu

    return gpu() or ""


def _tensorrt() -> str:
    from realtime_mer.recognize.device import capability, gpu, tensorrt_package, which_tensorrt

    advice = which_tensorrt(gpu(), capability())
    if not tensorrt_package():
        return f"not installed; {advice}"
    from realtime_mer.recognize.tensorrt import import_tensorrt, name_of

    return f"{name_of(import_tensorrt())}; {advice}"


def _cameras() -> str:
    return ", ".join(sorted(str(path) for path in Path("/dev").glob("video*")))
