"""A made-up MEGC2019 tree, for the tests of whole training commands."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np


def megc2019(data: Path) -> None:
    """3 subjects of 6 clips below ``data``, random maps, in the published layout."""
    random = np.random.default_rng(0)
    root = data / "megc2019"
    (root / "STSNet_whole_norm_u_v_os").mkdir(parents=True)
    with (root / "combined_3_class2_for_optical_flow.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "sub", "filename_o", "label", "apex", "imagename", "sub_filename"])
        for s in range(1, 4):
            for k in range(6):
                name = f"sub{s:02d}_EP{k:02d}"
                writer.writerow(["casme2", f"sub{s:02d}", f"EP{k:02d}", k % 3, "", f"{name}.jpg", ""])
                image = random.integers(0, 255, (28, 28, 3), np.uint8)
                cv2.imwrite(str(root / "STSNet_whole_norm_u_v_os" / f"{name}.png"), image)
