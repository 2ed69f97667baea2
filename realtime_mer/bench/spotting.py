"""How well movements are spotted: recordings with known events through the whole pipeline, scored.

Three kinds of recordings, never mixed in one number: synthetic ones (a drawn portrait), real videos into which known
pulses are injected (a synthetic movement in a real recording) and the same videos without them (false alarms), and
streams spliced from real micro-expressions of CASME II. What is fitted on some subjects must be scored on others:
choose them with ``subjects``.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from realtime_mer.build import build
from realtime_mer.config import Config
from realtime_mer.errors import SourceError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Event, Frame, Kind, Observation, SourceInfo, Status
from realtime_mer.run import watch
from realtime_mer.sources import open_source
from realtime_mer.spotting.scores import Movement, SpottingScores, recognition_f1, spotting, strs
from realtime_mer.synth import (
    Camera,
    Density,
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
from realtime_mer.synth.splice import read_casme2, streams

VIDEO_SUFFIXES: Final = {".mp4", ".mov", ".avi", ".mkv", ".webm"}
PULSES: Final = 20.0  # injected per minute: one in 3 s
# CASME II's emotions as the three classes of MEGC 2019; "others" has none and is not scored for its label.
CLASSES: Final = {
    "happiness": "positive",
    "surprise": "surprise",
    "disgust": "negative",
    "repression": "negative",
    "sadness": "negative",
    "fear": "negative",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One recording with known events, to be watched as a source.

    frames: called for each watching. masked: (from, to) s in which nothing is scored.
    """

    name: str
    frames: Callable[[], Iterable[Frame]]
    truth: tuple[Truth, ...] = ()
    masked: tuple[tuple[float, float], ...] = ()

    @property
    def info(self) -> SourceInfo:
        return SourceInfo(self.name, "array", False, (0, 0), 0.0, "given")

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames())


@dataclass(slots=True)
class Row:
    """The scores of one condition. minutes: with a face watched. rejected: reported as something else, by kind."""

    condition: str
    truth: list[Movement] = field(default_factory=list)
    found: list[Movement] = field(default_factory=list)
    minutes: float = 0.0
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def scores(self) -> SpottingScores:
        return spotting(self.truth, self.found, self.minutes)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: counts, F1, errors in seconds, and every movement."""
        scores = self.scores
        return {
            "condition": self.condition,
            "minutes": self.minutes,
            "annotated": len(self.truth),
            "hits": scores.hits,
            "false_alarms": scores.false_alarms,
            "f1": scores.f1,
            "precision": scores.precision,
            "recall": scores.recall,
            "apex_error": scores.apex_error,
            "onset_error": scores.onset_error,
            "offset_error": scores.offset_error,
            "false_alarms_per_minute": scores.false_alarms_per_minute,
            "recognition_f1": recognition_f1(self.truth, self.found),
            "strs": strs(self.truth, self.found),
            "rejected": dict(self.rejected),
            "truth": [asdict(m) for m in self.truth],
            "found": [asdict(m) for m in self.found],
        }


def run(condition: str, cases: Iterable[Case], pipeline: Pipeline) -> Row:
    """Puts the cases through ``pipeline``, each as a recording of its own, and pools what was found."""
    row = Row(condition)
    for number, case in enumerate(cases):
        video = f"{case.name}#{number}"
        events: list[Event] = []
        last = None
        try:
            for seen in watch(case, pipeline):
                events += seen.events
                if not isinstance(seen, Observation):
                    break
                if last is not None and _watched(seen) and not _masked(case, seen.time):
                    row.minutes += (seen.time - last) / 60
                last = seen.time
        except SourceError:
            continue  # a file without a picture has nothing to be found in
        row.truth += [
            Movement(video, t.onset, t.offset, t.apex, CLASSES.get(t.label)) for t in case.truth if t.kind is Kind.MICRO
        ]
        for event in events:
            movement = event.movement
            if movement.offset is None or _masked(case, movement.apex):
                continue
            if movement.status is Status.CONFIRMED:
                label = event.prediction.label if event.prediction else None
                row.found.append(Movement(video, movement.onset, movement.offset, movement.apex, label))
            else:
                row.rejected[movement.kind.value] += 1
    return row


def _watched(observation: Observation) -> bool:
    """Whether a movement could have been reported: a face is there and its rest is known."""
    return any(signal.activity is not None and not signal.note for signal in observation.faces)


def _masked(case: Case, time: float) -> bool:
    return any(start <= time <= end for start, end in case.masked)


def synthetic(seconds: float, seed: int = 1) -> Iterator[tuple[str, list[Case]]]:
    """Conditions on the portrait: one thing at a time departs from the base (200 frames/s, pulses of 0.5 to 3 px)."""
    base = Density(micro=12, macro=2, blinks=12)
    plain = Density(micro=15, macro=0, blinks=0)

    def case(fps: float = 200, density: Density = base, sway: Sway | None = None, camera: Camera | None = None) -> Case:
        script = random_script(seed, seconds, fps, density, sway, camera)
        return Case("portrait", lambda: render(script, *portrait()), tuple(script.truth()))

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
        yield f"sensor noise {noise:g} grey levels", [case(camera=Camera(noise=noise))]
    for quality in (18, 28, 36):
        yield f"H.264 at CRF {quality}", [_compressed(case(), quality)]


def _compressed(case: Case, quality: int) -> Case:
    def frames() -> Iterator[Frame]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "case.mp4"
            write_video(case.frames(), path, "h264", quality)
            with open_source(path) as source:
                yield from source

    return replace(case, frames=frames)


def from_videos(folder: Path, peak: float | None, seed: int = 1) -> list[Case]:
    """Every video below ``folder``: as it is (peak None), or with pulses of ``peak`` px injected where a face is."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise SourceError(f"no videos in {folder}: give a folder that holds some")
    return [case for n, path in enumerate(paths) if (case := _video(path, peak, seed + n)) is not None]


