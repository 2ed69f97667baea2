"""More views of a recording for training, and conditions to test it in: the clip as other cameras would record it.

Every view is the clip's own movement from onset to apex, recorded in one of the ways of ``train.recorded``, drawn by
the seed, and followed as the runtime follows a face. The tested conditions are fixed and never used for training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.motion.flow import recognizer_input
from realtime_mer.motion.ring import NEAR
from realtime_mer.progress import tracked
from train import models
from train.cache import key, save
from train.datasets.reading import load_image
from train.inputs import Prepared
from train.motion import Faces
from train.recipe import Capture, Input
from train.recorded import Variant, followed, sequence
from train.records import Clip

VERSION: Final = 1  # increased when the same settings give other numbers, so that old caches are not used
SETTLING: Final = 0.15  # s of rest before the onset, because a codec's first frames are better than those that follow
TESTED: Final = (
    Variant(rate=30, crf=23),
    Variant(rate=60, crf=23),
    Variant(crf=23),
    Variant(rate=30, jpeg=50),
    Variant(rate=30, crf=23, face=90),
    Variant(rate=30, crf=23, roll=12),
    Variant(rate=30, crf=23, light=0.4),
)


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """views: float32 (N, V, ...), of each clip; the clip's own motion where a view could not be followed. tested: the
    clips in each condition of TESTED, (N, ...), likewise. lost: number of views that could not be followed."""

    views: NDArray[Any]
    tested: dict[str, NDArray[Any]]
    lost: dict[str, int]


def added(data: Prepared, how: Capture, motion: Input, seed: int, cache: Path | None, quiet: bool,
          keep: models.Keep | None) -> Prepared:  # fmt: skip
    """The data with further views for training, and with the conditions that are only tested."""
    made = make(data, how, motion, seed, cache, quiet, keep)
    samples = data.samples
    views = samples.x[:, None] if samples.views is None else samples.views
    views = np.concatenate([views, made.views], axis=1)
    lost = tuple(f"{count} clips, recorded as {kind}: the face was lost, so they are tested as they are"
                 for kind, count in made.lost.items() if count)  # fmt: skip
    return replace(
        data, samples=replace(samples, views=views), moved={**data.moved, **made.tested}, skipped=(*data.skipped, *lost)
    )


def make(data: Prepared, how: Capture, motion: Input, seed: int, cache: Path | None, quiet: bool,
         keep: models.Keep | None) -> Captured:  # fmt: skip
    """Views and tested conditions of all clips. Raises DataError for an image that cannot be read."""
    file = None if cache is None else cache / f"capture-{_key(data.clips, how, motion, seed, keep)}.npz"
    kinds = [str(variant) for variant in TESTED]
    if file is not None and file.exists():
        with np.load(file, allow_pickle=False) as stored:
            every, missing = stored["every"], stored["missing"]
    else:
        every = np.repeat(data.samples.x[:, None], how.views + len(TESTED), axis=1)
        missing = np.zeros(every.shape[:2], np.bool_)
        faces = Faces()
        try:
            for i, clip in enumerate(tracked(data.clips, "other recordings of the clips", quiet=quiet)):
                if not clip.timed:
                    continue
                for k, found in enumerate(_of_clip(clip, how, motion, faces, np.random.default_rng((seed, i)))):
                    missing[i, k] = found is None
                    if found is not None:
                        every[i, k] = found if keep is None else keep(found[None])[0]
        finally:
            faces.close()
        if file is not None:
            save(file, every=every, missing=missing)
    tested = {kind: every[:, how.views + k] for k, kind in enumerate(kinds)}
    lost = dict(zip(kinds, missing[:, how.views :].sum(axis=0).tolist(), strict=True))
    return Captured(every[:, : how.views], tested, lost)


def _of_clip(
    clip: Clip, how: Capture, motion: Input, faces: Faces, random: np.random.Generator
) -> Iterator[NDArray[np.float32] | None]:
    """Motion in every view and then in every condition; None if the face could not be followed."""
    assert clip.onset is not None
    assert clip.apex is not None
    variants = [*(_drawn(how, random) for _ in range(how.views)), *TESTED]
    slowest = min((variant.rate for variant in variants if variant.rate), default=clip.fps)
    end = min(clip.apex + round((NEAR + 1 / slowest) * clip.fps), len(clip.frames) - 1)
    images = [load_image(clip.frames[i], gray=True) for i in range(clip.onset, end + 1)]
    rest = round((SETTLING + NEAR) * clip.fps)
    onset, apex = rest / clip.fps, (rest + clip.apex - clip.onset) / clip.fps
    held = sequence(images, rest, clip.fps, 0.0, random)
    for variant in variants:
        # the camera is not synchronized with the face: the last frame lies anywhere in the last interval
        beat = clip.fps / variant.rate if 0 < variant.rate < clip.fps else 0.0
        phase = min(random.uniform(0, 1) * beat, max(0.0, len(held) - 1 - apex * clip.fps))
        ring = followed(held, replace(variant, phase=phase), clip.fps, faces)
        if isinstance(ring, str):
            yield None
        else:
            yield recognizer_input(ring.key_frames(onset, apex), motion.feature, motion.size)


def _drawn(how: Capture, random: np.random.Generator) -> Variant:
    """One way to record: H.264 or JPEG or neither, never both."""
    rate, crf, jpeg, face, roll, light = (
        float(random.choice(values))
        for values in (how.rates_fps, how.crfs, how.jpegs, how.faces_px, how.rolls_deg, how.lights)
    )
    return Variant(rate, int(crf), 0.0, 0 if crf else int(jpeg), face, roll, light)


def _key(clips: Sequence[Clip], how: Capture, motion: Input, seed: int, keep: models.Keep | None) -> str:
    """Changes with the settings and with the first file of any clip."""
    shape = (motion.feature, motion.size, models.name_of(keep))
    made = [VERSION, asdict(how), [asdict(variant) for variant in TESTED], shape, seed]
    return key(made, clips)
