"""Pairs of moments between which nothing moves, and the same clips' real movement beside them: what "none" learns from.

For each recording of a recipe a short sequence is made: the resting face of its onset for as long as the longest gap,
with the recording's own noise, and then its own frames from onset to apex. The whole sequence is followed as the
runtime follows it, raw and through H.264, with the head held and drifting, at the recording's rate and at others. Of
each sequence the still pairs and the movement are taken. A gap that is shorter than the averaging around a key frame
is a real pair: the recording's own frames at its onset.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from realtime_mer.motion.flow import recogniser_input
from realtime_mer.motion.follow import follow_clip
from realtime_mer.motion.ring import NEAR
from realtime_mer.records import Floats, Frame, Gray
from realtime_mer.sources import open_source
from realtime_mer.synth.video import write_video
from train.datasets.reading import load_image
from train.models.flow_default import CELLS, cell_means
from train.motion import Faces
from train.recipe import Still
from train.records import Clip

VERSION: Final = 1  # raised when the same settings give other numbers: old caches are then not used
SETTLING: Final = 0.1  # s of rest before the longest gap: a codec's first frames are better than those that follow
SHORT: Final = 2 * NEAR  # s: a gap below it is taken at the onset, of the recording's own frames
STILL: Final = 4  # frames averaged to the resting face: 20 ms at 200 frames/s
GRAINS: Final = 6  # differences of neighbouring frames kept as samples of the noise
BLOCK: Final = 8  # px: noise is rolled by whole JPEG blocks, because the recordings' noise went through JPEG
ROLL: Final = 1.0  # degrees per s at most, of the drifting head, beside its way


@dataclass(frozen=True, slots=True)
class Variant:
    """How a sequence is recorded. rate: frames/s, 0: the recording's own. crf: of H.264, 0: raw. drift: px/s of the
    picture."""

    rate: float
    crf: int
    drift: float

    def __str__(self) -> str:
        parts = [f"H.264 crf {self.crf}" if self.crf else "raw"]
        parts += [f"head drift {self.drift:g} px/s"] if self.drift else []
        return ", ".join(parts + ([f"{self.rate:g} fps"] if self.rate else []))


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """cells: float32 (M, 2, CELLS, CELLS), motion in px as ``flow_default.cell_means`` has it. still: bool (M,),
    whether nothing moves. clips: int64 (M,), positions of the recordings. kinds: of each pair, (M,), for people.
    skipped: one line for each sequence that could not be followed."""

    cells: NDArray[np.float32]
    still: NDArray[np.bool_]
    clips: NDArray[np.int64]
    kinds: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def take(self, clips: Sequence[int]) -> Pairs:
        """Those of the clips at these positions, which are numbered anew in their order."""
        place = {clip: k for k, clip in enumerate(clips)}
        where = self.of(clips)
        clips_now = np.array([place[clip] for clip in self.clips[where].tolist()], np.int64)
        return Pairs(
            self.cells[where], self.still[where], clips_now,
            tuple(self.kinds[i] for i in where), self.skipped,
        )  # fmt: skip

    def of(self, clips: Sequence[int]) -> NDArray[np.int64]:
        """Positions of the pairs of these recordings."""
        return np.flatnonzero(np.isin(self.clips, list(clips)))


def make(clips: Sequence[Clip], how: Still, seed: int, cache: Path | None = None, quiet: bool = False) -> Pairs:
    """The pairs of every clip that is a recording with onset and apex; others give none. Raises DataError for a
    picture that cannot be read."""
    file = None if cache is None else cache / f"still-{_key(clips, how, seed)}.npz"
    if file is not None and file.exists():
        with np.load(file, allow_pickle=False) as stored:
            return Pairs(
                stored["cells"], stored["still"], stored["clips"], tuple(stored["kinds"].tolist()),
                tuple(stored["skipped"].tolist()),
            )  # fmt: skip
    found: list[tuple[Floats, bool, int, str]] = []
    skipped: list[str] = []
    faces = Faces()
    try:
        for i, clip in enumerate(tqdm(clips, "still pairs", disable=quiet, leave=False)):
            if len(clip.frames) < 2 or clip.onset is None or clip.apex is None or clip.fps <= 0:
                continue
            for motion, still, kind in _of_clip(clip, how, faces, np.random.default_rng((seed, i)), skipped):
                found.append((cell_means(motion[None])[0], still, i, kind))
    finally:
        faces.close()
    made = Pairs(
        np.stack([cells for cells, *_ in found]) if found else np.zeros((0, 2, CELLS, CELLS), np.float32),
        np.array([still for _, still, *_ in found], np.bool_),
        np.array([i for *_, i, _ in found], np.int64),
        tuple(kind for *_, kind in found),
        tuple(skipped),
    )
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npz")
        np.savez(
            part, cells=made.cells, still=made.still, clips=made.clips, kinds=np.array(made.kinds, np.str_),
            skipped=np.array(made.skipped, np.str_),
        )  # fmt: skip
        part.replace(file)
    return made


def _of_clip(
    clip: Clip, how: Still, faces: Faces, random: np.random.Generator, skipped: list[str]
) -> Iterator[tuple[Floats, bool, str]]:
    """Motion, whether it is a still pair, and its kind, of every variant."""
    assert clip.onset is not None
    assert clip.apex is not None
    end = min(clip.apex + round(NEAR * clip.fps), len(clip.frames) - 1)
    images = [load_image(clip.frames[i], gray=True) for i in range(clip.onset, end + 1)]
    rest = round((SETTLING + max(how.gaps_s) + SHORT) * clip.fps)
    onset, apex = rest / clip.fps, (rest + clip.apex - clip.onset) / clip.fps
    every = {drift: _sequence(images, rest, clip.fps, drift, random) for drift in how.drifts_px_s}
    for rate, crf, drift in product(how.rates_fps, how.crfs, how.drifts_px_s):
        variant = Variant(rate, crf, drift)
        frames = _sampled(every[drift], rate, clip.fps)
        frames = _through_h264(frames, crf) if crf else frames
        face = faces.find_in_crop(frames[0].image)
        ring = None if face is None else follow_clip(face, frames)
        if ring is None or ring.frame(frames[-1].time) != frames[-1].index:
            skipped.append(f"{clip.key}, {variant}: the face is {'not found' if ring is None else 'lost'}")
            continue
        for gap in how.gaps_s:
            if rate and gap < 1 / rate:
                continue  # both moments would be the same frame
            first = onset if gap < SHORT else onset - NEAR - gap
            yield (
                recogniser_input(ring.key_frames(first, first + gap), *_FEATURE),
                True,
                f"{gap * 1000:g} ms, {variant}",
            )
        yield recogniser_input(ring.key_frames(onset, apex), *_FEATURE), False, f"onset to apex, {variant}"


_FEATURE: Final = ("flow-uvs/1", 128)


def _sequence(images: Sequence[Gray], rest: int, fps: float, drift: float, random: np.random.Generator) -> list[Frame]:
    """``rest`` frames of the resting face and then ``images``; the head drifts so that it is in place at the onset."""
    still = np.mean(images[:STILL], axis=0, dtype=np.float32)
    grains = _noise(images)
    angle, roll = random.uniform(0, 2 * np.pi), random.uniform(-ROLL, ROLL)
    pictures = []
    for k in range(rest + len(images)):
        away = (k - rest) / fps  # s
        picture: Any = still if k < rest else images[k - rest]
        if drift:
            picture = _moved(picture, drift * away * np.cos(angle), drift * away * np.sin(angle), roll * away)
        if k < rest:
            grain = np.roll(grains[random.integers(len(grains))], BLOCK * random.integers(-4, 5, 2), (0, 1))
            picture = cv2.add(picture, grain * random.choice(np.array([-1, 1], np.float32)), dtype=cv2.CV_8U)
        pictures.append(np.asarray(picture, np.uint8))
    return [_frame(k, k / fps, picture) for k, picture in enumerate(pictures)]


def _moved(picture: Any, x: float, y: float, degrees: float) -> Any:
    height, width = picture.shape
    there = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    there[:, 2] += x, y
    return cv2.warpAffine(picture, there, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _noise(images: Sequence[Gray]) -> list[Floats]:
    """Samples of one frame's noise: differences of neighbours, those with the least motion, over the root of two."""
    samples = [(after.astype(np.float32) - before) / np.float32(np.sqrt(2)) for before, after in pairwise(images)]
    return sorted(samples, key=lambda sample: float(sample.std()))[:GRAINS]


