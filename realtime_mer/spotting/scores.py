"""Scores of spotting: found movements against annotated ones. Used by the benchmark and by training.

Times may be seconds or frame numbers, as long as both sides use the same. Scores of recognition alone are in
``train.metrics``; nothing here reads files.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from realtime_mer.errors import DataError

IOU: Final = 0.5  # a hit overlaps by half or more (MEGC 2019 to 2025)


@dataclass(frozen=True, slots=True)
class Movement:
    """One annotated or found movement in one video. onset <= apex <= offset; ``label`` None: abstained.

    DataError when onset and offset are not an interval."""

    video: str
    onset: float
    offset: float
    apex: float | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.onset) and math.isfinite(self.offset) and self.onset <= self.offset):
            raise DataError(f"movement in {self.video!r}: {self.onset} to {self.offset} is not an interval")


@dataclass(frozen=True, slots=True)
class SpottingScores:
    """Counts pooled over all videos, and the time errors of the hits.

    hits: found movements that match one annotated movement each. false_alarms: found, matching none. missed: annotated,
    not found. onset_error, apex_error, offset_error: median absolute errors of the hits in the unit of the times, None
    when there is no hit (or no apex on both sides). minutes: length of all videos, 0 when unknown.
    """

    hits: int
    false_alarms: int
    missed: int
    onset_error: float | None
    apex_error: float | None
    offset_error: float | None
    minutes: float = 0.0

    @property
    def precision(self) -> float:
        """Hits among the found; 0 when nothing was found."""
        return self.hits / (self.hits + self.false_alarms) if self.hits + self.false_alarms else 0.0

    @property
    def recall(self) -> float:
        """Hits among the annotated; 0 when nothing was annotated."""
        return self.hits / (self.hits + self.missed) if self.hits + self.missed else 0.0

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), pooled over videos; 0 without annotations and found movements."""
        total = 2 * self.hits + self.false_alarms + self.missed
        return 2 * self.hits / total if total else 0.0

    @property
    def false_alarms_per_minute(self) -> float | None:
        """None when the length of the videos is unknown."""
        return self.false_alarms / self.minutes if self.minutes > 0 else None


def overlap(a: Movement, b: Movement, sample: float = 0.0) -> float:
    """Intersection over union of two movements, 0 to 1.

    sample: the length of one sample, to be added to every interval: 1 for frame numbers whose last frame is included,
    0 for instants in time.
    """
    shared = min(a.offset, b.offset) - max(a.onset, b.onset) + sample
    union = (a.offset - a.onset + sample) + (b.offset - b.onset + sample) - max(shared, 0.0)
    if union <= 0:  # two instants
        return float(a.onset == b.onset)
    return max(shared, 0.0) / union


def match(
    truth: Sequence[Movement], found: Sequence[Movement], iou: float = IOU, sample: float = 0.0
) -> list[tuple[int, int]]:
    """Pairs (position in truth, position in found), one to one, within a video, overlapping by ``iou`` or more.

    Each pair in turn has the best remaining overlap (ties: the earlier positions), so a second report of one annotated
    movement is a false alarm. Sorted by the position in truth.
    """
    by_video: dict[str, list[int]] = defaultdict(list)
    for j, movement in enumerate(found):
        by_video[movement.video].append(j)
    candidates = [
        (-value, i, j)
        for i, movement in enumerate(truth)
        for j in by_video[movement.video]
        if (value := overlap(movement, found[j], sample)) >= iou
    ]
    pairs: list[tuple[int, int]] = []
    used_truth: set[int] = set()
    used_found: set[int] = set()
    for _, i, j in sorted(candidates):
        if i not in used_truth and j not in used_found:
            used_truth.add(i)
            used_found.add(j)
            pairs.append((i, j))
    return sorted(pairs)


def spotting(
    truth: Sequence[Movement],
    found: Sequence[Movement],
    minutes: float = 0.0,
    iou: float = IOU,
    sample: float = 0.0,
) -> SpottingScores:
    """Scores pooled over all videos. ``sample`` as in ``overlap``; ``minutes``: total length of the videos."""
    pairs = match(truth, found, iou, sample)
    apexes = [abs(a - b) for i, j in pairs if (a := truth[i].apex) is not None and (b := found[j].apex) is not None]
    return SpottingScores(
        hits=len(pairs),
        false_alarms=len(found) - len(pairs),
        missed=len(truth) - len(pairs),
        onset_error=_median([abs(truth[i].onset - found[j].onset) for i, j in pairs]),
        apex_error=_median(apexes),
        offset_error=_median([abs(truth[i].offset - found[j].offset) for i, j in pairs]),
        minutes=minutes,
    )


def recognition_f1(
    truth: Sequence[Movement], found: Sequence[Movement], iou: float = IOU, sample: float = 0.0
) -> float:
    """Macro F1 of the labels over the hits, over the classes that occur among them; 0 without hits.

    Only hits whose annotation has a label count; one without a found label (abstained) is wrong for its class.
    """
    pairs = [
        (truth[i].label, found[j].label) for i, j in match(truth, found, iou, sample) if truth[i].label is not None
    ]
    if not pairs:
        return 0.0
    true, said = Counter(t for t, _ in pairs), Counter(f for _, f in pairs)
    right = Counter(t for t, f in pairs if t == f)
    return sum(2 * right[label] / (true[label] + said[label]) for label in true) / len(true)


def strs(truth: Sequence[Movement], found: Sequence[Movement], iou: float = IOU, sample: float = 0.0) -> float:
    """Spot-then-recognize score: F1 of spotting times macro F1 of recognition on the hits (MEAN, 2023; MEGC since)."""
    return spotting(truth, found, iou=iou, sample=sample).f1 * recognition_f1(truth, found, iou, sample)


def _median(values: Sequence[float]) -> float | None:
    return float(median(values)) if values else None
