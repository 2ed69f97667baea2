"""A camera, live: events are printed when they happen, and the rate that the camera really delivers.

python demos/webcam.py                     # camera 0, until Ctrl-C
python demos/webcam.py rtsp://camera/1 60  # a stream, for 60 s
python demos/webcam.py clip 20             # the bundled clip, played as a camera would deliver it
"""

import sys

from realtime_mer import MerError, Observation, build, open_source, watch
from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.paced import PacedSource


def main(address: str = "0", seconds: float = float("inf"), clip: Clip | None = None) -> int:
    """Watches for ``seconds``; returns how many micro-expressions there were. Prints provisional ones too."""
    source = PacedSource(make(clip or Clip()), (clip or Clip()).fps) if address == "clip" else open_source(address)
    found, first, told = 0, None, 0.0
    with build() as pipeline, source:
        for seen in watch(source, pipeline):
            for event in seen.events:
                found += event.status == "confirmed"
                late = 1000 * (event.reported - event.movement.apex)
                print(f"{event.status}: {event.movement.kind} {event.movement.reason} ({late:.0f} ms after its apex)")
            if not isinstance(seen, Observation):
                break  # the end of the source
            first = seen.time if first is None else first
            if seen.time - told > 5:
                told = seen.time
                print(f"{seen.fps:.1f} frames/s, {len(seen.faces)} faces", *seen.notes, sep="; ")
            if seen.time - first > seconds:
                source.close()  # what is still open is reported, then the loop ends
    return found


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2], *map(float, sys.argv[2:3]))
    except MerError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
