"""Frames from anywhere: a camera's own SDK, a game engine, a simulation. You bring pictures and their capture times.

    python demos/push_your_own_frames.py

Here the pictures come from the generator of synthetic faces, which stands for your own source.
"""

from collections.abc import Iterator

import numpy as np

from realtime_mer import Frame, build
from realtime_mer.synth import MOVEMENTS, Pulse, Script, portrait, render


def my_camera() -> Iterator[tuple[float, np.ndarray]]:
    """Capture times in seconds, strictly rising, and gray pictures, uint8 (H, W)."""
    pulse = Pulse(MOVEMENTS["left smirk"], 1.8, 2.0, 2.14, 2.36)
    for frame in render(Script(duration=3.0, fps=60, pulses=(pulse,)), *portrait()):
        yield frame.time, frame.gray


def main() -> list[float]:
    """Returns the apex times of the micro-expressions."""
    apexes = []
    with build() as pipeline:
        for index, (time, gray) in enumerate(my_camera()):
            # For a live camera call pipeline.begin(live=True) first: then a frame never waits.
            # A color camera also passes to_bgr=lambda: picture, which is called only when someone draws.
            events = pipeline.push(Frame(index, time, gray)).events
            apexes += [e.movement.apex for e in events if e.status == "confirmed"]
        apexes += [e.movement.apex for e in pipeline.finish().events if e.status == "confirmed"]
    return apexes


if __name__ == "__main__":
    for apex in main():
        print(f"a micro-expression with its apex at {apex:.3f} s")
