"""Makes still pairs, two moments between which nothing moves, and the real movements of the same clips: the training
data of the answer "none".

For each recording, a short sequence is made: the resting face of its onset for as long as the longest gap, with the
recording's own noise, and then its own frames from onset to apex. The sequence is followed as in the runtime, raw and
through H.264, with the head fixed and drifting, at the recording's rate and at others. It gives the still pairs and the
movement. A gap shorter than the averaging around a key frame is a real pair: the recording's own frames at its onset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.motion.flow import recognizer_input
from realtime_mer.motion.ring import NEAR
from realtime_mer.progress import tracked
from realtime_mer.records import Floats
from train import models
from train.cache import key, save
from train.datasets.reading import load_image
from train.models.flow_default import CELLS, cell_means
from train.motion import Faces
from train.recipe import Still
from train.recorded import Variant, followed, sequence
from train.records import Clip

VERSION: Final = 2  # increased when the same settings give other numbers, so that old caches are not used
SETTLING: Final = (
    0.1  # s of rest before the longest gap, because a codec's first frames are better than those that follow
)
SHORT: Final = 2 * NEAR  # s: a shorter gap is taken at the onset, from the recording's own frames


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """cells: float32 (M, 2, CELLS, CELLS), motion in px as ``flow_default.cell_means`` has it. x: float16 or float32
    (M, ...), the same as input of the network. still: bool (M,), whether nothing moves. clips: int64 (M,), positions of
    the recordings. kinds: descriptions of the pairs, (M,). skipped: one line for each sequence that could not be
    followed."""

    cells: NDArray[np.float32]
    x: NDArray[Any]
    still: NDArray[np.bool_]
    clips: NDArray[np.int64]
    kinds: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def take(self, clips: Sequence[int]) -> Pairs:
        """The pairs of the clips at these positions, renumbered in order."""
        place = {clip: k for k, clip in enumerate(clips)}
        where = self.of(clips)
        clips_now = np.array([place[clip] for clip in self.clips[where].tolist()], np.int64)
        return Pairs(
            self.cells[where], self.x[where], self.still[where], clips_now,
            tuple(self.kinds[i] for i in where), self.skipped,
        )  # fmt: skip

    def of(self, clips: Sequence[int]) -> NDArray[np.int64]:
        """Positions of the pairs of these recordings."""
        return np.flatnonzero(np.isin(self.clips, list(clips)))


def make(
    clips: Sequence[Clip], how: Still, seed: int, cache: Path | None = None, quiet: bool = False,
    keep: models.Keep | None = None,
) -> Pairs:  # fmt: skip
    """The pairs of every clip that is a recording with onset and apex.

    keep: the part of a motion that the network uses (``models.kept``). Raises DataError for an image that cannot be
    read.
    """
    file = None if cache is None else cache / f"still-{_key(clips, how, seed, keep)}.npz"
    if file is not None and file.exists():
        with np.load(file, allow_pickle=False) as stored:
            return Pairs(
                stored["cells"], stored["x"], stored["still"], stored["clips"], tuple(stored["kinds"].tolist()),
                tuple(stored["skipped"].tolist()),
            )  # fmt: skip
    found: list[tuple[Floats, NDArray[Any], bool, int, str]] = []
    skipped: list[str] = []
    faces = Faces()
    try:
        for i, clip in enumerate(tracked(clips, "still pairs", quiet=quiet)):
            if not clip.timed:
                continue
            for motion, still, kind in _of_clip(clip, how, faces, np.random.default_rng((seed, i)), skipped):
                whole = motion[None]
                cells = cell_means(whole)[0]
                seen = (whole if keep is None else keep(whole))[0]
                # single precision is not enough for thousands of fields
                seen = seen if seen.size <= cells.size else seen.astype(np.float16)
                found.append((cells, seen, still, i, kind))
    finally:
        faces.close()
    made = Pairs(
        np.stack([cells for cells, *_ in found]) if found else np.zeros((0, 2, CELLS, CELLS), np.float32),
        np.stack([x for _, x, *_ in found]) if found else np.zeros((0, 2, CELLS, CELLS), np.float32),
        np.array([still for *_, still, _, _ in found], np.bool_),
        np.array([i for *_, i, _ in found], np.int64),
        tuple(kind for *_, kind in found),
        tuple(skipped),
    )
    if file is not None:
        save(
            file, cells=made.cells, x=made.x, still=made.still, clips=made.clips, kinds=np.array(made.kinds, np.str_),
            skipped=np.array(made.skipped, np.str_),
        )  # fmt: skip
    return made


def _of_clip(
    clip: Clip, how: Still, faces: Faces, random: np.random.Generator, skipped: list[str]
) -> Iterator[tuple[Floats, bool, str]]:
    """For every variant: motion, whether it is a still pair, and its kind."""
    assert clip.onset is not None
    assert clip.apex is not None
    end = min(clip.apex + round(NEAR * clip.fps), len(clip.frames) - 1)
    images = [load_image(clip.frames[i], gray=True) for i in range(clip.onset, end + 1)]
    rest = round((SETTLING + max(how.gaps_s) + SHORT) * clip.fps)
    onset, apex = rest / clip.fps, (rest + clip.apex - clip.onset) / clip.fps
    every = {drift: sequence(images, rest, clip.fps, drift, random) for drift in how.drifts_px_s}
    for rate, crf, drift in product(how.rates_fps, how.crfs, how.drifts_px_s):
        variant = Variant(rate, crf, drift)
        ring = followed(every[drift], variant, clip.fps, faces)
        if isinstance(ring, str):
            skipped.append(f"{clip.key}, {variant}: {ring}")
            continue
        for gap in how.gaps_s:
            if rate and gap < 1 / rate:
                continue  # both moments would be in the same frame
            first = onset if gap < SHORT else onset - NEAR - gap
            moments = ring.key_frames(first, first + gap)
            yield recognizer_input(moments, *_FEATURE), True, f"{gap * 1000:g} ms, {variant}"
        yield recognizer_input(ring.key_frames(onset, apex), *_FEATURE), False, f"onset to apex, {variant}"


_FEATURE: Final = ("flow-uvs/1", 128)


def _key(clips: Sequence[Clip], how: Still, seed: int, keep: models.Keep | None) -> str:
    """Changes with the settings and with the first file of any clip."""
    made = {key: value for key, value in asdict(how).items() if key != "ridge"}  # settings that do not change the pairs
    return key([VERSION, made, seed, models.name_of(keep)], clips)
