"""Micro-expressions of a video file, printed as they are found.

python demos/video_file.py                 # the bundled synthetic clip, drawn at the first use
python demos/video_file.py interview.mp4
"""

import sys

from realtime_mer import MerError, build, open_source, watch
from realtime_mer.bench.clips import Clip, make


def main(video: str | None = None) -> int:
    """Prints one line per movement; returns how many micro-expressions there were."""
    found = 0
    with build() as pipeline, open_source(video or make(Clip())) as source:
        for seen in watch(source, pipeline):
            for event in seen.events:
                movement = event.movement
                if event.status == "confirmed":
                    found += 1
                    label = (event.prediction and event.prediction.label) or "abstained"
                    moved = ", ".join(cue.region for cue in event.cues)
                    print(f"{movement.onset:8.3f} s  {1000 * movement.duration:4.0f} ms  {label:10} {moved}")
                elif event.status == "rejected":
                    print(f"{movement.onset:8.3f} s  not one: {movement.kind}, {movement.reason}")
    return found


if __name__ == "__main__":
    try:
        print(f"{main(*sys.argv[1:2])} micro-expressions")
    except MerError as error:
        sys.exit(str(error))
