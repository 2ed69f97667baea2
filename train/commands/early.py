"""``python -m train early``: fits the model that reports a movement before its end, and tests what that costs.

Streams spliced from CASME II, and videos without micro-expressions, go through the whole pipeline once. From the apex
of each movement on, every frame records what the spotter knows about it, with the final verdict. A logistic model
(``spotting.early``) is fitted on each half of the people and tested on the other.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from realtime_mer.bench import cases, conditions
from realtime_mer.bench.spotting import HALVES, Case, in_half
from realtime_mer.build import build
from realtime_mer.config import Config, merge
from realtime_mer.errors import DataError
from realtime_mer.progress import tracked
from realtime_mer.records import Event, Kind
from realtime_mer.run import watch
from realtime_mer.spotting.detector import MovementDetector
from realtime_mer.spotting.early import Evidence, probability
from realtime_mer.synth.splice import TAILS, read_casme2
from train.runs import store

THRESHOLDS: Final = (0.0, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
STRENGTH: Final = 0.3  # inverse of the ridge, on standardized terms


def add(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument(
        "--casme2",
        type=Path,
        nargs=2,
        metavar=("FRAMES", "SHEET"),
        required=True,
        help="CASME II's frames and annotation sheet",
    )
    parser.add_argument("--negatives", type=Path, metavar="DIR", help="videos without micro-expressions")
    parser.add_argument(
        "--conditions",
        default="30h,200",
        metavar="LIST",
        help="recording conditions, as in `bench spotting` (default: 30h,200)",
    )
    parser.add_argument("--most", type=int, metavar="N", help="at most N clips per person")
    parser.add_argument(
        "--streams", type=Path, metavar="DIR", help="keep compressed streams here for the next run (these show people)"
    )
    parser.add_argument(
        "--seen", type=Path, metavar="FILE", help="cache of the observed movements: read if it exists, else written"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the model and the table as JSON")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the cost of each threshold, and the weights. Returns 0. Raises DataError."""
    courses = _read(args.seen) if args.seen and args.seen.exists() else _noted(args)
    if args.seen and not args.seen.exists():
        store(args.seen, {"courses": [dataclasses.asdict(course) for course in courses]})
    model, rows = judged(courses)
    for row in rows:
        print(row.text())
    print("weights: " + ", ".join(f"{weight:.4g}" for weight in model))
    if args.out:
        store(args.out, {"weights": model, "rows": [dataclasses.asdict(row) for row in rows]})
    return 0


@dataclass(frozen=True, slots=True)
class Course:
    """A movement from its apex on. seen: what was known in each frame before any rule rejected it. confirmed, apex,
    reported: the final result; times in s."""

    condition: str
    unit: str
    seen: tuple[Evidence, ...]
    confirmed: bool
    apex: float
    reported: float


@dataclass(frozen=True, slots=True)
class Cost:
    """The result of a threshold, on people unknown to the model. early: share of confirmed movements that were reported
    before their end. withdrawn: share of reported ones that were not confirmed. expected: the model's prediction of
    that share. delay: p50 and p95 from the final apex to the report, ms, for confirmed ones. shift: p95 of how far the
    apex moved after the report, ms."""

    condition: str
    threshold: float
    movements: int
    confirmed: int
    early: float
    withdrawn: float
    expected: float
    delay: tuple[float, float]
    shift: float

    def text(self) -> str:
        return (
            f"{self.condition:32} {self.threshold:4.2f}  early {100 * self.early:3.0f} % of {self.confirmed}, "
            f"withdrawn {100 * self.withdrawn:4.1f} % (expected {100 * self.expected:4.1f} %), apex to report p50 "
            f"{self.delay[0]:4.0f} p95 {self.delay[1]:4.0f} ms, apex moves p95 {self.shift:3.0f} ms"
        )


class RecordingDetector(MovementDetector):
    """A spotter that reports nothing early, and records what it knew."""

    def __init__(self, *arguments: Any, into: dict[int, list[Evidence]]) -> None:
        super().__init__(*arguments)
        self._into = into

    def likely(self, evidence: Evidence) -> bool:
        self._into.setdefault(evidence.movement, []).append(evidence)
        return False


