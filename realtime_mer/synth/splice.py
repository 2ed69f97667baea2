"""Makes long streams from short real clips: each real micro-expression gets a resting face before and after it.

Clips of CASME II hold only the frames from onset to offset, so a spotter cannot be run on them alone.

What is real and what is made. The clip itself is unchanged. The rest before it is made from its first frames, the rest
after it from its last frames: they are averaged (which removes their noise), moved by a slow slight sway that ends at
both seams, and given new noise from differences of the clip's own neighboring frames, with the real level, color and
grain. Looping the few quiet frames would repeat the same noise and add a pulse of motion at every turn of the loop. A
real face at rest does more than this (tremor, gaze, breath), so false alarms per minute must be measured on real
recordings, not here.

How a face returns. CASME II's clips end at the annotated offset; what the face did then is unknown. Holding it in place
makes "the face came to rest" coincide with that offset by construction. So there are three tails: the face holds still
(``back_s`` None), or it returns to the onset face within ``back_s`` seconds, on a raised cosine, by warping the last
frame along the optical flow (DIS) to the first. The result is that of the worst tail.

From one clip to the next. After a clip the face is rarely exactly as before it, and the next clip is cropped
differently, at another moment. A cross-fade or morph between the two would be a facial movement that nobody made. So
the face stays where the clip left it, then the frame is empty for ``AWAY`` seconds, then the next clip's resting face
appears: a face that leaves and returns, which a spotter must handle anyway. ``Stream.masked`` covers the empty time and
``RETURN`` more; reports there are not scored.
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

AWAY: Final = 2.5  # s without a face between two clips; longer than a lost face is remembered by default (2 s)
RETURN: Final = 0.5  # s masked after a face's return
LEAD: Final = 4.0  # s of rest before a clip, for settling and some more in which false alarms can appear
TAIL: Final = 1.5  # s of rest after it; longer than a spotter waits for an offset
STILL: Final = 4  # frames averaged for the resting face (20 ms at 200 frames/s: less than 0.1 px of motion at an onset)
NOISE_PAIRS: Final = 6  # number of differences of neighboring frames used as noise samples
SWAY: Final = 0.002  # standard deviation as a fraction of the frame's width: about 0.25 px of the aligned face
SWAY_BAND: Final = (0.1, 0.8)  # Hz
SEAM: Final = 0.6  # s over which the sway fades out towards a clip
JPEG_BLOCK: Final = 8  # px: noise is shifted by whole blocks, because it has been through JPEG
EMPTY: Final = 128  # gray level of a frame without a face
TAILS: Final[dict[str, float | None]] = {"hold": None, "back 0.4 s": 0.4, "back 1 s": 1.0}  # name -> ``back_s``

# Column names of the published sheet, or of a CSV made from it.
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
    """A spliced stream. truth: one Truth per clip, kind MICRO as in the data set, on the stream's clock, s.

    masked: (from, to) s in which reports are not scored. duration: s. fps: of the clips. back_s: time in which the face
    returns after a clip; None: it holds still.
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
        """The frames, with times from 0; identical on each call. Raises DataError for a missing image.

        rate: frames/s, at most that of the clips: the frames nearest to regular times, each with its own time. Omitted
        resting frames are not drawn.
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
    numbers of the sheet) and, if there is one, match; rows whose match is in ``without`` are left out. A row with
    missing frames, or that is not an interval, is left out; ``left_out`` gets a line for each. Raises DataError when
    the table cannot be read or no row of it can be used.
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
    """The clip of a row, or the reason why there is none."""
    text = str(row["subject"]).strip()
    number = frame_number(text)
    subject, name = text if number is None else f"sub{number:02d}", str(row["clip"]).strip()
    onset, apex, offset = (frame_number(row[field]) for field in ("onset", "apex", "offset"))
    if onset is None or apex is None or offset is None or not onset <= apex <= offset or onset == offset:
        return f"{subject}/{name}: {row['onset']}, {row['apex']}, {row['offset']} are not onset, apex and offset"
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
    """Streams of the clips of ``subjects``, each of one subject and at most ``per_stream`` clips, in random order.

    back_s: as in ``Stream``. most: largest number of clips per subject; None: all.

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
    """The frames whose numbers, from 0, are in ``wanted``."""
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
    """For each frame of a tail, where its pixels come from in ``last``: float32 (H, W, 2) px; None: unmoved."""
    if back_s is None:
        yield from (None for _ in since)
        return
    gray = [cv2.cvtColor(np.rint(p).astype(np.uint8), cv2.COLOR_BGR2GRAY) for p in (first, last)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*gray, None)  # type: ignore[attr-defined]
    for time in since:
        yield np.float32(0.5 - 0.5 * np.cos(np.pi * min(time / back_s, 1.0))) * flow


def _swing(times: Doubles, seed: int) -> Doubles:
    """Sway (n, 2) as a fraction of the width at ``times``, s from the seam at 0, where it is zero."""
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
    """One frame of the resting face for each row of ``sway``; ``away``: where its pixels come from in ``still``."""
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
        # shifted, so that two frames that draw the same sample do not share their noise
        grain = np.roll(noise[random.integers(len(noise))], JPEG_BLOCK * random.integers(-4, 5, 2), (0, 1))
        grain *= random.choice(np.array([-1, 1], np.float32))
        yield np.asarray(cv2.add(moved, grain, dtype=cv2.CV_8U), np.uint8)


def _mean(pictures: Sequence[Image]) -> Floats:
    return np.asarray(np.mean(pictures, axis=0, dtype=np.float32), np.float32)


def _noise_samples(pictures: Sequence[Image]) -> list[Floats]:
    """Samples of one frame's noise: the differences of neighbors with the least motion, divided by the root of two."""
    samples = [(after.astype(np.float32) - before) / np.float32(np.sqrt(2)) for before, after in pairwise(pictures)]
    return sorted(samples, key=lambda sample: float(sample.std()))[:NOISE_PAIRS]


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """``image`` extended to the right and below by repeating its edge, to ``size`` (width, height)."""
    right, below = size[0] - image.shape[1], size[1] - image.shape[0]
    return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def _read(path: Path) -> Image:
    image = cv2.imread(str(path))
    if image is None:
        raise DataError(f"{path}: missing, or not an image")
    return np.asarray(image, np.uint8)
