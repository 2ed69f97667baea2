"""Long streams from short real clips: each clip of a real micro-expression gets a resting face before and after it.

Clips of CASME II hold the frames from onset to offset and nothing else, so a spotter cannot be run on them alone.

What is real and what is made. The clip itself is untouched. The rest before it is its first frames, the rest after it
its last frames: they are averaged (which removes their noise), moved about by a slow slight sway that dies out at both
seams, and given fresh noise, taken from differences of the clip's own neighboring frames, so that it has the real
level, color and grain. Looping the few quiet frames instead would repeat the same noise and put a pulse of motion at
every turn of the loop. A face at rest in reality does more than this (tremor, gaze, breath), so false alarms per minute
must be measured on real recordings, not here.

How a face comes back. CASME II's clips end at the annotated offset, and nobody knows what the face did then. Holding it
where it was makes "the face came to rest" coincide with that offset by construction. So there are three tails: the face
holds still (``back_s`` None), or it goes back to where it was at the onset within ``back_s`` seconds, on a raised
cosine, the last picture warped along the optical flow (DIS) to the first. A result counts by its worst tail.

From one clip to the next. After a clip the face seldom lies exactly as before it, and the next clip is another cut of
another moment. A cross-fade or a morph between the two would be a facial movement that nobody made. So the face is held
where the clip left it, then the picture is empty for ``AWAY`` seconds, then the next clip's resting face appears: a
face that leaves and returns, which a spotter must survive anyway. ``Stream.masked`` covers the empty time and
``RETURN`` more: what is reported there is to be left out of the score.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from realtime_mer.errors import DataError
from realtime_mer.records import Floats, Frame, Image, Kind
from realtime_mer.sheets import frame_number, rows
from realtime_mer.synth.script import Truth, wander
from realtime_mer.synth.warp import Doubles

AWAY: Final = 2.5  # s without a face between two clips: longer than a lost face is remembered by default (2 s)
RETURN: Final = 0.5  # s after a face's return that are masked too
LEAD: Final = 4.0  # s of rest before a clip: settling, and some more in which false alarms can show
TAIL: Final = 1.5  # s of rest after it: longer than a spotter waits for an offset
STILL: Final = 4  # frames averaged to the resting face (20 ms at 200 fps: less than 0.1 px of motion at an onset)
NOISE_PAIRS: Final = 6  # differences of neighboring frames kept as samples of the noise
SWAY: Final = 0.002  # of the picture's width, standard deviation: about 0.25 px of the aligned face
SWAY_BAND: Final = (0.1, 0.8)  # Hz
SEAM: Final = 0.6  # s over which the sway dies out towards a clip
JPEG_BLOCK: Final = 8  # px: noise is shifted by whole blocks, because the clips' noise went through JPEG
EMPTY: Final = 128  # gray level of the picture without a face
TAILS: Final[dict[str, float | None]] = {"hold": None, "back 0.4 s": 0.4, "back 1 s": 1.0}  # name -> ``back_s``

# How the published sheet, or a CSV made from it, names its columns.
CASME2_SHEET: Final = {
    "subject": ("Subject",),
    "clip": ("clip", "Filename"),
    "emotion": ("emotion", "Estimated Emotion"),
    "onset": ("onset", "OnsetFrame"),
    "apex": ("apex", "ApexFrame", "ApexFrame1"),
    "offset": ("offset", "OffsetFrame"),
    "match": ("match",),
}
CASME2_FPS: Final = 200.0


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

    masked: (from, to) s in which reports are not to be scored. duration: s. fps: of the clips.
    back_s: how long the face takes to go back after a clip; None: it holds still.
    """

    subject: str
    clips: tuple[RealClip, ...]
    truth: tuple[Truth, ...]
    masked: tuple[tuple[float, float], ...]
    duration: float
    fps: float
    seed: int
    back_s: float | None = None

    def frames(self, rate: float | None = None) -> Iterator[Frame]:
        """The frames, times from 0; the same each time. Raises DataError for a missing picture.

        rate: frames/s, at most that of the clips: the frames nearest to an even beat, each with its own time. Resting
        frames that are left out are not drawn.
        """
        lead, tail, away = _counts(self.fps)
        total = sum(lead + len(clip.frames) + tail for clip in self.clips) + away * (len(self.clips) - 1)
        beat = np.arange(0, total, self.fps / min(rate or self.fps, self.fps))
        wanted = set(np.minimum(np.round(beat).astype(int), total - 1).tolist())
        for index, (number, image) in enumerate(_pictures(self, wanted)):
            yield Frame(index, number / self.fps, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), image.copy)


