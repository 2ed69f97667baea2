"""The recordings of ``bench spotting``: where they come from, and the known events in them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final

from realtime_mer.bench.spotting import Case
from realtime_mer.errors import SourceError
from realtime_mer.records import Frame
from realtime_mer.sources import open_source
from realtime_mer.synth import (
    Camera,
    Density,
    Pulse,
    Sway,
    Truth,
    clear,
    inject,
    landmarks,
    portrait,
    random_script,
    render,
    write_video,
)
from realtime_mer.synth.inject import Track
from realtime_mer.synth.script import Script
from realtime_mer.synth.splice import RealClip, read_casme2, streams

VIDEO_SUFFIXES: Final = {".mp4", ".mov", ".avi", ".mkv", ".webm"}
PULSES: Final = 20.0  # injected per minute, one every 3 s
PER_STREAM: Final = 3  # clips of CASME II in a stream


def synthetic(seconds: float, seed: int = 1) -> Iterator[tuple[str, list[Case]]]:
    """Conditions of the portrait: each changes one thing in the base (200 frames/s, pulses of 0.5 to 3 px)."""
    base = Density(micro=12, macro=2, blinks=12)
    plain = Density(micro=15, macro=0, blinks=0)

    def case(fps: float = 200, density: Density = base, sway: Sway | None = None, camera: Camera | None = None) -> Case:
        script = random_script(seed, seconds, fps, density, sway, camera)
        return Case("portrait", partial(_drawn, script), tuple(script.truth()))

    yield "base: 200 frames/s, 0.5-3 px, blinks, macro", [case()]
    for fps in (24, 30, 60, 100, 240):
        yield f"{fps} frames/s", [case(fps)]
    for peak in (0.3, 0.5, 1.0, 2.0, 3.0):
        yield f"{peak} px", [case(density=replace(plain, peak=(peak, peak)))]
    for length in (0.1, 0.2, 0.45):
        yield f"{length} s long", [case(density=replace(plain, micro_duration=(length, length)))]
    for factor in (0, 2, 3):
        still = Sway()
        sway = replace(
            still,
            **{k: factor * getattr(still, k) for k in ("shift", "roll", "yaw", "pitch", "scale")},
        )
        yield f"head motion x {factor}", [case(sway=sway)]
    yield "speech and head turns", [case(density=Density(micro=9, macro=0, blinks=6, talks=5, turns=5))]
    for noise in (0.0, 4.0, 8.0):
        yield f"sensor noise {noise:g} gray levels", [case(camera=Camera(noise=noise))]
    for quality in (18, 28, 36):
        plain_case = case()
        yield (
            f"H.264 at CRF {quality}",
            [replace(plain_case, frames=partial(_compressed, plain_case.frames, quality))],
        )


def _drawn(script: Script) -> Iterator[Frame]:
    return render(script, *portrait())


def _compressed(frames: Callable[[], Iterable[Frame]], quality: int) -> Iterator[Frame]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.mp4"
        write_video(frames(), path, "h264", quality)
        yield from _played(path)


def _played(path: Path) -> Iterator[Frame]:
    with open_source(path) as source:
        yield from source


def videos_below(folder: Path) -> list[Path]:
    """Raises SourceError when there are none."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise SourceError(f"no videos in {folder}")
    return paths


def negatives(folder: Path) -> list[Case]:
    """Every video below ``folder``, unchanged. Those in one subfolder show one person (or belong to one video).

    Raises SourceError when there are none.
    """
    return [Case(path.name, partial(_played, path), subject=unit(path, folder)) for path in videos_below(folder)]


def from_videos(folder: Path, peak: float | None, seed: int = 1) -> list[Case]:
    """Every video below ``folder``: unchanged (peak None), or with pulses of ``peak`` px injected where there is a
    face."""
    if peak is None:
        return negatives(folder)
    return [
        replace(case, subject=unit(path, folder))
        for n, path in enumerate(videos_below(folder))
        if (case := _with_pulses(path, peak, seed + n)) is not None
    ]


def unit(path: Path, folder: Path) -> str:
    """The unit of a recording: its subfolder of ``folder``, otherwise the recording itself."""
    return path.relative_to(folder).parts[0]


def _with_pulses(path: Path, peak: float, seed: int) -> Case | None:
    try:
        track = _track(path)
    except SourceError:
        return None
    duration = track[-1][0] if track else 0.0
    if duration < 4:  # s to learn the resting face, and for one pulse
        return None
    density = Density(micro=PULSES, macro=0, blinks=0, peak=(peak, peak))
    pulses = clear(track, random_script(seed, duration, 30, density).pulses)
    truth = tuple(Truth(p.kind, p.onset, p.apex, p.offset, p.movement.name, peak=p.peak) for p in pulses)
    return Case(path.name, partial(_injected, path, pulses), truth)


def _injected(path: Path, pulses: Sequence[Pulse]) -> Iterator[Frame]:
    return inject(_played(path), _track(path), pulses)


@cache
def _track(path: Path) -> Track:
    """Landmarks in every frame, which serve pulses of every size. Cached in each process; too large to send."""
    with open_source(path) as source:
        return landmarks(source)


def from_casme2(frames: Path, table: Path, subjects: Sequence[str], seed: int = 1) -> list[Case]:
    """Streams spliced from the real clips of ``subjects`` (empty: all), with the face held still after each clip."""
    return spliced(read_casme2(frames, table), subjects, seed)


def spliced(
    clips: Sequence[RealClip],
    subjects: Sequence[str],
    seed: int = 1,
    *,
    back_s: float | None = None,
    rate: float | None = None,
    most: int | None = None,
    per_stream: int = PER_STREAM,
) -> list[Case]:
    """As ``from_casme2``, for clips that are already read.

    back_s, most: see ``splice.streams``. rate: frames/s, None for the clips' own.
    """
    chosen = list(subjects) or sorted({clip.subject for clip in clips})
    return [
        Case(stream.subject, partial(stream.frames, rate), stream.truth, stream.masked, stream.subject)
        for stream in streams(clips, chosen, per_stream, seed, back_s, most)
    ]
