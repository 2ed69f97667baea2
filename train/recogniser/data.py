"""What the shipped recogniser learns from: cell means of onset-to-apex motion, of two origins.

Own flow: CASME II frames through the runtime's own ``align`` and ``features``, at several key frames around the
annotated ones. Maps: the public MEGC2019 flow maps of SMIC and SAMM, whose videos cannot be had. Training is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime_mer.face.align import similarity, warp
from realtime_mer.motion.flow import flow_uvs
from realtime_mer.motion.ring import NEAR
from realtime_mer.records import Face, Floats, Frame, Gray
from train.datasets.reading import load_image
from train.recogniser.network import CELLS, cell_means
from train.records import THREE, Clip

# Seconds by which onset and apex are moved in training: a spotter does not hit them exactly either. The onset is only
# moved later, because published crops begin at it.
ONSETS: Final = (0.0, 0.010, 0.020)
APEXES: Final = (0.0, -0.015, 0.015)
VIEWS: Final = tuple(product(ONSETS, APEXES))  # the first is the annotation itself: only this one is tested
MAP_VIEWS: Final = 4  # of a clip of own flow whose public map exists too: about a third of its views
_MARGIN: Final = 0.3  # of the picture, repeated around a tight crop in which no face is found


class Detect(Protocol):
    """What is needed of ``realtime_mer.face.detect.FaceDetector``."""

    def detect(self, frame: Frame) -> Sequence[Face]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Motions:
    """views: float32 (N, V, 2, CELLS, CELLS), u and v; y: int64 (N,), positions in THREE; clips: where each comes from.
    own: bool (N,), True for own flow, False for a public map (whose views are all the same)."""

    views: Floats
    y: NDArray[np.int64]
    clips: tuple[Clip, ...]
    own: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def groups(self) -> NDArray[np.str_]:
        """Who each sample shows."""
        return np.array([clip.group for clip in self.clips])

    def take(self, where: Any) -> Motions:
        """The samples at positions, or where a mask is true."""
        chosen = np.arange(len(self))[where]
        return Motions(self.views[chosen], self.y[chosen], tuple(self.clips[i] for i in chosen), self.own[chosen])


def join(parts: Iterable[Motions]) -> Motions:
    """All samples in the order of the parts."""
    many = list(parts)
    return Motions(
        np.concatenate([part.views for part in many]),
        np.concatenate([part.y for part in many]),
        tuple(clip for part in many for clip in part.clips),
        np.concatenate([part.own for part in many]),
    )


def labels(clips: Sequence[Clip]) -> NDArray[np.int64]:
    """Positions in THREE. The clips must have one (``train.records.labelled``)."""
    return np.array([THREE.index(str(clip.label("3"))) for clip in clips], np.int64)


def own_flow(
    clips: Sequence[Clip], detector: Detect, moves: Sequence[tuple[float, float]] = VIEWS
) -> tuple[Motions, list[str]]:
    """Motion of the clips, one view for each (onset, apex) move in seconds; and why clips were left out.

    A clip needs onset, apex and offset among its frames: where one is missing the frames may be another clip's.
    """
    kept: list[Clip] = []
    found: list[Floats] = []
    skipped: list[str] = []
    for clip in clips:
        if clip.onset is None or clip.apex is None or clip.offset is None:
            skipped.append(f"{clip.key}: onset, apex or offset is not annotated or not among the frames")
            continue
        faces = aligned(clip, detector)
        if faces is None:
            skipped.append(f"{clip.key}: no face found at the onset")
            continue
        kept.append(clip)
        found.append(np.stack([_motion(faces, clip, *move) for move in moves]))
    own = np.ones(len(kept), np.bool_)
    views = np.stack(found) if found else np.zeros((0, len(moves), 2, CELLS, CELLS), np.float32)
    return Motions(views, labels(kept), tuple(kept), own), skipped


def aligned(clip: Clip, detector: Detect) -> list[Gray] | None:
    """All frames of the clip, aligned by the landmarks of the onset frame alone; None when no face is found there.

    One transform for all frames: the landmarks' jitter would be seen as motion. The head's own motion is removed
    later, by the feature.
    """
    assert clip.onset is not None
    transform = _transform(load_image(clip.frames[clip.onset]), detector)
    if transform is None:
        return None
    return [warp(cv2.cvtColor(load_image(path), cv2.COLOR_BGR2GRAY), transform) for path in clip.frames]


def _transform(image: NDArray[np.uint8], detector: Detect) -> NDArray[np.float64] | None:
    for margin in (0, int(_MARGIN * max(image.shape))):
        padded = cv2.copyMakeBorder(image, *[margin] * 4, cv2.BORDER_REPLICATE)
        gray = cv2.cvtColor(padded, cv2.COLOR_BGR2GRAY)
        faces = detector.detect(Frame(0, 0.0, gray, lambda picture=padded: picture))
        if faces:
            return similarity(faces[0].points - np.float32(margin))
    return None


def _motion(faces: list[Gray], clip: Clip, onset_move: float, apex_move: float) -> Floats:
    """Cell means (2, CELLS, CELLS) of the feature between the moved key frames."""
    assert clip.onset is not None
    assert clip.apex is not None
    reach = int(NEAR * clip.fps)
    last = len(faces) - 1
    onset, apex = (
        min(max(position + round(move * clip.fps), 0), last)
        for position, move in ((clip.onset, onset_move), (clip.apex, apex_move))
    )
    first, second = (faces[max(at - reach, 0) : at + reach + 1] for at in (onset, apex))
    means: Floats = cell_means(flow_uvs(first, second)[None])[0]
    return means


def with_maps(own: Motions, clips: Sequence[Clip]) -> Motions:
    """Own flow with the public maps of the same clips among its views, MAP_VIEWS times; where there is none, with the
    annotated view itself. So the network learns what is common to both. The first view stays what is tested."""
    maps = from_maps(clips)
    where = {clip.key: i for i, clip in enumerate(maps.clips)}
    more = [
        maps.views[where[clip.key], :MAP_VIEWS] if clip.key in where else np.repeat(views[:1], MAP_VIEWS, axis=0)
        for clip, views in zip(own.clips, own.views, strict=True)
    ]
    return Motions(np.concatenate([own.views, np.stack(more)], axis=1), own.y, own.clips, own.own)


def from_maps(clips: Sequence[Clip]) -> Motions:
    """Motion of public flow maps: pictures of 28 x 28, red u, green v, scaled per clip and channel so that the median
    stands for rest. Every map lies over the same part of the face as the cells of own flow do (docs/model-card.md).
    """
    found = []
    for clip in clips:
        rgb = load_image(clip.frames[0])[..., ::-1].astype(np.float32)
        rgb -= np.median(rgb, axis=(0, 1))
        small = cv2.resize(rgb[..., :2], (CELLS, CELLS), interpolation=cv2.INTER_AREA)
        found.append(np.repeat(small.transpose(2, 0, 1)[None], len(VIEWS) + MAP_VIEWS, axis=0))
    return Motions(np.stack(found), labels(clips), tuple(clips), np.zeros(len(clips), np.bool_))
