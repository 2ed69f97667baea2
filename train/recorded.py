"""Records a clip again as another camera and codec would have: rate, H.264 or JPEG, size of the face, roll, light,
drift.

The frames are real. The resting face before the onset is made (the mean of the first frames with the recording's own
noise, because published clips begin at the onset), and so is the recording.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from realtime_mer.motion.follow import follow_clip
from realtime_mer.motion.ring import Ring
from realtime_mer.records import Floats, Frame, Gray
from realtime_mer.sources import open_source
from realtime_mer.synth.video import write_video
from train.motion import Faces

STILL: Final = 4  # frames averaged for the resting face: 20 ms at 200 frames/s
GRAINS: Final = 6  # differences of neighboring frames kept as samples of the noise
BLOCK: Final = 8  # px: noise is shifted by whole JPEG blocks, because it has been through JPEG
ROLL: Final = 1.0  # largest deviation of the drifting head from its direction, degrees per s


@dataclass(frozen=True, slots=True)
class Variant:
    """How a sequence is recorded. rate: frames/s, 0: the recording's own. crf: of H.264, 0: raw. drift: of the head, px
    of the image per s. jpeg: quality of every frame, 0: raw. face: width in px, 0: unchanged. roll: degrees. light:
    factor of the brightness. phase: time from the last frame to the end of the sequence, in frames."""

    rate: float = 0.0
    crf: int = 0
    drift: float = 0.0
    jpeg: int = 0
    face: float = 0.0
    roll: float = 0.0
    light: float = 1.0
    phase: float = 0.0

    def __str__(self) -> str:
        parts = [f"H.264 crf {self.crf}" if self.crf else "" if self.jpeg else "raw"]
        parts += [f"JPEG {self.jpeg}" if self.jpeg else ""]
        parts += [f"head drift {self.drift:g} px/s" if self.drift else ""]
        parts += [f"{self.rate:g} fps" if self.rate else ""]
        parts += [f"face {self.face:g} px" if self.face else ""]
        parts += [f"rolled by {self.roll:g} degrees" if self.roll else ""]
        parts += [f"brightness x {self.light:g}" if self.light != 1 else ""]
        return ", ".join(filter(None, parts))


def sequence(images: Sequence[Gray], rest: int, fps: float, drift: float, random: np.random.Generator) -> list[Frame]:
    """``rest`` frames of the resting face, then ``images``; a drifting head is in place at the onset."""
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


def followed(frames: list[Frame], variant: Variant, fps: float, faces: Faces) -> Ring | str:
    """The sequence, recorded as ``variant`` says and followed as the runtime follows a face, or why it cannot be
    followed.

    Times stay those of ``frames``. The head's drift is part of the sequence, not made here.
    """
    frames = _sampled(frames, variant.rate, fps, variant.phase)
    if variant.face:
        found = faces.find_in_crop(frames[0].image)
        if found is None:
            return "the face is not found"
        scale = min(variant.face / (found.box[2] - found.box[0]), 1.0)
        frames = [_changed(frame, cv2.resize(frame.gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
                  for frame in frames]  # fmt: skip
    if variant.roll:
        frames = [_changed(frame, _moved(frame.gray, 0, 0, variant.roll)) for frame in frames]
    if variant.light != 1:
        frames = [_changed(frame, cv2.convertScaleAbs(frame.gray, alpha=variant.light)) for frame in frames]
    if variant.jpeg:
        frames = [_changed(frame, _through_jpeg(frame.gray, variant.jpeg)) for frame in frames]
    if variant.crf:
        frames = _through_h264(frames, variant.crf)
    face = faces.find_in_crop(frames[0].image)
    ring = None if face is None else follow_clip(face, frames)
    if ring is None or ring.frame(frames[-1].time) != frames[-1].index:
        return f"the face is {'not found' if ring is None else 'lost'}"
    return ring


def _moved(picture: Any, x: float, y: float, degrees: float) -> Any:
    height, width = picture.shape
    there = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    there[:, 2] += x, y
    return cv2.warpAffine(picture, there, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _noise(images: Sequence[Gray]) -> list[Floats]:
    """Samples of one frame's noise: the differences of neighbors with the least motion, divided by the root of two."""
    samples = [(after.astype(np.float32) - before) / np.float32(np.sqrt(2)) for before, after in pairwise(images)]
    return sorted(samples, key=lambda sample: float(sample.std()))[:GRAINS]


def _sampled(frames: list[Frame], rate: float, fps: float, phase: float) -> list[Frame]:
    """The frames that a camera at ``rate`` would have captured; all of them for rate 0."""
    if not rate or rate >= fps:
        return frames
    last = len(frames) - 1 - phase
    count = int(last * rate / fps)
    chosen = [round(last - k * fps / rate) for k in range(count, -1, -1)]
    return [_frame(k, frames[i].time, frames[i].gray) for k, i in enumerate(chosen)]


def _through_jpeg(picture: Gray, quality: int) -> Any:
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)


def _through_h264(frames: list[Frame], crf: int) -> list[Frame]:
    """The frames after H.264; sides are made even, as the codec requires."""
    height, width = frames[0].gray.shape
    even = [_changed(f, np.ascontiguousarray(f.gray[: height // 2 * 2, : width // 2 * 2])) for f in frames]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "clip.mkv")
        write_video(even, file, "h264", crf, threads=1)
        with open_source(file) as source:
            pictures = [frame.gray for frame in source]
    return [_changed(f, picture) for f, picture in zip(even, pictures, strict=True)]


def _changed(frame: Frame, gray: Any) -> Frame:
    return _frame(frame.index, frame.time, np.asarray(gray, np.uint8))


def _frame(index: int, time: float, gray: Gray) -> Frame:
    return Frame(index, time, gray, lambda: np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8))
