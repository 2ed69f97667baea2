"""DeepFace: an emotion per frame, with its fastest face detector. argv: VIDEO SECONDS."""

from deepface import DeepFace
from timing import time_frames


def analyze(bgr):
    return DeepFace.analyze(bgr, actions=["emotion"], detector_backend="opencv", enforce_detection=False, silent=True)


time_frames("decode, face box and seven emotions on every frame", "deepface", analyze)
