"""Finds faces: detection, landmarks, tracks, alignment. ``motion`` measures how a face moves."""

from realtime_mer.face.check import FaceCheck
from realtime_mer.face.detect import FaceDetector
from realtime_mer.face.track import FaceTracks

__all__ = ["FaceCheck", "FaceDetector", "FaceTracks"]
