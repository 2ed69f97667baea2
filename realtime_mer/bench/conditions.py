"""Recording conditions applied before watching: fewer frames, a smaller face, compression. Times stay true."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from realtime_mer import synth
from realtime_mer.bench.spotting import Case
from realtime_mer.errors import ConfigError, OutputError, SourceError
from realtime_mer.face.detect import FaceDetector
from realtime_mer.records import Frame, Image
from realtime_mer.sources import open_source
from realtime_mer.synth import write_video
from realtime_mer.typed import convert, from_json

CRF: Final = 23  # x264's default, similar to webcam recorders
EVERY: Final = "full"  # in place of a rate: every frame as recorded
KEY: Final = 24  # hex digits in the name of a stored file
LOOKED_AT: Final = 200  # number of first frames searched for a face, one in LOOK_STEP
LOOK_STEP: Final = 10
_WORD: Final = re.compile(rf"(?P<rate>{EVERY}|\d+(?:\.\d+)?)(?P<h264>h?)(?:@(?P<face>\d+(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class Condition:
    """rate: frames/s, None for every frame. h264: compressed with CRF 23. face_px: width of the face, None for
    unchanged."""

    rate: float | None = None
    h264: bool = False
    face_px: float | None = None

    @property
    def name(self) -> str:
        parts = [
            "every frame" if self.rate is None else f"{self.rate:g} frames/s",
            "H.264" if self.h264 else "uncompressed",
        ]
        return ", ".join(parts + ([f"face {self.face_px:g} px"] if self.face_px else []))


def parse(text: str) -> list[Condition]:
    """The conditions of a list such as "30h,200,full,30h@125". Raises ConfigError.

    30h: 30 frames/s, compressed. 200: 200 frames/s. full: every frame. 30h@125: and the face 125 px wide.
    """
    found = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        match = _WORD.fullmatch(word)
        if match is None or float(match["face"] or 1) <= 0 or match["rate"] == "0":
            raise ConfigError(
                f"--conditions: unknown condition {word!r}; examples: 200, 30h (H.264), {EVERY}, 30h@125 (face px)"
            )
        rate = None if match["rate"] == EVERY else float(match["rate"])
        found.append(Condition(rate, bool(match["h264"]), float(match["face"]) if match["face"] else None))
    if not found:
        raise ConfigError("--conditions is empty: give e.g. 30h,200")
    return found


def under(case: Case, condition: Condition, streams: Path | None = None) -> Case:
    """``case`` under a condition. A recording that is slower than ``condition.rate`` or smaller than ``face_px`` stays
    so.

    streams: folder to store compressed recordings for reuse, because making them costs more than watching them. They
    are made again when the recording, the condition or the code that draws them changes.
    """
    kept = streams / f"{_key(case, condition)}.mp4" if streams is not None and condition.h264 else None
    return replace(case, frames=partial(_frames, case.frames, condition, kept))


def _key(case: Case, condition: Condition) -> str:
    digest = hashlib.sha256(pickle.dumps(case.frames) + repr(condition).encode())
    for path in (Path(__file__), *sorted(Path(synth.__file__).parent.glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:KEY]


def _frames(source: Callable[[], Iterable[Frame]], condition: Condition, kept: Path | None) -> Iterator[Frame]:
    def seen() -> Iterator[Frame]:
        size = face_scale(thinned(source(), condition.rate), condition.face_px) if condition.face_px else 1.0
        for frame in thinned(source(), condition.rate):
            yield _shrunk(frame, size) if size < 1 else frame

    return compressed(seen(), CRF, kept) if condition.h264 else seen()


def thinned(frames: Iterable[Frame], rate: float | None) -> Iterator[Frame]:
    """The frames nearest to regular times at ``rate`` frames/s, each with its own time, renumbered."""
    if rate is None:
        yield from frames
        return
    start, beat, count = 0.0, 0, 0
    hole, skipped, keyframe = 0.0, False, False  # since the last frame passed on
    held: Frame | None = None
    for after in chain(frames, (None,)):
        if held is None:
            start = after.time if after is not None else 0.0
        else:
            hole, keyframe = hole + held.hole, keyframe or held.keyframe
            off = held.time - start - beat / rate
            nearest = abs(off) <= abs(after.time - start - beat / rate) if after is not None else off > -0.25 / rate
            if nearest:
                repeated = held.repeated and not skipped
                yield replace(held, index=count, lost=0, hole=hole, repeated=repeated, keyframe=keyframe)
                count, hole, keyframe = count + 1, 0.0, False
                beat = max(beat + 1, round((held.time - start) * rate) + 1)
            skipped = not nearest
        held = after


def face_scale(frames: Iterable[Frame], face_px: float) -> float:
    """The factor by which to shrink frames for a face of ``face_px`` px; 1 when it is already smaller, or none is
    seen."""
    with FaceDetector(max_faces=1) as detector:
        for number, frame in enumerate(frames):
            if number >= LOOKED_AT:
                break
            if number % LOOK_STEP == 0 and (faces := detector.detect(frame)):
                return min(1.0, face_px / (faces[0].box[2] - faces[0].box[0]))
    return 1.0


def compressed(frames: Iterable[Frame], crf: int = CRF, kept: Path | None = None) -> Iterator[Frame]:
    """The frames after H.264, with their times. Raises SourceError when some are missing.

    kept: the file to store them in; if it exists, it is used instead of ``frames``.
    """
    times = _kept_times(kept)
    with tempfile.TemporaryDirectory() as folder:
        if times is None or kept is None:
            path = Path(folder) / "case.mp4"
            times = _encode(frames, path, crf)
            if kept is not None:
                _keep(path, times, kept)
        else:
            path = kept
        with open_source(path) as source:
            count = 0
            for frame in source:
                if count < len(times):
                    time, hole = times[count]
                    yield replace(frame, index=count, time=time, hole=hole, lost=0)
                count += 1
    if count != len(times):
        raise SourceError(f"H.264 returned {count} of {len(times)} frames")


def _encode(frames: Iterable[Frame], path: Path, crf: int) -> list[tuple[float, float]]:
    """Writes the file; returns the time and the hole of each frame, s."""
    times: list[tuple[float, float]] = []

    def noted() -> Iterator[Frame]:
        for frame in frames:
            times.append((frame.time, frame.hole))
            yield _even(frame)

    write_video(noted(), path, "h264", crf, threads=1)  # threads change x264's decisions
    return times


def _keep(path: Path, times: list[tuple[float, float]], kept: Path) -> None:
    """Copies the file, then its times. A file without times is ignored, so an interrupted copy is never used."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(path, part)
        part.replace(kept)
        part.write_text(json.dumps(times), encoding="utf-8")
        part.replace(kept.with_suffix(".json"))
    except OSError as error:
        raise OutputError(f"cannot write {kept}: {error.strerror or error}") from None


def _kept_times(kept: Path | None) -> list[tuple[float, float]] | None:
    try:
        text = kept.with_suffix(".json").read_text(encoding="utf-8") if kept else ""
        return convert(from_json(text), list[tuple[float, float]])
    except (OSError, ValueError):
        return None


def _even(frame: Frame) -> Frame:
    """Crops the last column or row, because H.264 needs even sides."""
    width, height = frame.size
    if width % 2 == height % 2 == 0:
        return frame
    return _with_image(frame, frame.image[: height & ~1, : width & ~1])


def _shrunk(frame: Frame, factor: float) -> Frame:
    width, height = (max(2, int(side * factor) + 1 & ~1) for side in frame.size)
    return _with_image(frame, np.asarray(cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)))


def _with_image(frame: Frame, image: Image) -> Frame:
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    return replace(frame, gray=gray, to_bgr=image.copy)
