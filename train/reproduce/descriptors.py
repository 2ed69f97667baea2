"""Three hand-made descriptors of a clip, and a linear SVM on them: the baselines of the challenge of 2018.

As in Davison, Merghani and Yap (arXiv 1708.07549): the clip from onset to offset, 5 x 5 blocks of the face. What they
do not state (the bins of HOG3D, the flow of HOOF, the SVM's constant) is given with each function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from realtime_mer.progress import tracked
from train import cache
from train.datasets.reading import load_image
from train.protocols import Fold
from train.records import Clip

Volume = NDArray[np.uint8]  # (T, H, W), gray
Values = NDArray[np.float64]

VERSION: Final = 1
BLOCKS: Final = 5
SIDE: Final = 160  # px to which a face is scaled
STEP: Final = 4  # frames between the points of LBP-TOP's planes in time, at 200 frames/s
TURNS: Final = 8  # bins of direction in the image
SLOPES: Final = 3  # bins of direction in time


def lbp_top(volume: Volume) -> Values:
    """Local binary patterns on three orthogonal planes (Zhao and Pietikäinen 2007): 4 neighbors, radii 1, 1 and STEP.

    (25 x 3 x 16,): a histogram of each block and plane, each summing to 1.
    """
    padded = np.pad(volume.astype(np.int16), ((STEP, STEP), (1, 1), (1, 1)), mode="edge")
    t, y, x = volume.shape

    def moved(dt: int, dy: int, dx: int) -> NDArray[np.int16]:
        return padded[STEP + dt : STEP + dt + t, 1 + dy : 1 + dy + y, 1 + dx : 1 + dx + x]

    planes = (
        ((0, 0, 1), (0, -1, 0), (0, 0, -1), (0, 1, 0)),
        ((0, 0, 1), (-STEP, 0, 0), (0, 0, -1), (STEP, 0, 0)),
        ((0, 1, 0), (-STEP, 0, 0), (0, -1, 0), (STEP, 0, 0)),
    )
    found = []
    for neighbors in planes:
        codes = np.zeros(volume.shape, np.int64)
        for bit, shift in enumerate(neighbors):
            codes |= (moved(*shift) >= moved(0, 0, 0)).astype(np.int64) << bit
        found.append(_histograms(codes, None, 16))
    return np.concatenate(found, axis=1).ravel()


def hoof(volume: Volume) -> Values:
    """Histograms of oriented optical flow (Chaudhry et al. 2009), Farnebäck's, from each frame to the next but STEP.

    (25 x TURNS,): weighted by length, each block summing to 1.
    """
    flows = []
    for first in range(max(1, len(volume) - STEP)):
        last = min(first + STEP, len(volume) - 1)
        flows.append(cv2.calcOpticalFlowFarneback(volume[first], volume[last], None, 0.5, 3, 15, 3, 5, 1.2, 0))
    flow = np.stack(flows)
    bins, length = _turns(flow[..., 0], flow[..., 1])
    return _histograms(bins, length, TURNS).ravel()


def hog3d(volume: Volume) -> Values:
    """Histograms of gradients in image and time (after Kläser et al. 2008), TURNS directions by SLOPES in time.

    (25 x TURNS x SLOPES,): weighted by length, each block summing to 1. Kläser's have the faces of an icosahedron.
    """
    values = np.pad(volume.astype(np.float32), ((0, max(0, 2 - len(volume))), (0, 0), (0, 0)), mode="edge")
    dt, dy, dx = (np.asarray(slope) for slope in np.gradient(values))
    turns, flat = _turns(dx, dy)
    slope = np.arctan2(dt, flat + 1e-6) / np.pi + 0.5  # 0 to 1
    steps = np.minimum((slope * SLOPES).astype(np.int64), SLOPES - 1)
    return _histograms(turns * SLOPES + steps, np.hypot(flat, dt), TURNS * SLOPES).ravel()


DESCRIPTORS: Final[dict[str, Callable[[Volume], Values]]] = {"LBP-TOP": lbp_top, "HOOF": hoof, "HOG3D": hog3d}


def described(name: str, clips: Sequence[Clip], folder: Path, quiet: bool = False) -> Values:
    """The descriptor of each clip from onset to offset, (N, D); cached in ``folder``. Raises DataError."""
    file = folder / f"{name.lower()}-{cache.key([VERSION, name, SIDE, STEP, TURNS, SLOPES], clips)}.npz"
    if file.exists():
        with np.load(file, allow_pickle=False) as stored:
            return np.asarray(stored["x"])
    x = np.stack([DESCRIPTORS[name](volume(clip)) for clip in tracked(clips, name, quiet=quiet)])
    cache.save(file, x=x)
    return x


def volume(clip: Clip) -> Volume:
    """The clip from onset to offset, or all of it if they are not annotated. Raises DataError."""
    first = 0 if clip.onset is None else clip.onset
    last = len(clip.frames) - 1 if clip.offset is None else clip.offset
    gray = (load_image(path, gray=True) for path in clip.frames[first : last + 1])
    faces = [cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in gray]
    return np.stack(faces).astype(np.uint8)


def answers(x: Values, y: NDArray[np.int64], fold: Fold) -> NDArray[np.int64]:
    """The classes of the tested clips of a fold, by a linear SVM (C = 1) on standardized values."""
    machine: Any = make_pipeline(StandardScaler(), SVC(kernel="linear", C=1.0))
    machine.fit(x[list(fold.train)], y[list(fold.train)])
    return np.asarray(machine.predict(x[list(fold.test)]))


def _turns(dx: NDArray[Any], dy: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Direction in the image as one of TURNS bins, and length."""
    turn = (np.arctan2(dy, dx) / (2 * np.pi)) % 1.0
    return np.minimum((turn * TURNS).astype(np.int64), TURNS - 1), np.hypot(dx, dy).astype(np.float64)


def _histograms(codes: NDArray[np.int64], weights: NDArray[np.float64] | None, bins: int) -> Values:
    """Histograms (25, bins) of codes (T, H, W) by blocks of the image, each row summing to 1."""
    _, height, width = codes.shape
    rows = np.arange(height) * BLOCKS // height
    columns = np.arange(width) * BLOCKS // width
    block = rows[:, None] * BLOCKS + columns[None, :]
    places = (block[None] * bins + codes).ravel()
    counts = np.bincount(places, None if weights is None else weights.ravel(), BLOCKS * BLOCKS * bins)
    found = counts.reshape(BLOCKS * BLOCKS, bins).astype(np.float64)
    return found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12)
