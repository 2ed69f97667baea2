"""From clips to network inputs: which frames, which crop, which size. Results are kept in a cache folder.

Only this module, ``train.motion`` and ``train.still`` open images for training. An image that cannot be read is an
error; a clip whose face is not found or is lost, or whose apex is not annotated, is left out and reported.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import ConfigError, DataError
from realtime_mer.motion.flow import recognizer_input
from realtime_mer.progress import tracked
from realtime_mer.records import Image
from train import crop, maps, models, motion
from train.cache import save
from train.datasets.reading import load_image
from train.gather import Gathered
from train.motion import Faces
from train.recipe import Input
from train.records import Clip, labeled
from train.samples import Samples
from train.still import Pairs

VERSION: Final = 2  # increased when the same settings give other numbers, so that old caches are not used


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """clips: those that gave an input, in order. samples: the same, ready for ``fit``. labels: the class list. skipped:
    one line for each clip left out, with the reason. moved: the same clips at other key frames, (N, ...) like
    ``samples.x``, by their shift ("onset +20 ms, apex +15 ms"); only for tests. pairs: training data of the answer
    "none", None without that answer; their clips are positions in ``clips``."""

    clips: tuple[Clip, ...]
    samples: Samples
    labels: tuple[str, ...]
    skipped: tuple[str, ...]
    moved: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    pairs: Pairs | None = None

    @property
    def own(self) -> NDArray[np.bool_]:
        """Which samples were made from a recording, as the runtime makes them, (N,); the others come from a single
        image."""
        return np.array([len(clip.frames) > 1 for clip in self.clips])

    def take(self, positions: Sequence[int]) -> Prepared:
        """The samples at these positions, in order."""
        where = np.asarray(positions, np.int64)
        return Prepared(
            tuple(self.clips[i] for i in positions), self.samples.take(positions), self.labels, self.skipped,
            {name: x[where] for name, x in self.moved.items()}, self.pairs and self.pairs.take(positions),
        )  # fmt: skip


def prepare(
    clips: Sequence[Clip] | Gathered,
    labels: Sequence[str],
    scheme: str,
    how: Input,
    cache: Path | None = None,
    quiet: bool = False,
    *,
    keep: models.Keep | None = None,
    twins: int = 0,
) -> Prepared:
    """Inputs and labels of the clips that have a class in ``labels``.

    keep: the part of a sample that the network uses (``models.Entry``). twins: how often a clip's twin is among its
    views. Raises DataError when an image cannot be read or no clip is left, ConfigError for an unknown feature.
    """
    given = clips if isinstance(clips, Gathered) else Gathered(tuple(clips))
    usable = labeled(given.clips, scheme, labels)
    if not usable:
        raise DataError(f"no clip has one of the classes {', '.join(labels)}: check the data set and the scheme")
    x, kept, skipped = _views(usable, how, cache, quiet, keep)
    if not kept:
        raise DataError(f"none of {len(usable)} clips gives an input; first reason: {skipped[0]}")
    chosen = [usable[i] for i in kept]
    y = np.array([list(labels).index(str(clip.label(scheme))) for clip in chosen], np.int64)
    weight = dict(zip((clip.key for clip in given.clips), given.weights, strict=False))
    seen = len(how.views)
    views = x[:, :seen]
    if twins:
        others = [clip for clip in map(given.twins.get, (clip.key for clip in chosen)) if clip is not None]
        views = np.concatenate([views, *[_twins(x[:, :1], chosen, others, how, cache, keep)] * twins], axis=1)
    samples = Samples(
        np.ascontiguousarray(x[:, 0]), y, tuple(clip.group for clip in chosen),
        views if views.shape[1] > 1 else None,
        np.array([weight[clip.key] for clip in chosen]) if weight else None,
    )  # fmt: skip
    moved = {_moved_by(*pair): x[:, seen + i] for i, pair in enumerate(how.tested_moves_s)}
    return Prepared(tuple(chosen), samples, tuple(labels), (*given.skipped, *skipped), moved)


def build(
    clips: Sequence[Clip], how: Input, cache: Path | None, quiet: bool = False, keep: models.Keep | None = None
) -> tuple[NDArray[Any], list[int], list[str]]:
    """Inputs (N, 3, S, S), reduced by ``keep``; the positions of their clips; and why other clips gave none."""
    x, kept, skipped = _views(clips, how, cache, quiet, keep)
    return x[:, 0], kept, skipped


def _views(
    clips: Sequence[Clip], how: Input, cache: Path | None, quiet: bool = False, keep: models.Keep | None = None
) -> tuple[NDArray[Any], list[int], list[str]]:
    """As ``build``, but (N, K, ...): all training views, then the test views."""
    if how.feature not in models.FEATURES:
        raise ConfigError(f"unknown feature {how.feature!r}: choose from {', '.join(models.FEATURES)}")
    file = None if cache is None else cache / f"{_key(clips, how, keep)}.npz"
    if file is not None and file.exists():
        with np.load(file, allow_pickle=False) as stored:
            return stored["x"], stored["kept"].tolist(), stored["skipped"].tolist()
    make = _Maker(how)
    found: list[NDArray[Any]] = []
    kept: list[int] = []
    skipped: list[str] = []
    try:
        for i, clip in enumerate(tracked(clips, "inputs", quiet=quiet)):
            result = make(clip)
            if isinstance(result, str):
                skipped.append(f"{clip.key}: {result}")
            else:
                found.append(result if keep is None else keep(result))
                kept.append(i)
    finally:
        make.close()
    x = np.stack(found) if found else np.zeros((0, 1, 3, how.size, how.size), np.uint8)
    if file is not None:
        save(file, x=x, kept=np.array(kept, np.int64), skipped=np.array(skipped, np.str_))
    return x, kept, skipped


def _twins(
    own: NDArray[Any], clips: Sequence[Clip], twins: Sequence[Clip], how: Input, cache: Path | None,
    keep: models.Keep | None,
) -> NDArray[Any]:  # fmt: skip
    """The twin of each clip, (N, 1, ...), or the clip's own first view if it has none."""
    x, kept, _ = _views(twins, how, cache, True, keep)
    found = {twins[i].key: view for i, view in zip(kept, x[:, 0], strict=True)}
    return np.stack([found.get(clip.key, first[0])[None] for clip, first in zip(clips, own, strict=True)])


