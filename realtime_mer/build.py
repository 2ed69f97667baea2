"""Makes a pipeline from settings. The only module that knows which parts exist."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from realtime_mer.config import Config
from realtime_mer.observe import Observer
from realtime_mer.pipeline import Pipeline
from realtime_mer.spotting import MakeSpotter

NO_MODEL = "none"


def build(
    config: Config | None = None, *, spotter: MakeSpotter | None = None, observers: Sequence[Observer] = ()
) -> Pipeline:
    """Makes a pipeline with MediaPipe's face detector and the recognizer of ``config.classify``.

    spotter:   makes the spotter of each face (default: ``MovementDetector``).
    observers: called when each stage starts and ends.

    Use the pipeline in a ``with`` block, or close it. Raises ModelError if the face model or the recognizer is missing
    or unusable, DeviceError if the device is.

    Turns off OpenCV's own threads for the whole process: the images are so small that a second thread gains nothing,
    and would be missing for decoding and detection.
    """
    import cv2

    from realtime_mer.face import FaceCheck, FaceDetector
    from realtime_mer.recognize import load
    from realtime_mer.spotting.detector import MovementDetector

    cv2.setNumThreads(1)
    config = config or Config()
    recognizer = None
    if config.classify.model != NO_MODEL:
        recognizer = load(config.classify.model, config.classify.device)
    with ExitStack() as parts:
        most, score = config.faces.max_faces, config.faces.min_score
        detector = parts.enter_context(FaceDetector(max_faces=most, min_score=score))
        checker = parts.enter_context(FaceCheck(max_faces=most, min_score=score))
        return Pipeline(
            detector.detect,
            spotter or MovementDetector,
            recognizer,
            config,
            check=checker.check,
            observers=observers,
            close=parts.pop_all().close,
        )
