"""Where the faces are, which points mark them and whose they are. How a face moves is ``motion``'s affair."""

from realtime_mer.face.check import FaceCheck
from realtime_mer.face.detect import FaceDetector
from realtime_mer.face.track import FaceTracks

__all__ = ["FaceCheck", "FaceDetector", "FaceTracks"]
