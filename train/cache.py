"""A cache for arrays that take minutes to compute: named by what determines them, and either complete or absent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.records import Clip


def key(settings: Any, clips: Sequence[Clip]) -> str:
    """A cache key: 24 hex digits that change with the settings (plain data) and with the first file of any clip."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for clip in clips:
        digest.update(repr((clip.key, len(clip.frames), clip.onset, clip.apex, clip.fps, clip.stamp)).encode())
    return digest.hexdigest()[:24]


def save(file: Path, **arrays: Any) -> None:
    """Writes arrays as an .npz file via a temporary one beside it, so that an interruption leaves no file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.replace(file)
