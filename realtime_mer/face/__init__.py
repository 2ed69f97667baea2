"""Where the faces are: detection, landmarks, tracks, alignment. How a face moves is measured in ``motion``."""

from realtime_mer.face.check import FaceCheck
from realtime_mer.face.detect import FaceDetector
from realtime_mer.face.track import FaceTracks

__all__ = ["FaceCheck", "FaceDetector", "FaceTracks"]
