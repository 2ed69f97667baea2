"""Cases for the spotting benchmark: real movements of CASME II transplanted into videos of other people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final

from realtime_mer.bench.spotting import Case
from realtime_mer.errors import SourceError
from realtime_mer.records import Frame
from realtime_mer.sources import open_source
from realtime_mer.synth.graft_plan import plan
from realtime_mer.synth.inject import Track, landmarks
from realtime_mer.synth.splice import RealClip
from realtime_mer.synth.transplant import Check, Graft, transplant, verify

SUFFIXES: Final = {".mp4", ".mov", ".avi", ".mkv", ".webm"}
PER_MINUTE: Final = 15.0  # one in 4 s


def from_transplants(
    folder: Path, clips: Sequence[RealClip], seed: int = 1, per_minute: float = PER_MINUTE, back_s: float = 0.4
) -> list[Case]:
    """A case for each video below ``folder`` that takes at least one of ``clips``; see ``graft_plan.plan``.

    The same seed gives the same clips at the same times only for the same ``back_s``, because a slower return delays
    the next clip. Raises SourceError when ``folder`` holds no video.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SourceError(f"no videos in {folder}")
    return list(cases(paths, clips, seed, per_minute, back_s))


def cases(
    paths: Iterable[Path], clips: Sequence[RealClip], seed: int, per_minute: float, back_s: float
) -> Iterator[Case]:
    """As ``from_transplants``, for the videos at ``paths``. Those without a face, or too short, are left out."""
    for path, track, grafts in _planned(paths, clips, seed, per_minute, back_s):
        yield Case(path.name, partial(_grafted, path, track, grafts), tuple(graft.truth for graft in grafts))


def checks(
    paths: Iterable[Path], clips: Sequence[RealClip], seed: int, per_minute: float, back_s: float
) -> Iterator[tuple[Path, Check]]:
    """Measures each transplant of ``cases`` again in the carrier (``transplant.verify``)."""
    for path, track, grafts in _planned(paths, clips, seed, per_minute, back_s):
        with open_source(path) as source:
            for check in verify(source, track, grafts):
                yield path, check


def _planned(
    paths: Iterable[Path], clips: Sequence[RealClip], seed: int, per_minute: float, back_s: float
) -> Iterator[tuple[Path, Track, list[Graft]]]:
    for number, path in enumerate(paths):
        try:
            track = _track(path)
        except SourceError:
            continue  # not a video, or an empty one
        if grafts := plan(track, clips, seed + number, per_minute, back_s):
            yield path, track, grafts


def _grafted(path: Path, track: Track, grafts: Sequence[Graft]) -> Iterator[Frame]:
    with open_source(path) as source:
        yield from transplant(source, track, grafts)


@cache
def _track(path: Path) -> Track:
    """Landmarks in every frame, which serve every seed and rate; takes about 10 ms per frame."""
    with open_source(path) as source:
        return landmarks(source)
