"""Readers of published data sets: their layouts and annotation sheets in, ``train.records.Clip`` out.

Nothing here downloads, trains or splits. What a sheet leaves out or contradicts is reported by row, never guessed.
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
