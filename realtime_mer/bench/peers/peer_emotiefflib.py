"""EmotiEffLib (EfficientNet-B0 on ONNX Runtime): an emotion per frame of a cropped face.

It has no face detector; it gets the middle of the frame, at no cost. argv: VIDEO SECONDS.
"""

from emotiefflib.facial_analysis import EmotiEffLibRecognizer
from timing import time_frames

recognizer = EmotiEffLibRecognizer(engine="onnx", model_name="enet_b0_8_best_vgaf", device="cpu")


def analyze(bgr):
    height, width = bgr.shape[:2]
    face = bgr[:, (width - height) // 2 : (width + height) // 2, ::-1].copy()
    return len(recognizer.predict_emotions(face, logits=False)[0])


time_frames("decode, eight emotions of a face that was found beforehand", "emotiefflib", analyze)
