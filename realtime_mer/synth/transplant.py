"""Puts the measured movement of a real micro-expression into any real face: real movement, exact truth, any carrier.

What is real and what is made. The motion field is that of a clip's skin from onset to offset (``donor``), with its own
size and timing. The carrier is a real recording, whose own motion, noise and blinks stay. Made are the return after the
annotated offset, where most clips end (a raised cosine over ``back_s``), the fading out at the border of the face, and
the interpolated pixels, whose noise is a little softer. A movement comes out 5 to 20 % smaller than in the clip,
because flow is smooth (``donor``); the carrier then shows what was measured, to within some percent (``verify``).
Wrinkles and shadows that go with a movement are not drawn. A blink is not skin motion, so clips with one are not used
as donors (``Donor.blinks``).

Where it lands. An affine fit of the landmarks assigns each point of the carrier to a point of the donor, so that a
brow's movement lands on the brow. The displacement itself is rotated and scaled by the carrier's similarity, so that it
has the same size in px of the aligned face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import cv2
import numpy as np

from realtime_mer.errors import ConfigError
from realtime_mer.face.align import Transform, apply, similarity
from realtime_mer.face.regions import LEFT_EYE_CORNERS, REGIONS, RIGHT_EYE_CORNERS
from realtime_mer.records import Floats, Frame, Gray, Image, Kind
from realtime_mer.synth.donor import BOX, FINE, Donor, aligned_fine, flow, grid
from realtime_mer.synth.inject import SteadyTrack, Track
from realtime_mer.synth.script import Truth
from realtime_mer.synth.warp import Box, Doubles, to_picture

# Landmarks that map one face to another: those of the watched regions, and the eyes' corners.
MARKS: Final = sorted({p for r in REGIONS for p in r.points}.union(RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS))
_CHECK_BLUR: Final = 3.0  # px of ``aligned_fine``; brightness then changes linearly over these motions
_INVERSIONS: Final = (
    4  # of the fixed point that converts a motion at the origin of the skin into one at its destination
)


@dataclass(frozen=True, slots=True, eq=False)
class Graft:
    """One movement put into a carrier. start: s on the carrier's clock at the donor's onset.

    back_s: s over which the rest of the movement at the donor's offset fades away. Raises ConfigError when that is not
    above 0.
    """

    donor: Donor
    start: float
    back_s: float

    def __post_init__(self) -> None:
        if not self.back_s > 0:
            raise ConfigError(f"the return of a transplant must last longer than 0 s, not {self.back_s}")

    @property
    def end(self) -> float:
        """The end of the movement, s on the carrier's clock."""
        return self.start + self.donor.offset + self.back_s

    @property
    def truth(self) -> Truth:
        """The annotated onset, apex and offset on the carrier's clock; sizes as measured at the apex."""
        donor = self.donor
        return Truth(
            Kind.MICRO,
            self.start,
            self.start + donor.apex,
            self.start + donor.offset,
            f"{donor.clip.subject}/{donor.clip.name}",
            donor.regions(donor.apex),
            donor.peak,
            donor.clip.label,
        )

    def at(self, time: float) -> Floats | None:
        """The motion at ``time`` s on the carrier's clock, float32 (h, w, 2) px over BOX, or None."""
        if not self.start < time < self.end:
            return None
        late = time - self.start - self.donor.offset
        shift = self.donor.at(time - self.start)
        return shift if late <= 0 else shift * np.float32(0.5 + 0.5 * np.cos(np.pi * late / self.back_s))


def transplant(frames: Iterable[Frame], track: Track, grafts: Sequence[Graft]) -> Iterator[Frame]:
    """The frames with ``grafts`` (times on the frames' own clock) in the face of ``track`` (``inject.landmarks``).

    Frames outside all grafts are unchanged. A repeated frame shows the same as the one before. If the face was not seen
    within STEADY of a frame, nothing is moved; ``plan`` avoids such places. Raises SourceError when ``track`` has no
    face at all.
    """
    steady = SteadyTrack(track)
    time = 0.0
    for frame in frames:
        time = time if frame.repeated else frame.time
        active = [(graft.donor, shift) for graft in grafts if (shift := graft.at(time)) is not None]
        points = steady.at(time) if active else None
        yield frame if points is None else _moved(frame, points, active)


@dataclass(frozen=True, slots=True)
class Check:
    """A graft measured again in the carrier, compared with the donor's motion.

    name: of the graft's truth. peak: expected largest motion, px. correlation: of measured flow and expected motion
    over the face, -1 to 1 (uncentered, because the carrier holds still). ratio: size of the measured flow, as a
    fraction of the expected motion; low where the carrier has little texture. size: the same from the change of
    brightness where the expected motion crosses the carrier's gradients (the constraint behind optical flow). Without
    smoothness, it does not shrink where there is little texture.
    """

    name: str
    peak: float
    correlation: float
    ratio: float
    size: float


