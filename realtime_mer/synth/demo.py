"""The bundled clip: a fixed script drawn on the demo portrait. Made at set-up, never stored in the project."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from realtime_mer.synth.movements import MOVEMENTS, Pulse
from realtime_mer.synth.portrait import portrait
from realtime_mer.synth.render import render
from realtime_mer.synth.script import Blink, Camera, Script, Sway, Truth
from realtime_mer.synth.video import write_truth, write_video

RATE: Final = 100.0  # frames/s: enough for ten frames in a micro-expression of 0.1 s, and the clip is made in seconds


def demo_script(fps: float = RATE) -> Script:
    """20 s with six micro-expressions, two macro-expressions and four blinks of a gently swaying head."""
    return Script(
        duration=20.0,
        fps=fps,
        seed=7,
        pulses=(
            Pulse(MOVEMENTS["inner brow raise"], 1.6, 3.00, 3.12, 3.30),
            Pulse(MOVEMENTS["left smirk"], 1.8, 5.20, 5.36, 5.60),
            Pulse(MOVEMENTS["brow lower"], 1.5, 7.80, 7.92, 8.10),
            Pulse(MOVEMENTS["smile"], 3.5, 9.60, 10.20, 11.60, hold=0.5),
            Pulse(MOVEMENTS["upper lip raise"], 1.4, 13.00, 13.10, 13.28),
            Pulse(MOVEMENTS["lip corners down"], 1.6, 14.70, 14.88, 15.14),
            Pulse(MOVEMENTS["brow raise"], 3.0, 16.00, 16.40, 17.30, hold=0.3),
            Pulse(MOVEMENTS["smile"], 1.5, 18.60, 18.76, 19.00),
        ),
        blinks=(
            Blink(4.30, 4.38, 4.52),
            Blink(6.70, 6.78, 6.90),
            Blink(12.10, 12.19, 12.35),
            Blink(17.75, 17.83, 17.96),
        ),
        sway=Sway(),
        camera=Camera(),
    )


def demo_clip(path: Path, fps: float = RATE, codec: str = "h264") -> list[Truth]:
    """Writes the clip to ``path`` and its ground truth beside it (``path`` with .truth.json); returns the truth.

    Raises SourceError without scikit-image, ModelError without the face model, OutputError when it cannot be written.
    """
    script = demo_script(fps)
    write_video(render(script, *portrait()), path, codec)
    truth = script.truth()
    write_truth(truth, path.with_suffix(".truth.json"))
    return truth
