"""py-feat: faces, landmarks, action units, emotions per frame. argv: VIDEO SECONDS."""

import torch
from feat import Detectorv1
from timing import time_frames

detector = Detectorv1(device="cpu")


def analyze(bgr):
    rgb = torch.from_numpy(bgr[:, :, ::-1].copy()).permute(2, 0, 1)
    return len(detector.detect(rgb[None], data_type="tensor", progress_bar=False))


time_frames("decode, face, landmarks, pose, 20 action units, emotions on every frame", "py-feat", analyze)