def judged(courses: Sequence[Course]) -> tuple[list[float], list[Cost]]:
    """The model fitted on everyone, and the result of each threshold when each half is judged by the other's model."""
    units = {course.unit for course in courses}
    halves = [in_half(units, half) for half in HALVES]
    models = [fitted([course for course in courses if course.unit not in half]) for half in halves]
    said = [
        (course, [probability(evidence, models[course.unit in halves[1]]) for evidence in course.seen])
        for course in courses
    ]
    named = dict.fromkeys(course.condition for course in courses)
    return fitted(courses), [
        _cost(name, [pair for pair in said if pair[0].condition == name], threshold)
        for name in named
        for threshold in THRESHOLDS
    ]


def fitted(courses: Sequence[Course]) -> list[float]:
    """Weights of ``spotting.early``: a logistic regression in which every movement counts the same."""
    rows = [(evidence.terms, course.confirmed, 1 / len(course.seen)) for course in courses for evidence in course.seen]
    if len({confirmed for _, confirmed, _ in rows}) < 2:
        raise DataError("both confirmed and rejected movements are needed: use more people")
    x, y, weight = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    model = LogisticRegression(C=STRENGTH, max_iter=2000).fit((x - mean) / spread, y, sample_weight=weight)
    slopes: NDArray[np.float64] = model.coef_[0] / spread
    return [float(model.intercept_[0] - slopes @ mean), *slopes.tolist()]


def _cost(name: str, said: Sequence[tuple[Course, list[float]]], threshold: float) -> Cost:
    delays, shifts, chances, withdrawn = [], [], [], 0
    for course, chance in said:
        first = next((i for i, value in enumerate(chance) if value >= threshold), None)
        if first is None:
            continue
        evidence = course.seen[first]
        chances.append(chance[first])
        withdrawn += not course.confirmed
        if course.confirmed:
            delays.append(1e3 * (evidence.now - course.apex))
            shifts.append(1e3 * abs(evidence.apex - course.apex))
    confirmed = sum(course.confirmed for course, _ in said)
    p50, p95 = np.percentile(delays, (50, 95)) if delays else (math.nan, math.nan)
    return Cost(
        name, threshold, len(said), confirmed, len(delays) / max(confirmed, 1), withdrawn / max(len(chances), 1),
        1 - float(np.mean(chances)) if chances else math.nan, (float(p50), float(p95)),
        float(np.percentile(shifts, 95)) if shifts else math.nan,
    )  # fmt: skip


def _noted(args: argparse.Namespace) -> list[Course]:
    trials = list(_trials(args))
    config = merge(Config(), {"classify": {"model": "none"}})
    notes: list[dict[int, list[Evidence]]] = []

    def spotter(*arguments: Any) -> RecordingDetector:
        notes.append({})
        return RecordingDetector(*arguments, into=notes[-1])

    courses: list[Course] = []
    with build(config, spotter=spotter) as pipeline:
        for condition, case in tracked(trials, "streams", quiet=args.quiet):
            notes.clear()
            events = [event for seen in watch(case, pipeline) for event in seen.events if event.final]
            courses += _courses(condition, case, events, notes)
    return courses


def _courses(
    condition: str, case: Case, events: Sequence[Event], notes: Sequence[dict[int, list[Evidence]]]
) -> Iterator[Course]:
    for event in events:
        movement = event.movement
        # these recordings show one face at a time: id and time identify a movement
        rows = [row for noted in notes for row in noted.get(movement.id, ())]
        inside = tuple(row for row in rows if movement.onset <= row.now < event.reported)
        yield Course(condition, case.unit, inside, movement.kind is Kind.MICRO, movement.apex, event.reported)


def _trials(args: argparse.Namespace) -> Iterator[tuple[str, Case]]:
    clips = read_casme2(*args.casme2)
    for condition in conditions.parse(args.conditions):
        for back_s in TAILS.values():
            found = cases.spliced(clips, (), back_s=back_s, rate=condition.rate, most=args.most)
            # the stream is reduced to the condition's rate where it is made
            seen = dataclasses.replace(condition, rate=None)
            for case in found:
                yield condition.name, conditions.under(case, seen, args.streams)
    if args.negatives:
        for case in cases.negatives(args.negatives):
            yield "videos without micro-expressions", case


def _read(file: Path) -> list[Course]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))["courses"]
        return [Course(**{**row, "seen": tuple(Evidence(*evidence) for evidence in row["seen"])}) for row in kept]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file} was not written by this command ({error}): remove it") from None
