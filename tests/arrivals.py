"""Simulated arrivals of a camera's frames over a network, with the number of frames that were really lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BURST_GAP_S = 2e-4  # between two frames of one burst
LONGEST_STALL = 60  # frames


@dataclass(frozen=True)
class Network:
    """burst: frames delivered at once. jitter: most that a burst is late, intervals. loss: share of frames lost at
    random. stalls: how many, each of 5 to 60 frames, which are lost or ("late") all come when it is over.
    slower: from the middle on the camera takes half as many frames. timed: bursts are so many intervals long, instead
    of so many frames that were not lost.
    """

    burst: int = 1
    jitter: float = 0.0
    loss: float = 0.0
    stalls: int = 0
    late: bool = False
    slower: bool = False
    timed: bool = False


def arrivals(network: Network, seed: int, frames: int = 2000, fps: float = 30.0) -> tuple[NDArray[np.float64], int]:
    """The times at which frames arrive, s, and how many were lost between the end of the first burst and the last."""
    random = np.random.default_rng(seed)
    interval = np.full(frames, 1 / fps)
    if network.slower:
        interval[frames // 2 :] *= 2
    taken = np.cumsum(interval)
    kept = random.random(frames) >= network.loss
    kept[0] = True
    starts = [
        int((number + 0.5 + 0.5 * random.random()) * frames / (network.stalls + 1)) for number in range(network.stalls)
    ]
    stalls = [(start, start + int(random.integers(5, LONGEST_STALL))) for start in starts]
    if not network.late:
        for start, end in stalls:
            kept[start:end] = False
    (numbers,) = kept.nonzero()
    bursts = numbers // network.burst if network.timed else np.arange(len(numbers)) // network.burst
    came = np.empty(len(numbers))
    for burst in np.unique(bursts):
        (members,) = (bursts == burst).nonzero()
        last = numbers[members[-1]]
        came[members] = taken[last] + random.random() * network.jitter * interval[last]
    if network.late:
        for start, end in stalls:
            first, after = np.searchsorted(numbers, (start, end))
            held = slice(first, min(after, len(came)))
            came[held] = np.maximum(came[held], came[held.stop - 1])
    for index in range(1, len(came)):
        came[index] = max(came[index], came[index - 1] + BURST_GAP_S)
    seen = int((bursts == bursts[0]).nonzero()[0][-1])
    return came, int(numbers[-1] - numbers[seen]) - (len(numbers) - 1 - seen)
