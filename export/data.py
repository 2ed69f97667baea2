"""The samples that calibrate a quantized file and compare two files: an npz, or a folder of clips.

An npz holds ``x``, float32 (N, *input_shape) or uint8 pictures, and may hold ``y``, int (N,), positions in the labels.
A folder holds one folder of pictures for each clip, onset first; when its sub-folders are named as the model's labels,
the clips lie in those and are labeled. The feature is computed as in training, from the first picture to the one
where the face has moved most.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import DataError
from realtime_mer.recognize.spec import ModelSpec
from train.datasets.reading import numbered, require_folder
from train.inputs import build
from train.recipe import Input
from train.records import Clip


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """x: float32 (N, *input_shape). y: int64 (N,), positions in the spec's labels; None when not known."""

    x: NDArray[np.float32]
    y: NDArray[np.int64] | None


def load(where: Path, spec: ModelSpec, fps: float = 200.0) -> Data:
    """The samples in ``where`` for a model. fps: of the clips in a folder. Raises DataError."""
    stored, y = _npz(where) if where.suffix == ".npz" else _folder(where, spec, fps)
    x: NDArray[np.float32] = stored.astype(np.float32)
    if stored.dtype == np.uint8:
        x /= 255
    if x.shape[1:] != spec.input_shape or len(x) == 0:
        raise DataError(
            f"{where} holds samples {x.shape}, the model wants (N, {', '.join(map(str, spec.input_shape))})"
        )
    if not np.isfinite(x).all():
        raise DataError(f"{where} holds values that are not finite")
    if y is not None and (len(y) != len(x) or y.min() < 0 or y.max() >= len(spec.labels)):
        raise DataError(f"{where}: y must be {len(x)} positions in the labels {', '.join(spec.labels)}")
    return Data(x, y)


def _npz(where: Path) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    try:
        with np.load(where, allow_pickle=False) as stored:
            return stored["x"], stored["y"].astype(np.int64) if "y" in stored else None
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{where} cannot be read as an npz with x and, if known, y ({error})") from None


def _folder(where: Path, spec: ModelSpec, fps: float) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    inside = _folders(require_folder(where))
    labeled = bool(inside) and all(folder.name in spec.labels for folder in inside)
    found = [(clip, folder.name) for folder in inside for clip in _folders(folder)] if labeled else []
    clips = [_clip(folder, label, fps) for folder, label in found or [(folder, "") for folder in inside]]
    if not clips:
        raise DataError(f"{where} holds no folders of pictures: give a folder with one folder for each clip, or an npz")
    how = Input(feature=spec.feature, size=spec.input_shape[-1], apex="spotted")
    x, kept, skipped = build(clips, how, cache=None)
    if not kept:
        raise DataError(f"none of {len(clips)} clips in {where} gives a sample; the first: {skipped[0]}")
    y = np.array([spec.labels.index(clips[i].emotion) for i in kept], np.int64) if labeled else None
    return x, y


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _clip(folder: Path, label: str, fps: float) -> Clip:
    frames = tuple(path for _, path in numbered(folder))
    if len(frames) < 2:
        raise DataError(f"{folder} holds {len(frames)} pictures: a clip needs at least 2")
    return Clip("folder", None, folder.name, frames, 0, None, None, fps, (), label)
