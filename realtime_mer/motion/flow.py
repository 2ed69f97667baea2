"""The input of a recognizer: the motion from onset to apex. Runtime and training call the same functions here.

Computed once per event, so it may take some milliseconds. ``registration`` measures how regions move in every frame;
what the motion means is up to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np

from realtime_mer.face.regions import SIZE
from realtime_mer.motion.affine import AffineFit
from realtime_mer.motion.ring import KeyFrames
from realtime_mer.records import Floats, Gray

# The face inside the aligned image (eyes at y 46 of 128, 44 px apart): center and half axes of an oval, px at SIZE.
# Outside are hair, background and, beyond the frame, nothing: motion there is not that of skin.
OVAL: Final = (64.0, 67.0, 38.0, 48.0)
_EDGE: Final = 0.1  # share of the half axes over which the motion fades out at the oval's border
_STEP: Final = 4  # px between the points on which the head's motion is fitted; flow is smooth over shorter distances
_ROUNDS: Final = 10  # of reweighting; it settles in about five
_SMOOTH: Final = 1.0  # px: Gaussian before the derivatives of the strain, which would amplify the flow's noise


def flow_uvs(onset: Sequence[Gray], apex: Sequence[Gray]) -> Floats:
    """Motion of the skin from onset to apex without that of the head: float32 (3, S, S) = u, v, strain.

    onset, apex: aligned images, uint8 (S, S), of the moments around each; all of one face, registered to each other.
                 Each group is averaged before the flow is computed, which lowers the camera's noise.
    u, v:        px of the aligned face, u to the right of the frame, v down, at the position of the skin at onset.
                 The movement of a small spot is underestimated by a third to a half, because flow is smooth.
    strain:      magnitude of the infinitesimal strain tensor, px per px (Shreve et al. 2011; Liong et al. 2019).

    Flow is dense inverse search (Kroeger et al. 2016) with variational refinement; head motion is the affine flow
    that fits most of the face (``AffineFit``). Raises ValueError when a group is empty or sizes differ.
    """
    first, last = _mean(onset), _mean(apex)
    flow = skin_flow(first, last)
    u, v = flow[..., 0], flow[..., 1]
    return (np.stack([u, v, _strain(u, v)]) * oval(flow.shape[0])).astype(np.float32)


def skin_flow(first: Gray, last: Gray) -> Floats:
    """Motion from one aligned image to another without that of the head: float32 (S, S, 2) px, not faded out at the
    border of the face (``oval``). Raises ValueError when the images are not square and of one size."""
    if first.shape != last.shape or first.ndim != 2 or first.shape[0] != first.shape[1]:
        raise ValueError(f"onset and apex must be square images of one size, not {first.shape} and {last.shape}")
    flow: Floats = _dis().calc(first, last, None)
    flow -= _head(flow, oval(flow.shape[0]))
    return flow


# The feature id stored in every model. When a function computes something else, the number after the slash increases.
FEATURES: Final[dict[str, Callable[[Sequence[Gray], Sequence[Gray]], Floats]]] = {"flow-uvs/1": flow_uvs}


def recognizer_input(key_frames: KeyFrames, feature: str, size: int) -> Floats:
    """One sample for a recognizer, float32 (3, size, size): the only way to make one, here and in training.

    key_frames: of ``motion.ring.Ring``, as filled by ``motion.follow``. feature: a key of FEATURES. size: side in px;
    the motion is area-averaged, and stays in px of the aligned face.
    """
    motion = FEATURES[feature](key_frames.onset, key_frames.apex)
    if motion.shape[1] == size:
        return motion
    return np.stack([cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA) for plane in motion])


def _mean(pictures: Sequence[Gray]) -> Gray:
    if not pictures or any(p.shape != pictures[0].shape for p in pictures):
        raise ValueError("each side needs at least one image, all of one size")
    if len(pictures) == 1:
        return pictures[0]
    mean: Gray = np.rint(np.mean(np.asarray(pictures, np.float32), axis=0)).astype(np.uint8)
    return mean


def _dis() -> Any:
    # Flow at full resolution (finest scale 0) halves the error on known movements, but did not improve recognition.
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]  # stubs lack DIS


@lru_cache(maxsize=4)
def oval(side: int) -> Floats:
    """1 inside the face, 0 outside, float32 (side, side)."""
    grid = np.arange(side, dtype=np.float32) * (SIZE / side)
    cx, cy, a, b = OVAL
    radius = np.hypot((grid[None, :] - cx) / a, (grid[:, None] - cy) / b)
    mask: Floats = np.clip((1 - radius) / _EDGE, 0, 1).astype(np.float32)
    mask.setflags(write=False)
    return mask


def _head(flow: Floats, inside: Floats) -> Floats:
    """The affine part of ``flow`` (S, S, 2) that most of the face agrees on, same shape. inside: the ``oval``."""
    y, x = np.indices(inside.shape, dtype=np.float64)
    design = np.stack([x, y, np.ones_like(x)], axis=-1)
    every = np.zeros_like(inside, dtype=bool)
    every[::_STEP, ::_STEP] = True
    chosen = every & (inside > 0)
    points = design[chosen][:, :2]
    head = AffineFit(points, np.ones(len(points)), _ROUNDS).fit(flow[chosen]) - np.eye(2, 3)
    head_flow: Floats = (design @ head.T).astype(np.float32)
    return head_flow


def _strain(u: Floats, v: Floats) -> Floats:
    u, v = (cv2.GaussianBlur(part, (0, 0), _SMOOTH) for part in (u, v))
    uy, ux = np.gradient(u)
    vy, vx = np.gradient(v)
    strain: Floats = np.sqrt(ux**2 + vy**2 + (uy + vx) ** 2 / 2)
    return strain
