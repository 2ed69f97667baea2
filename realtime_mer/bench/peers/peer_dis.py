"""OpenCV's DIS optical flow (fast preset) between neighboring whole frames. argv: VIDEO SECONDS."""

import cv2
from timing import time_frames

flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
previous = None


def analyze(bgr):
    global previous
    gray = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    if previous is not None:
        flow.calc(previous, gray, None)
    previous = gray


what = "decode, dense flow from frame to frame; no face, no events"
time_frames(what, "opencv-python", analyze, finds_faces=False)
