"""The protocol between ``run.py`` and a peer: a peer times its own frames and prints one line of JSON.

Runs inside the peer's virtual environment, so nothing of this project is imported.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any

import av


def decoded(path: str) -> Iterator[Any]:
    """The frames of a video as uint8 BGR (H, W, 3), repeated without end."""
    while True:
        with av.open(path) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="bgr24")


def time_frames(
    what: str,
    package: str,
    analyze: Callable[[Any], object],
    frames: Iterable[Any] | None = None,
    *,
    finds_faces: bool = True,
) -> None:
    """Runs ``analyze`` on frame after frame for argv[2] seconds, decoding included, and prints the result.

    The first two frames are not counted, as they load models. analyze returns a false value when it found no face.
    """
    video, seconds = sys.argv[1], float(sys.argv[2])
    source = iter(decoded(video) if frames is None else frames)
    for _ in range(2):
        analyze(next(source))
    count = found = 0
    wall, cpu = time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - wall) < seconds:
        found += bool(analyze(next(source)))
        count += 1
    used = time.process_time() - cpu
    print(
        "\n"
        + json.dumps(
            {
                "what": what,
                "version": f"{package} {version(package)}",
                "frames": count,
                "wall": took,
                "cpu": used,
                "faces": found / max(count, 1) if finds_faces else None,
            }
        )
    )
