"""Synthetic recordings with exactly known events, for the demo clip, tests and benchmarks.

from realtime_mer.synth import portrait, random_script, render

script = random_script(seed=1, duration=30, fps=200)
for frame in render(script, *portrait()):
    ...
script.truth()
"""

from realtime_mer.synth.chance import Density, random_script
from realtime_mer.synth.demo import demo_clip, demo_script
from realtime_mer.synth.inject import clear, inject, landmarks
from realtime_mer.synth.movements import MOVEMENTS, Movement, Pulse, movement
from realtime_mer.synth.portrait import portrait
from realtime_mer.synth.render import render
from realtime_mer.synth.script import Blink, Camera, Script, Sway, Talk, Truth, Turn
from realtime_mer.synth.video import read_truth, write_truth, write_video

__all__ = [
    "MOVEMENTS",
    "Blink",
    "Camera",
    "Density",
    "Movement",
    "Pulse",
    "Script",
    "Sway",
    "Talk",
    "Truth",
    "Turn",
    "clear",
    "demo_clip",
    "demo_script",
    "inject",
    "landmarks",
    "movement",
    "portrait",
    "random_script",
    "read_truth",
    "render",
    "write_truth",
    "write_video",
]