def read_casme2(
    frames: Path, table: Path, without: Sequence[str] = ("partial",), left_out: list[str] | None = None
) -> list[RealClip]:
    """Clips of CASME II in its published layout ``frames``/subXX/EPxx/reg_imgN.jpg.

    table: the published sheet (.xlsx), or a CSV with the columns subject, clip, emotion, onset, apex, offset (frame
    numbers of the sheet) and, if there is one, match; rows whose match is in ``without`` are left out.
    A row whose frames are not all there, or that is no interval, is left out; ``left_out`` gets a line for each.
    Raises DataError when the table cannot be read or no row of it can be used.
    """
    clips: list[RealClip] = []
    left_out = [] if left_out is None else left_out
    for number, row in rows(table, CASME2_SHEET, ("match",)):
        if str(row.get("match") or "") in without:
            continue
        clip = _clip(frames, row)
        if isinstance(clip, str):
            left_out.append(f"{table.name} row {number}: {clip}")
        else:
            clips.append(clip)
    if not clips:
        why = left_out[0] if left_out else f"{table} has no rows"
        raise DataError(f"no clip of CASME II (Cropped) can be used under {frames}: {why}")
    return clips


def _clip(root: Path, row: Mapping[str, Any]) -> RealClip | str:
    """The clip of one row, or why there is none."""
    text = str(row["subject"]).strip()
    number = frame_number(text)
    subject, name = text if number is None else f"sub{number:02d}", str(row["clip"]).strip()
    onset, apex, offset = (frame_number(row[field]) for field in ("onset", "apex", "offset"))
    if onset is None or apex is None or offset is None or not onset <= apex <= offset or onset == offset:
        return f"{subject}/{name}: {row['onset']}, {row['apex']}, {row['offset']} are no onset, apex and offset"
    folder = root / subject / name
    paths = tuple(folder / f"reg_img{number}.jpg" for number in range(onset, offset + 1))
    missing = sum(not path.exists() for path in paths)
    if missing:
        return f"{subject}/{name}: {missing} of {len(paths)} frames are missing"
    return RealClip(subject, name, str(row["emotion"]).strip(), paths, 0, apex - onset, offset - onset, CASME2_FPS)


def streams(
    clips: Iterable[RealClip],
    subjects: Sequence[str],
    per_stream: int = 6,
    seed: int = 0,
    back_s: float | None = None,
    most: int | None = None,
) -> list[Stream]:
    """Streams of the clips of ``subjects``, each of one subject and of ``per_stream`` clips at most, in a drawn order.

    back_s: as in ``Stream``. most: clips of a subject, the first drawn; None: all.

    Raises DataError when a subject has no clip.
    """
    clips = list(clips)
    found: list[Stream] = []
    for subject in subjects:
        own = [clip for clip in clips if clip.subject == subject]
        if not own:
            raise DataError(f"subject {subject!r} has no clips")
        order = np.random.default_rng((seed, len(found))).permutation(len(own))
        own = [own[i] for i in order][:most]
        found += [splice(own[i : i + per_stream], seed + len(found), back_s) for i in range(0, len(own), per_stream)]
    return found


def splice(clips: Sequence[RealClip], seed: int = 0, back_s: float | None = None) -> Stream:
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
    return Stream(clips[0].subject, tuple(clips), tuple(truth), tuple(masked), clock / fps, fps, seed, back_s)


def _counts(fps: float) -> tuple[int, int, int]:
    return round(LEAD * fps), round(TAIL * fps), round(AWAY * fps)


