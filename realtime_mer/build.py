"""From settings to a pipeline: the only place that knows which parts there are."""

from __future__ import annotations

from realtime_mer.config import Config
from realtime_mer.pipeline import Pipeline

NO_MODEL = "none"


def build(config: Config | None = None, *, live: bool = False) -> Pipeline:
    """A pipeline with MediaPipe's face detector and the recogniser that ``config.classify`` names.

    live: for pushing frames of a camera; ``Pipeline.run`` takes it from its source. Use it in a ``with`` block, or
    close it. Raises ModelError when the face model or the recogniser is missing or unusable, DeviceError when the
    device is.

    OpenCV's own threads are turned off for the whole process: the pictures here are so small that handing halves of
    them to another thread gains nothing, and takes that thread from the decoder and the detector.
    """
    import cv2

    from realtime_mer.face import FaceDetector
    from realtime_mer.recognise import load

    cv2.setNumThreads(1)
    config = config or Config()
    recogniser = None
    if config.classify.model != NO_MODEL:
        recogniser = load(config.classify.model, config.classify.device)
    detector = FaceDetector(max_faces=config.faces.max_faces, min_score=config.faces.min_score)
    return Pipeline(detector.detect, recogniser, config, live=live, close=detector.close)