def verify(frames: Iterable[Frame], track: Track, grafts: Sequence[Graft]) -> list[Check]:
    """Measures the grafts again, each at its apex and halfway before and after: one Check for each that was seen.

    A grafted frame is compared with the same frame without grafts, so that the carrier's own motion cancels, using
    ``donor.flow``, not the spotter's registration. Reads ``frames`` once. Raises SourceError when ``track`` has no
    face.
    """
    steady = SteadyTrack(track)
    times = np.array([time for time, _ in track], np.float64)
    looked: dict[float, list[int]] = {}
    for number, graft in enumerate(grafts):
        donor = graft.donor
        for moment in (donor.apex / 2, donor.apex, (donor.apex + donor.offset) / 2):
            nearest = float(times[np.abs(times - graft.start - moment).argmin()])
            looked.setdefault(nearest, []).append(number)
    sums = np.zeros((len(grafts), 5))
    for frame in frames:
        for number in looked.get(frame.time, ()):
            points = steady.at(frame.time)
            if points is not None:
                sums[number] += _compared(frame, track, points, grafts[number])
    return [
        Check(
            graft.truth.name,
            graft.donor.peak,
            float(both / np.sqrt(wanted * found)) if found > 0 else 0.0,
            float(both / wanted),
            float(changed / expected) if expected > 0 else 0.0,
        )
        for graft, (wanted, both, found, expected, changed) in zip(grafts, sums, strict=True)
        if wanted > 0
    ]


def _compared(frame: Frame, track: Track, points: Floats, graft: Graft) -> Doubles:
    """Sums over the face, float64 (5,): wanted by wanted, wanted by found, found by found motion, px squared; expected
    by expected, expected by seen change of brightness, gray levels squared."""
    shift = graft.at(frame.time)
    if shift is None:
        return np.zeros(5)
    (grafted,) = transplant([frame], track, [graft])
    transform = similarity(points)
    before, after = (aligned_fine(picture.gray, transform) for picture in (frame, grafted))
    found = flow(before, after)
    back = apply(cv2.invertAffineTransform(transform), grid().reshape(-1, 2))
    there = (apply(_places(points, graft.donor), back) - np.array(BOX[:2])).astype(np.float32).reshape(grid().shape)
    wanted = cv2.remap(shift, there[..., 0].copy(), there[..., 1].copy(), cv2.INTER_LINEAR)
    expected, changed = _brightness(before, after, wanted)
    pairs = (wanted, wanted), (wanted, found), (found, found), (expected, expected), (expected, changed)
    return np.array([np.sum(a * b, dtype=np.float64) for a, b in pairs])


def _brightness(before: Gray, after: Gray, wanted: Floats) -> tuple[Floats, Floats]:
    """The expected change of brightness under the motion ``wanted`` (to first order), and the measured one; float32 (H,
    W)."""
    first, last = (cv2.GaussianBlur(p.astype(np.float32), (0, 0), _CHECK_BLUR) for p in (before, after))
    dy, dx = np.gradient((first + last) / 2)
    fine = FINE * cv2.resize(wanted, before.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(-(dx * fine[..., 0] + dy * fine[..., 1])), np.asarray(last - first)


def _places(points: Floats, donor: Donor) -> Transform:
    """The affine map (2, 3) from px of the carrier's frame to px of the donor's aligned face."""
    marks = points[MARKS].astype(np.float64)
    design = np.hstack([marks, np.ones((len(marks), 1))])
    solution = np.linalg.lstsq(design, donor.points[MARKS].astype(np.float64), rcond=None)[0]
    return np.asarray(solution.T)


def _moved(frame: Frame, points: Floats, active: Sequence[tuple[Donor, Floats]]) -> Frame:
    for donor, shift in active:
        frame = _shifted(frame, points, donor, shift)
    return frame


def _shifted(frame: Frame, points: Floats, donor: Donor, shift: Floats) -> Frame:
    places = _places(points, donor)
    box = _affected_box(places, frame.size)
    if box[0] >= box[2] or box[1] >= box[3]:
        return frame
    x0, y0, x1, y1 = box
    there = places.copy()  # from px of the box to px of BOX
    there[:, 2] += places[:, :2] @ (x0, y0) - np.array(BOX[:2])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    own = cv2.warpAffine(_at_arrival(shift), there, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_CONSTANT)
    turned = own @ to_picture(points).T.astype(np.float32)
    map_x = np.arange(x0, x1, dtype=np.float32) - turned[..., 0]
    map_y = np.arange(y0, y1, dtype=np.float32)[:, None] - turned[..., 1]
    to_bgr: Callable[[], Image] | None = None
    if frame.to_bgr is not None:
        to_bgr = partial(_color, frame.to_bgr, box, map_x, map_y)
    return replace(frame, gray=_warped(frame.gray, box, map_x, map_y), to_bgr=to_bgr)


def _at_arrival(shift: Floats) -> Floats:
    """Converts ``shift`` at the origin of the skin to the same motion at its destination."""
    own = (grid() - np.array(BOX[:2])).astype(np.float32)
    arrived = shift
    for _ in range(_INVERSIONS):
        source = own - arrived
        arrived = cv2.remap(
            shift, source[..., 0].copy(), source[..., 1].copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
    return np.asarray(arrived, np.float32)


def _affected_box(places: Transform, size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = BOX
    corners = apply(cv2.invertAffineTransform(places), np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]], np.float64))
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int) + 1
    return max(int(low[0]), 0), max(int(low[1]), 0), min(int(high[0]), size[0]), min(int(high[1]), size[1])


def _color(to_bgr: Callable[[], Image], box: Box, map_x: Floats, map_y: Floats) -> Image:
    return _warped(to_bgr(), box, map_x, map_y)


def _warped(picture: Image, box: Box, map_x: Floats, map_y: Floats) -> Image:
    x0, y0, x1, y1 = box
    result = picture.copy()
    result[y0:y1, x0:x1] = cv2.remap(picture, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return result
