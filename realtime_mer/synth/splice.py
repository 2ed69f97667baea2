"""Long streams from short real clips: each clip of a real micro-expression gets a resting face before and after it.

Clips of CASME II hold the frames from onset to offset and nothing else, so a spotter cannot be run on them alone.

What is real and what is made. The clip itself is untouched. The rest before it is its first frames, the rest after it
its last frames: they are averaged (which removes their noise), moved about by a slow slight sway that dies out at both
seams, and given fresh noise, taken from differences of the clip's own neighbouring frames, so that it has the real
level, colour and grain. Looping the few quiet frames instead would repeat the same noise and put a pulse of motion at
every turn of the loop. A face at rest in reality does more than this (tremor, gaze, breath), so false alarms per minute
must be measured on real recordings, not here.

From one clip to the next. After a clip the face seldom lies exactly as before it, and the next clip is another cut of
another moment. A cross-fade or a morph between the two would be a facial movement that nobody made. So the face is held
where the clip left it, then the picture is empty for ``AWAY`` seconds, then the next clip's resting face appears: a
face that leaves and returns, which a spotter must survive anyway. ``Stream.masked`` covers the empty time and
``RETURN`` more: what is reported there is to be left out of the score.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from realtime_mer.errors import DataError
from realtime_mer.records import Floats, Frame, Image, Kind
from realtime_mer.synth.script import Truth, wander
from realtime_mer.synth.warp import Doubles

AWAY: Final = 2.5  # s without a face between two clips: longer than a lost face is remembered by default (2 s)
RETURN: Final = 0.5  # s after a face's return that are masked too
LEAD: Final = 4.0  # s of rest before a clip: settling, and some more in which false alarms can show
TAIL: Final = 1.5  # s of rest after it: longer than a spotter waits for an offset
STILL: Final = 4  # frames averaged to the resting face (20 ms at 200 fps: less than .1 px of motion at an onset)
NOISE_PAIRS: Final = 6  # differences of neighbouring frames kept as samples of the noise
SWAY: Final = 0.002  # of the picture's width, standard deviation: about .25 px of the aligned face
SWAY_BAND: Final = (0.1, 0.8)  # Hz
SEAM: Final = 0.6  # s over which the sway dies out towards a clip
JPEG_BLOCK: Final = 8  # px: noise is shifted by whole blocks, because the clips' noise went through JPEG
EMPTY: Final = 128  # grey level of the picture without a face


@dataclass(frozen=True, slots=True)
class RealClip:
    """A real sequence: frames in order of time, and onset, apex, offset as positions in it, from 0."""

    subject: str
    name: str
    label: str
    frames: tuple[Path, ...]
    onset: int
    apex: int
    offset: int
    fps: float


@dataclass(frozen=True, slots=True)
class Stream:
    """A spliced stream. truth: one Truth per clip, kind MICRO as the data set says, on the stream's clock, s.

    masked: (from, to) s in which reports are not to be scored. duration: s.
    """

    subject: str
    clips: tuple[RealClip, ...]
    truth: tuple[Truth, ...]
    masked: tuple[tuple[float, float], ...]
    duration: float
    fps: float
    seed: int

    def frames(self) -> Iterator[Frame]:
        """The frames, times from 0 at a constant rate; the same each time. Raises DataError for a missing picture."""
        counts = _counts(self.fps)
        pictures = _pictures(self.clips, self.fps, self.seed, counts)
        for index, image in enumerate(pictures):
            yield Frame(index, index / self.fps, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), image.copy)


def read_casme2(frames: Path, table: Path, without: Sequence[str] = ("partial",)) -> list[RealClip]:
    """Clips of CASME II in its published layout ``frames``/subXX/EPxx/reg_imgN.jpg.

    table: CSV with the columns subject, clip, emotion, onset, apex, offset (frame numbers of the data set's sheet) and,
    if there is one, match; rows whose match is in ``without`` are left out.
    Raises DataError when a file is missing or a row cannot be read.
    """
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("match", "") not in without]
        return [_clip(frames, row) for row in rows]
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror})") from error
    except (KeyError, ValueError) as error:
        raise DataError(f"{table}: needs columns subject, clip, emotion, onset, apex, offset ({error})") from error


def _clip(root: Path, row: dict[str, str]) -> RealClip:
    folder = root / row["subject"] / row["clip"]
    onset, apex, offset = (int(row[name]) for name in ("onset", "apex", "offset"))
    paths = tuple(folder / f"reg_img{number}.jpg" for number in range(onset, offset + 1))
    missing = next((path for path in (paths[0], paths[-1]) if not path.exists()), None) if paths else folder
    if missing:
        raise DataError(f"{missing}: missing; lay CASME II (Cropped) out first")
    return RealClip(row["subject"], row["clip"], row["emotion"], paths, 0, apex - onset, offset - onset, 200.0)


def streams(clips: Iterable[RealClip], subjects: Sequence[str], per_stream: int = 6, seed: int = 0) -> list[Stream]:
    """Streams of the clips of ``subjects``, each of one subject and of ``per_stream`` clips at most, in a drawn order.

    Raises DataError when a subject has no clip.
    """
    clips = list(clips)
    found: list[Stream] = []
    for subject in subjects:
        own = [clip for clip in clips if clip.subject == subject]
        if not own:
            raise DataError(f"subject {subject!r} has no clips")
        order = np.random.default_rng((seed, len(found))).permutation(len(own))
        own = [own[i] for i in order]
        found += [splice(own[i : i + per_stream], seed + len(found)) for i in range(0, len(own), per_stream)]
    return found


def splice(clips: Sequence[RealClip], seed: int = 0) -> Stream:
    """One stream of ``clips``, which share subject and rate. Raises DataError when there are none or they do not."""
    if not clips or len({(clip.subject, clip.fps) for clip in clips}) > 1:
        raise DataError("a stream needs at least one clip, all of one subject and one frame rate")
    fps = clips[0].fps
    lead, tail, away = _counts(fps)
    truth: list[Truth] = []
    masked: list[tuple[float, float]] = []
    clock = 0  # frames
    for clip in clips:
        if truth:
            masked.append((clock / fps, (clock + away) / fps + RETURN))
            clock += away
        start = clock + lead
        onset, apex, offset = ((start + position) / fps for position in (clip.onset, clip.apex, clip.offset))
        truth.append(Truth(Kind.MICRO, onset, apex, offset, clip.name, label=clip.label))
        clock = start + len(clip.frames) + tail
    return Stream(clips[0].subject, tuple(clips), tuple(truth), tuple(masked), clock / fps, fps, seed)


def _counts(fps: float) -> tuple[int, int, int]:
    return round(LEAD * fps), round(TAIL * fps), round(AWAY * fps)


def _pictures(clips: Sequence[RealClip], fps: float, seed: int, counts: tuple[int, int, int]) -> Iterator[Image]:
    lead, tail, away = counts
    shapes = [_read(clip.frames[0]).shape for clip in clips]
    size = max(shape[1] for shape in shapes) + 1 & ~1, max(shape[0] for shape in shapes) + 1 & ~1  # even for codecs
    random = np.random.default_rng((seed, 5))
    empty = np.full((size[1], size[0], 3), EMPTY, np.uint8)
    for number, clip in enumerate(clips):
        if number:
            yield from (empty for _ in range(away))
        pictures = [_fitted(_read(path), size) for path in clip.frames]
        noise = _noise_samples(pictures)
        still = _mean(pictures[:STILL])
        yield from _rest(still, noise, random, _swing(np.arange(-lead, 0) / fps, seed * 64 + 2 * number))
        yield from pictures
        still = _mean(pictures[-STILL:])
        yield from _rest(still, noise, random, _swing(np.arange(1, tail + 1) / fps, seed * 64 + 2 * number + 1))


def _swing(times: Doubles, seed: int) -> Doubles:
    """Sway (n, 2) as a fraction of the width at ``times``, s from the seam at 0, where it has died out."""
    fade = 0.5 - 0.5 * np.cos(np.pi * np.clip(np.abs(times) / SEAM, 0, 1))
    moves = np.array([[wander(float(t), 2 * seed + axis, SWAY_BAND) for axis in (0, 1)] for t in times])
    return np.asarray(SWAY * fade[:, None] * moves)


def _rest(still: Floats, noise: list[Floats], random: np.random.Generator, sway: Doubles) -> Iterator[Image]:
    """One picture of the resting face for each row of ``sway``."""
    width, height = still.shape[1], still.shape[0]
    for dx, dy in sway * width:
        shift = np.array([[1, 0, dx], [0, 1, dy]])
        moved = cv2.warpAffine(still, shift, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        # rolled about, so that two pictures that draw the same sample do not share their noise
        grain = np.roll(noise[random.integers(len(noise))], JPEG_BLOCK * random.integers(-4, 5, 2), (0, 1))
        grain *= random.choice(np.array([-1, 1], np.float32))
        yield np.asarray(cv2.add(moved, grain, dtype=cv2.CV_8U), np.uint8)


def _mean(pictures: Sequence[Image]) -> Floats:
    return np.asarray(np.mean(pictures, axis=0, dtype=np.float32), np.float32)


def _noise_samples(pictures: Sequence[Image]) -> list[Floats]:
    """Samples of one frame's noise: differences of neighbours, those with the least motion, over the root of two."""
    samples = [(after.astype(np.float32) - before) / np.float32(np.sqrt(2)) for before, after in pairwise(pictures)]
    return sorted(samples, key=lambda sample: float(sample.std()))[:NOISE_PAIRS]


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """``image`` with its edge repeated to the right and below, to ``size`` (width, height)."""
    right, below = size[0] - image.shape[1], size[1] - image.shape[0]
    return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def _read(path: Path) -> Image:
    image = cv2.imread(str(path))
    if image is None:
        raise DataError(f"{path}: missing, or not a picture")
    return np.asarray(image, np.uint8)
