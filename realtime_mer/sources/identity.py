"""Identifies a recording by its content, because another file may have the same name, length and size."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from realtime_mer.errors import SourceError

PART: Final = 1 << 20  # bytes read at the start, in the middle and at the end: about 2 ms together


def identity(recording: Path, *, whole: bool = False) -> dict[str, Any]:
    """The identity of a video file, or a folder of images, as plain data for the log.

    bytes: its size. sha256_parts: hash of the size and of 1 MiB each from start, middle and end; of a folder, of the
    names and sizes of all its files and of these parts of the first, the middle and the last one. sha256: of the whole
    content, only when ``whole``. Raises SourceError when it cannot be read.
    """
    try:
        files = sorted(path for path in recording.iterdir() if path.is_file()) if recording.is_dir() else [recording]
        named = len(files) > 1 or recording.is_dir()
        sizes = [path.stat().st_size for path in files]
        parts, all_of_it = hashlib.sha256(), hashlib.sha256()
        for path, size in zip(files, sizes, strict=True):
            parts.update(f"{path.name if named else ''}:{size}\n".encode(errors="surrogateescape"))
        for index in sorted({0, len(files) // 2, len(files) - 1} if files else ()):
            with files[index].open("rb") as file:
                _hash_parts(file, sizes[index], parts)
        found: dict[str, Any] = {"bytes": sum(sizes), "sha256_parts": parts.hexdigest()}
        if whole:
            for path in files:
                with path.open("rb") as file:
                    while block := file.read(PART):
                        all_of_it.update(block)
            found["sha256"] = all_of_it.hexdigest()
    except OSError as error:
        raise SourceError(f"{recording} cannot be read: {error.strerror or error}") from None
    return found


def same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two identities belong to one recording, as far as both state it."""
    return all(before[key] == now[key] for key in ("sha256", "sha256_parts", "bytes") if key in before and key in now)


def _hash_parts(file: BinaryIO, size: int, digest: Any) -> None:
    for start in sorted({0, max(0, (size - PART) // 2), max(0, size - PART)}):
        file.seek(start)
        digest.update(file.read(PART))
