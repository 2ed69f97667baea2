"""How long a frame takes, and how long after its apex an event is reported. `realtime-mer bench` measures much more.

python demos/latency.py [VIDEO]
"""

import sys
import time

import numpy as np

from realtime_mer import MerError, build, open_source
from realtime_mer.bench.clips import Clip, make

WARM_UP = 50  # frames: models are loaded and caches filled


def main(video: str | None = None) -> dict[str, float]:
    """Prints and returns p50, p95, p99 and the maximum in ms."""
    spent, late = [], []
    with build() as pipeline, open_source(video or make(Clip())) as source:
        for frame in source:
            began = time.perf_counter()
            observation = pipeline.push(frame)
            spent.append(1000 * (time.perf_counter() - began))
            late += [1000 * (e.reported - e.movement.apex) for e in observation.events if not e.final]
    result = dict(zip(("p50", "p95", "p99"), np.percentile(spent[WARM_UP:], (50, 95, 99)).round(2), strict=True))
    result["max"] = round(max(spent[WARM_UP:]), 2)
    print(f"{len(spent)} frames:", ", ".join(f"{name} {value:.2f} ms" for name, value in result.items()))
    if late:
        print(f"{len(late)} movements, noticed {np.median(late):.0f} ms after their apex (median, of video time)")
    return result


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except MerError as error:
        sys.exit(str(error))
