"""A sink and an observer of your own: events appended to a text file, and the time that each stage takes.

    python demos/own_sink.py [VIDEO]

A sink is written to at every frame, told the last events at the end, and closed in any case. It runs in the frame path:
what takes long belongs into a thread of its own.
"""

import sys
import time
from collections import Counter
from pathlib import Path

from realtime_mer import End, Event, Frame, MerError, Observation, build, open_source
from realtime_mer.bench.clips import Clip, make
from realtime_mer.observe import Stage
from realtime_mer.run import run
from realtime_mer.sinks import Sink


class Diary(Sink):
    """One line per micro-expression."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, observation: Observation, frame: Frame) -> None:  # noqa: ARG002  (the frame can be drawn or kept)
        self._note(observation.events)

    def end(self, end: End) -> None:
        self._note(end.events)

    def close(self) -> None:
        self._file.close()

    def _note(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if event.status == "confirmed":
                label = event.prediction.label if event.prediction else None
                self._file.write(f"frame {event.apex_frame}: {label or 'abstained'}\n")


class Seconds:
    """An observer: adds up what each stage takes. Stages of different threads overlap."""

    def __init__(self) -> None:
        self.spent: Counter[Stage] = Counter()
        self._began: dict[Stage, float] = {}

    def started(self, stage: Stage) -> None:
        self._began[stage] = time.perf_counter()

    def ended(self, stage: Stage) -> None:
        self.spent[stage] += time.perf_counter() - self._began[stage]


def main(video: str | None = None, diary: Path = Path("diary.txt")) -> Counter[Stage]:
    """Writes the diary; prints and returns the seconds by stage."""
    seconds = Seconds()
    with build(observers=[seconds]) as pipeline, open_source(video or make(Clip())) as source:
        run(source, pipeline, [Diary(diary)])
    print(", ".join(f"{stage} {spent:.2f} s" for stage, spent in seconds.spent.most_common()))
    return seconds.spent


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except MerError as error:
        sys.exit(str(error))