class _Maker:
    """Makes the views of a clip, (K, 3, S, S), or gives the reason why not."""

    def __init__(self, how: Input) -> None:
        self._how = how
        self._faces = Faces()
        self._moves = (*how.views, *how.tested_moves_s)

    def close(self) -> None:
        self._faces.close()

    def __call__(self, clip: Clip) -> NDArray[Any] | str:
        made = self._motion(clip) if self._how.feature == models.FLOW else self._pictures(clip)
        if isinstance(made, str) or len(made) == len(self._moves):
            return made
        return np.repeat(made, len(self._moves), axis=0)  # an image has no key frames to move

    def _pictures(self, clip: Clip) -> NDArray[Any] | str:
        if self._how.feature == models.MAPS:
            return self._resized(load_image(clip.frames[0]))
        apex = self._apex(clip)
        if isinstance(apex, str):
            return apex
        if self._how.feature == models.APEX:
            face = self._face(clip.frames[apex])
            return "no face found" if face is None else self._resized(face)
        return "the onset is not annotated" if clip.onset is None else self._three(clip, clip.onset, apex)

    def _motion(self, clip: Clip) -> NDArray[Any] | str:
        """The motion that the runtime computes for an event, at every pair of key frames; or that of a public map."""
        how = self._how
        if len(clip.frames) == 1:
            image = load_image(clip.frames[0])
            if not maps.is_map(image):
                return "a single image has no motion"
            return np.stack([resize(plane, how.size) for plane in maps.on_face(image)])[None]
        apex = self._apex(clip)
        if isinstance(apex, str):
            return apex
        if clip.onset is None:
            return "the onset is not annotated"
        latest = math.ceil(max(move for _, move in self._moves) * clip.fps)
        ring = motion.follow(clip, self._faces, clip.onset, apex + latest)
        if isinstance(ring, str):
            return ring
        times = [(clip.onset / clip.fps + onset, apex / clip.fps + later) for onset, later in self._moves]
        return np.stack([recognizer_input(ring.key_frames(*pair), how.feature, how.size) for pair in times])

    def _apex(self, clip: Clip) -> int | str:
        match self._how.apex:
            case "middle":
                return len(clip.frames) // 2  # Ab Razak & Sahran 2023, eq. 1
            case "annotated-or-middle":
                return clip.apex if clip.apex is not None else len(clip.frames) // 2
            case "spotted":
                return motion.moved_most(clip, self._faces)
        return clip.apex if clip.apex is not None else "the apex is not annotated"

    def _three(self, clip: Clip, onset: int, apex: int) -> NDArray[Any] | str:
        """Onset, the frame halfway, and apex, in gray, cropped by the same box (the onset's)."""
        images = [load_image(clip.frames[i]) for i in (onset, (onset + apex) // 2, apex)]
        if self._how.crop != "none":
            found = self._faces.find(images[0])
            if found is None:
                return "no face found"
            images = [crop.CROPS[self._how.crop](image, found) for image in images]
        grays = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in images]
        return np.stack([resize(gray, self._how.size) for gray in grays])[None]

    def _face(self, path: Path) -> Image | None:
        image = load_image(path)
        if self._how.crop == "none":
            return image
        found = self._faces.find(image)
        return None if found is None else crop.CROPS[self._how.crop](image, found)

    def _resized(self, image: Image) -> NDArray[np.uint8]:
        return np.ascontiguousarray(resize(image, self._how.size)[None, :, :, ::-1].transpose(0, 3, 1, 2))


def resize(image: NDArray[Any], size: int) -> NDArray[Any]:
    """An image (H, W) or (H, W, 3) at ``size`` px."""
    shrinks = image.shape[0] > size or image.shape[1] > size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _moved_by(onset: float, apex: float) -> str:
    return f"onset {onset * 1000:+.0f} ms, apex {apex * 1000:+.0f} ms"


def _key(clips: Sequence[Clip], how: Input, keep: models.Keep | None) -> str:
    """Changes with the settings and with the first and last file of any clip."""
    digest = hashlib.sha256(json.dumps([VERSION, asdict(how), models.name_of(keep)], sort_keys=True).encode())
    for clip in clips:
        ends = {clip.frames[0], clip.frames[-1]}
        stamps = sorted(
            (str(p), p.stat().st_size, p.stat().st_mtime_ns) if p.exists() else (str(p), 0, 0) for p in ends
        )
        digest.update(repr((clip.key, len(clip.frames), clip.onset, clip.apex, clip.fps, stamps)).encode())
    return digest.hexdigest()[:24]
