"""A camera, live: events are printed when they happen, and the rate that the camera really delivers.

python demos/webcam.py                     # camera 0, until Ctrl-C
python demos/webcam.py rtsp://camera/1 60  # a stream, for 60 s
python demos/webcam.py clip 20             # the bundled clip, played as a camera would deliver it
"""

import sys

from realtime_mer import MerError, build, open_source
from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.paced import PacedSource


def main(address: str = "0", seconds: float = float("inf"), clip: Clip | None = None) -> int:
    """Watches for ``seconds``; returns how many micro-expressions there were. Prints provisional ones too."""
    source = PacedSource(make(clip or Clip()), (clip or Clip()).fps) if address == "clip" else open_source(address)
    found, first, told = 0, None, 0.0
    with build(live=True) as pipeline, source:
        for observation in pipeline.run(source):
            now = observation.time
            first = now if first is None else first
            for event in observation.events:
                found += event.span.status == "confirmed"
                late = 1000 * (event.reported - event.span.apex)
                print(f"{event.span.status}: {event.span.kind} {event.span.reason} ({late:.0f} ms after its apex)")
            if now - told > 5:
                told = now
                print(f"{observation.fps:.1f} frames/s, {len(observation.faces)} faces", *observation.notes, sep="; ")
            if now - first > seconds:
                break
    return found


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2], *map(float, sys.argv[2:3]))
    except MerError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
