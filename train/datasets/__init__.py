"""Readers of published data sets: from their folders and annotation sheets to ``train.records.Clip``.

Nothing here downloads, trains or splits. Missing or contradictory entries are reported by row, never guessed.
"""

from train.datasets.catalog import DATASETS, Dataset, find_root, find_sheets, read, read_below
from train.datasets.reading import Problem, Reading, load_image

__all__ = [
    "DATASETS",
    "Dataset",
    "Problem",
    "Reading",
    "find_root",
    "find_sheets",
    "load_image",
    "read",
    "read_below",
]