def _video(path: Path, peak: float | None, seed: int) -> Case | None:
    def frames() -> Iterator[Frame]:
        with open_source(path) as source:
            yield from source

    if peak is None:
        return Case(path.name, frames)
    try:
        track = _track(path)
    except SourceError:
        return None
    duration = track[-1][0] if track else 0.0
    if duration < 4:  # 2 s to learn the resting face, and time for a pulse
        return None
    density = Density(micro=PULSES, macro=0, blinks=0, peak=(peak, peak))
    pulses = clear(track, random_script(seed, duration, 30, density).pulses)
    truth = tuple(Truth(p.kind, p.onset, p.apex, p.offset, p.movement.name, peak=p.peak) for p in pulses)
    return Case(path.name, lambda: inject(frames(), track, pulses), truth)


@cache
def _track(path: Path) -> Track:
    """Landmarks in every frame: the same for pulses of every size."""
    with open_source(path) as source:
        return landmarks(source)


def from_casme2(frames: Path, table: Path, subjects: Sequence[str], per_stream: int = 3, seed: int = 1) -> list[Case]:
    """Streams spliced from the real clips of ``subjects``, all of them when empty."""
    clips = read_casme2(frames, table)
    chosen = list(subjects) or sorted({clip.subject for clip in clips})
    return [
        Case(stream.subject, stream.frames, stream.truth, stream.masked)
        for stream in streams(clips, chosen, per_stream, seed)
    ]


def measure(conditions: Iterable[tuple[str, list[Case]]], config: Config) -> Iterator[Row]:
    """One row per condition, as each is done."""
    with build(config) as pipeline:
        for condition, cases in conditions:
            yield run(condition, cases, pipeline)


HEADER: Final = (
    f"{'condition':46} {'n':>4} {'F1':>5} {'prec':>5} {'rec':>5} {'apex ms':>8} {'onset ms':>8} {'false/min':>9}"
)


def line(row: Row) -> str:
    """One row of the printed table, under HEADER."""
    s = row.scores

    def ms(value: float | None) -> str:
        return "-" if value is None else f"{1000 * value:.0f}"

    f1, precision, recall = (f"{v:.2f}" if row.truth else "-" for v in (s.f1, s.precision, s.recall))
    return (
        f"{row.condition:46} {len(row.truth):4} {f1:>5} {precision:>5} {recall:>5} {ms(s.apex_error):>8} "
        f"{ms(s.onset_error):>8} {s.false_alarms_per_minute or 0:9.2f}"
    )
