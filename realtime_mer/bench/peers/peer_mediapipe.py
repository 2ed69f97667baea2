"""MediaPipe Face Landmarker on every frame, in its video mode, as in its own guide. argv: VIDEO SECONDS MODEL."""

import itertools
import sys

import cv2
import mediapipe as mp
from timing import time_frames

options = mp.tasks.vision.FaceLandmarkerOptions(
    base_options=mp.tasks.BaseOptions(model_asset_path=sys.argv[3]),
    running_mode=mp.tasks.vision.RunningMode.VIDEO,
    num_faces=1,
)
milliseconds = itertools.count(0, 10)
with mp.tasks.vision.FaceLandmarker.create_from_options(options) as landmarker:

    def analyze(bgr):
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
        return landmarker.detect_for_video(image, next(milliseconds)).face_landmarks

    time_frames("decode, 478 landmarks on every frame; no motion, no events", "mediapipe", analyze)
