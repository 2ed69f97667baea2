"""FER: an emotion per frame. argv: VIDEO SECONDS."""

from fer.fer import FER
from timing import time_frames

detector = FER()
time_frames("decode, face box and seven emotions on every frame", "fer", detector.detect_emotions)
