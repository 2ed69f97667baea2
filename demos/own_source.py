"""A source of your own: anything with these members goes wherever a camera or a file goes.

    python demos/own_source.py

Here the frames come from the generator of synthetic faces, which stands for your own device.
"""

from collections.abc import Iterator
from typing import Self

from realtime_mer import Frame, build, watch
from realtime_mer.records import SourceInfo, SourceStats
from realtime_mer.synth import MOVEMENTS, Pulse, Script, portrait, render

SMIRK = Pulse(MOVEMENTS["left smirk"], 1.8, 2.0, 2.14, 2.36)
SCRIPT = Script(duration=3.0, fps=60, pulses=(SMIRK,))


class DrawnFaces:
    """A ``realtime_mer.sources.Source``. ``live`` says that frames come at their own time and nobody waits for them."""

    def __init__(self) -> None:
        image, self._points = portrait()
        self._image, self._delivered, self._closed = image, 0, False
        self.info = SourceInfo("drawn", "array", False, (image.shape[1], image.shape[0]), SCRIPT.fps, "given")

    def __iter__(self) -> Iterator[Frame]:
        """Frames with strictly rising times in s, on one clock. ``lost`` counts those known missing before each."""
        for index, drawn in enumerate(render(SCRIPT, self._image, self._points)):
            if self._closed:
                return
            self._delivered += 1
            yield Frame(index, drawn.time, drawn.gray, drawn.to_bgr, lost=0)

    def stats(self) -> SourceStats:
        return SourceStats(captured=self._delivered, delivered=self._delivered)

    def close(self) -> None:
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> list[float]:
    """Returns the apex times of the micro-expressions."""
    with build() as pipeline, DrawnFaces() as source:
        return [e.movement.apex for seen in watch(source, pipeline) for e in seen.events if e.status == "confirmed"]


if __name__ == "__main__":
    for apex in main():
        print(f"a micro-expression with its apex at {apex:.3f} s")