def _pictures(stream: Stream, wanted: Container[int]) -> Iterator[tuple[int, Image]]:
    """The pictures whose numbers, from 0, are in ``wanted``."""
    clips, fps = stream.clips, stream.fps
    lead, tail, away = _counts(fps)
    shapes = [_read(clip.frames[0]).shape for clip in clips]
    size = max(shape[1] for shape in shapes) + 1 & ~1, max(shape[0] for shape in shapes) + 1 & ~1  # even for codecs
    random = np.random.default_rng((stream.seed, 5))
    empty = np.full((size[1], size[0], 3), EMPTY, np.uint8)
    start = 0
    for number, clip in enumerate(clips):
        seed = stream.seed * 64 + 2 * number
        pictures = [_fitted(_read(path), size) for path in clip.frames]
        noise = _noise_samples(pictures)
        first, last = _mean(pictures[:STILL]), _mean(pictures[-STILL:])
        if number:
            yield from ((k, empty) for k in range(start, start + away) if k in wanted)
            start += away
        at = [k for k in range(lead) if start + k in wanted]
        rest = _rest(first, noise, random, _swing((np.array(at) - lead) / fps, seed))
        yield from zip([start + k for k in at], rest, strict=True)
        start += lead
        yield from ((start + k, picture) for k, picture in enumerate(pictures) if start + k in wanted)
        start += len(pictures)
        at = [k for k in range(tail) if start + k in wanted]
        since = (np.array(at) + 1) / fps
        rest = _rest(last, noise, random, _swing(since, seed + 1), _way_back(first, last, since, stream.back_s))
        yield from zip([start + k for k in at], rest, strict=True)
        start += tail


def _way_back(first: Floats, last: Floats, since: Doubles, back_s: float | None) -> Iterator[Floats | None]:
    """Where each picture of a tail looks itself up in ``last``: float32 (H, W, 2) px; None: where it is."""
    if back_s is None:
        yield from (None for _ in since)
        return
    gray = [cv2.cvtColor(np.rint(p).astype(np.uint8), cv2.COLOR_BGR2GRAY) for p in (first, last)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*gray, None)  # type: ignore[attr-defined]
    for time in since:
        yield np.float32(0.5 - 0.5 * np.cos(np.pi * min(time / back_s, 1.0))) * flow


def _swing(times: Doubles, seed: int) -> Doubles:
    """Sway (n, 2) as a fraction of the width at ``times``, s from the seam at 0, where it has died out."""
    fade = 0.5 - 0.5 * np.cos(np.pi * np.clip(np.abs(times) / SEAM, 0, 1))
    moves = np.array([[wander(float(t), 2 * seed + axis, SWAY_BAND) for axis in (0, 1)] for t in times])
    return np.asarray(SWAY * fade[:, None] * moves.reshape(-1, 2))


def _rest(
    still: Floats,
    noise: list[Floats],
    random: np.random.Generator,
    sway: Doubles,
    away: Iterable[Floats | None] = (),
) -> Iterator[Image]:
    """One picture of the resting face for each row of ``sway``; ``away``: where each is looked up in ``still``."""
    width, height = still.shape[1], still.shape[0]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    for (dx, dy), field in zip_longest(sway * width, away):
        if field is None:
            shift = np.array([[1, 0, dx], [0, 1, dy]])
            moved = cv2.warpAffine(
                still, shift, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
        else:
            at = x - np.float32(dx) + field[..., 0], y - np.float32(dy) + field[..., 1]
            moved = cv2.remap(still, *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        # rolled about, so that two pictures that draw the same sample do not share their noise
        grain = np.roll(noise[random.integers(len(noise))], JPEG_BLOCK * random.integers(-4, 5, 2), (0, 1))
        grain *= random.choice(np.array([-1, 1], np.float32))
        yield np.asarray(cv2.add(moved, grain, dtype=cv2.CV_8U), np.uint8)


def _mean(pictures: Sequence[Image]) -> Floats:
    return np.asarray(np.mean(pictures, axis=0, dtype=np.float32), np.float32)


def _noise_samples(pictures: Sequence[Image]) -> list[Floats]:
    """Samples of one frame's noise: differences of neighbors, those with the least motion, over the root of two."""
    samples = [(after.astype(np.float32) - before) / np.float32(np.sqrt(2)) for before, after in pairwise(pictures)]
    return sorted(samples, key=lambda sample: float(sample.std()))[:NOISE_PAIRS]


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """``image`` with its edge repeated to the right and below, to ``size`` (width, height)."""
    right, below = size[0] - image.shape[1], size[1] - image.shape[0]
    return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def _read(path: Path) -> Image:
    image = cv2.imread(str(path))
    if image is None:
        raise DataError(f"{path}: missing, or not an image")
    return np.asarray(image, np.uint8)
