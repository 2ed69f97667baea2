"""Clips to network inputs: which frames, which crop, which size. What is computed once is kept in a cache folder.

Only this module opens images for training. A picture that cannot be read is an error; a face that is not found, or an
apex that is not annotated, leaves the clip out and is reported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from realtime_mer.errors import ConfigError, DataError
from realtime_mer.face.align import apply, similarity, warp
from realtime_mer.face.detect import FaceDetector
from realtime_mer.motion.flow import recogniser_input
from realtime_mer.motion.registration import Meter
from realtime_mer.motion.ring import NEAR, KeyFrames
from realtime_mer.records import Face, Frame, Image
from train import crop, models
from train.datasets.reading import load_image
from train.recipe import Input
from train.records import Clip, labelled
from train.samples import Samples

VERSION: Final = 1  # raised when the same settings give other numbers: old caches are then not used


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """clips: those that gave an input, in order. samples: the same, ready for ``fit``. labels: the class list.
    skipped: one line for each clip left out, with the reason."""

    clips: tuple[Clip, ...]
    samples: Samples
    labels: tuple[str, ...]
    skipped: tuple[str, ...]

    def take(self, positions: Sequence[int]) -> Prepared:
        """Those at the positions, in their order."""
        return Prepared(
            tuple(self.clips[i] for i in positions), self.samples.take(positions), self.labels, self.skipped
        )


def prepare(
    clips: Sequence[Clip],
    labels: Sequence[str],
    scheme: str,
    how: Input,
    cache: Path | None = None,
    quiet: bool = False,
) -> Prepared:
    """Inputs and labels of the clips that have a class in ``labels``.

    Raises DataError when a picture cannot be read or nothing is left, ConfigError for an unknown feature.
    """
    usable = labelled(clips, scheme, labels)
    if not usable:
        raise DataError(f"no clip has one of the classes {', '.join(labels)}: check the data set and the scheme")
    x, kept, skipped = build(usable, how, cache, quiet)
    if not kept:
        raise DataError(f"none of {len(usable)} clips gives an input; first reason: {skipped[0]}")
    chosen = [usable[i] for i in kept]
    y = np.array([list(labels).index(str(clip.label(scheme))) for clip in chosen], np.int64)
    samples = Samples(x, y, tuple(clip.group for clip in chosen))
    return Prepared(tuple(chosen), samples, tuple(labels), tuple(skipped))


def build(
    clips: Sequence[Clip], how: Input, cache: Path | None, quiet: bool = False
) -> tuple[NDArray[Any], list[int], list[str]]:
    """Inputs (N, 3, S, S), positions of the clips that gave one, and why the others did not."""
    if how.feature not in models.FEATURES:
        raise ConfigError(f"unknown feature {how.feature!r}: choose from {', '.join(models.FEATURES)}")
    file = None if cache is None else cache / f"{_key(clips, how)}.npz"
    if file is not None and file.exists():
        with np.load(file, allow_pickle=False) as stored:
            return stored["x"], stored["kept"].tolist(), stored["skipped"].tolist()
    make = _Maker(how)
    found: list[NDArray[Any]] = []
    kept: list[int] = []
    skipped: list[str] = []
    try:
        for i, clip in enumerate(tqdm(clips, "inputs", disable=quiet, leave=False)):
            result = make(clip)
            if isinstance(result, str):
                skipped.append(f"{clip.key}: {result}")
            else:
                found.append(result)
                kept.append(i)
    finally:
        make.close()
    x = np.stack(found) if found else np.zeros((0, 3, how.size, how.size), np.uint8)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npz")
        np.savez(part, x=x, kept=np.array(kept, np.int64), skipped=np.array(skipped, np.str_))
        part.replace(file)
    return x, kept, skipped


class _Maker:
    """Clip -> input array, or the reason why not. Holds the face detector, which is slow to open."""

    def __init__(self, how: Input) -> None:
        self._how = how
        self._detector: FaceDetector | None = None

    def close(self) -> None:
        if self._detector is not None:
            self._detector.close()

    def __call__(self, clip: Clip) -> NDArray[Any] | str:
        how = self._how
        if how.feature == models.MAPS:
            return self._resized(load_image(clip.frames[0]))
        apex = self._apex(clip)
        if isinstance(apex, str):
            return apex
        if how.feature == models.APEX:
            face = self._face(clip.frames[apex])
            return "no face found" if face is None else self._resized(face)
        if clip.onset is None:
            return "the onset is not annotated"
        if how.feature == models.FRAMES:
            return self._three(clip, clip.onset, apex)
        return self._motion(clip, clip.onset, apex)

    def _apex(self, clip: Clip) -> int | str:
        match self._how.apex:
            case "middle":
                return len(clip.frames) // 2  # Ab Razak & Sahran 2023, eq. 1
            case "annotated-or-middle":
                return clip.apex if clip.apex is not None else len(clip.frames) // 2
            case "spotted":
                return self._spotted(clip)
        return clip.apex if clip.apex is not None else "the apex is not annotated"

    def _three(self, clip: Clip, onset: int, apex: int) -> NDArray[Any] | str:
        """Onset, the frame half-way, and apex, in grey, cut by the same box (the onset's)."""
        images = [load_image(clip.frames[i]) for i in (onset, (onset + apex) // 2, apex)]
        if self._how.crop != "none":
            found = self._detect(images[0])
            if found is None:
                return "no face found"
            images = [crop.CROPS[self._how.crop](image, found) for image in images]
        grays = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in images]
        return np.stack([resize(gray, self._how.size) for gray in grays])

    def _motion(self, clip: Clip, onset: int, apex: int) -> NDArray[Any] | str:
        """What the runtime computes for an event: frames around onset and apex, aligned by the onset's landmarks."""
        found = self._detect(load_image(clip.frames[onset]))
        if found is None:
            return "no face found"
        transform = similarity(found.points)
        reach = int(NEAR * clip.fps)
        groups = [
            [
                warp(load_image(clip.frames[i], gray=True), transform)
                for i in range(max(middle - reach, 0), min(middle + reach + 1, len(clip.frames)))
            ]
            for middle in (onset, apex)
        ]
        return recogniser_input(KeyFrames(*groups), self._how.feature, self._how.size)

    def _spotted(self, clip: Clip) -> int | str:
        """Where the two regions that moved most are furthest from the first frame.

        This is the runtime's measurement without its thresholds: a clip that begins at its onset has no resting part
        from which the spotter could learn the noise.
        """
        first = load_image(clip.frames[0])
        found = self._detect(first)
        if found is None:
            return "no face found"
        transform = similarity(found.points)
        meter = Meter()
        meter.anchor(warp(cv2.cvtColor(first, cv2.COLOR_BGR2GRAY), transform), apply(transform, found.points))
        levels = []
        for path in clip.frames:
            moved = np.linalg.norm(meter.measure(warp(load_image(path, gray=True), transform)).displacement, axis=1)
            levels.append(float(np.sort(moved)[-2:].mean()))
        return int(np.argmax(levels))

    def _face(self, path: Path) -> Image | None:
        image = load_image(path)
        if self._how.crop == "none":
            return image
        found = self._detect(image)
        return None if found is None else crop.CROPS[self._how.crop](image, found)

    def _detect(self, image: Image) -> Face | None:
        """The largest face. Opening the detector needs the face model that set-up obtains."""
        if self._detector is None:
            self._detector = FaceDetector(max_faces=1)
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        faces = self._detector.detect(Frame(0, 0.0, gray, lambda: image))
        return max(faces, key=lambda f: (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]), default=None)

    def _resized(self, image: Image) -> NDArray[np.uint8]:
        return np.ascontiguousarray(resize(image, self._how.size)[:, :, ::-1].transpose(2, 0, 1))


def resize(image: NDArray[Any], size: int) -> NDArray[Any]:
    shrinks = image.shape[0] > size or image.shape[1] > size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _key(clips: Sequence[Clip], how: Input) -> str:
    """Changes with the settings and with the first and last file of any clip."""
    digest = hashlib.sha256(json.dumps([VERSION, asdict(how)], sort_keys=True).encode())
    for clip in clips:
        ends = {clip.frames[0], clip.frames[-1]}
        stamps = sorted(
            (str(p), p.stat().st_size, p.stat().st_mtime_ns) if p.exists() else (str(p), 0, 0) for p in ends
        )
        digest.update(repr((clip.key, len(clip.frames), clip.onset, clip.apex, stamps)).encode())
    return digest.hexdigest()[:24]