def _sampled(frames: list[Frame], rate: float, fps: float) -> list[Frame]:
    """The frames that a camera of ``rate`` would have taken, the last one among them; all of them for rate 0."""
    if not rate or rate >= fps:
        return frames
    count = int((len(frames) - 1) * rate / fps)
    chosen = [len(frames) - 1 - round(k * fps / rate) for k in range(count, -1, -1)]
    return [_frame(k, frames[i].time, frames[i].gray) for k, i in enumerate(chosen)]


def _through_h264(frames: list[Frame], crf: int) -> list[Frame]:
    """The frames as a recording to H.264 has them; sides are made even, as the codec wants them."""
    height, width = frames[0].gray.shape
    even = [_frame(f.index, f.time, np.ascontiguousarray(f.gray[: height // 2 * 2, : width // 2 * 2])) for f in frames]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "still.mkv")
        write_video(even, file, "h264", crf, threads=1)
        with open_source(file) as source:
            pictures = [frame.gray for frame in source]
    return [_frame(f.index, f.time, picture) for f, picture in zip(even, pictures, strict=True)]


def _frame(index: int, time: float, gray: Gray) -> Frame:
    return Frame(index, time, gray, lambda: np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8))


def _key(clips: Sequence[Clip], how: Still, seed: int) -> str:
    """Changes with the settings and with the first file of any clip."""
    made = {key: value for key, value in asdict(how).items() if key != "ridge"}  # what is made of them is not here
    digest = hashlib.sha256(json.dumps([VERSION, made, seed], sort_keys=True).encode())
    for clip in clips:
        stamp = clip.frames[0].stat() if clip.frames[0].exists() else None
        told = None if stamp is None else (stamp.st_size, stamp.st_mtime_ns)
        digest.update(repr((clip.key, len(clip.frames), clip.onset, clip.apex, clip.fps, told)).encode())
    return digest.hexdigest()[:24]
