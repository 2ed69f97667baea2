"""Scores spotting: recordings with known events go through the whole pipeline.

These kinds of recordings are never mixed in one figure: streams spliced from real micro-expressions of CASME II; long
videos in which people annotated them; real videos into which known pulses are injected (a synthetic movement in a real
recording) or a real movement is transplanted; videos without micro-expressions, where every event is a false alarm; and
synthetic ones (a drawn portrait). ``cases`` makes them, ``conditions`` reduces and compresses them, ``stream_runs``
puts them through the pipeline, and ``score_file`` stores the result. What is fitted on some people must be scored on
others: use ``halved``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from realtime_mer.bench.intervals import Counts, interval
from realtime_mer.errors import ConfigError, SourceError
from realtime_mer.pipeline import Pipeline
from realtime_mer.records import Event, Frame, Kind, Observation, SourceInfo
from realtime_mer.run import watch
from realtime_mer.spotting.scores import Movement, SpottingScores, match, recognition_f1, spotting, strs
from realtime_mer.study.rates import poisson_bounds
from realtime_mer.synth import Truth

# Emotions as the three classes of MEGC 2019; "others" has none and is not scored for its label.
THREE: Final = {
    "happiness": "positive",
    "surprise": "surprise",
    "disgust": "negative",
    "repression": "negative",
    "sadness": "negative",
    "fear": "negative",
    "anger": "negative",
    "contempt": "negative",
    "positive": "positive",
    "negative": "negative",
}
HELD: Final = "held"  # kind of a held expression, which may be counted as micro
HALVES: Final = ("A", "B")


@dataclass(frozen=True, slots=True)
class Case:
    """One recording with known events, to be watched as a source.

    frames: called for each run. masked: (from, to) s in which nothing is scored. subject: the person, or another unit
    (takes of one video), for the bootstrap and the two halves; empty: the name.
    """

    name: str
    frames: Callable[[], Iterable[Frame]]
    truth: tuple[Truth, ...] = ()
    masked: tuple[tuple[float, float], ...] = ()
    subject: str = ""

    @property
    def unit(self) -> str:
        return self.subject or self.name

    @property
    def info(self) -> SourceInfo:
        return SourceInfo(self.name, "array", False, (0, 0), 0.0, "given")

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames())


@dataclass(frozen=True, slots=True)
class Found:
    """One final report: times in s, its kind and reason, px at the apex, the label, and the regions."""

    onset: float
    apex: float
    offset: float
    kind: str
    reason: str
    strength: float
    label: str | None
    cues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StreamResult:
    """The reports of one recording. minutes: with a face watched. failed: why it could not be watched to its end.

    The truth is stored, too, so that the result can be scored again elsewhere.
    """

    name: str
    subject: str
    minutes: float
    truth: tuple[Movement, ...]
    found: tuple[Found, ...]
    failed: str = ""

    def movements(self, kinds: Sequence[str] = (Kind.MICRO.value,)) -> list[Movement]:
        """The reports of these kinds, as input of the scorer."""
        return [Movement(self.name, f.onset, f.offset, f.apex, f.label) for f in self.found if f.kind in kinds]

    def alarms(self) -> list[Found]:
        """The reported micro-expressions without an annotated one."""
        reported = [f for f in self.found if f.kind == Kind.MICRO.value]
        hits = {j for _, j in match(self.truth, self.movements())}
        return [found for j, found in enumerate(reported) if j not in hits]


@dataclass(slots=True)
class Row:
    """One condition of one set of recordings: the reports of each, and the scores.

    data: the kind of recordings in a word or two. tail: of spliced streams. negatives: they contain no
    micro-expressions.
    """

    condition: str
    data: str = ""
    tail: str = ""
    negatives: bool = False
    streams: list[StreamResult] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str]:
        """Data, condition and tail: what two results must share to be compared."""
        return self.data, self.condition, self.tail

    @property
    def name(self) -> str:
        """The key in words."""
        return ", ".join(part for part in self.key if part)

    @property
    def truth(self) -> list[Movement]:
        return [movement for stream in self.streams for movement in stream.truth]

    @property
    def found(self) -> list[Movement]:
        return [movement for stream in self.streams for movement in stream.movements()]

    @property
    def minutes(self) -> float:
        return sum(stream.minutes for stream in self.streams)

    @property
    def rejected(self) -> Counter[str]:
        """Number of final reports of each kind other than micro-expressions."""
        return Counter(f.kind for stream in self.streams for f in stream.found if f.kind != Kind.MICRO.value)

    @property
    def scores(self) -> SpottingScores:
        return spotting(self.truth, self.found, self.minutes)

    @property
    def f1_with_held(self) -> float:
        """F1 with held expressions counted as micro-expressions."""
        return spotting(self.truth, [m for s in self.streams for m in s.movements((Kind.MICRO.value, HELD))]).f1

    @property
    def strs(self) -> float | None:
        """F1 of spotting times macro F1 of the labels on the hits; None without a recognizer."""
        found = self.found
        return strs(self.truth, found) if any(movement.label for movement in found) else None

    def counts(self) -> dict[str, Counts]:
        """Hits, false alarms and misses of each person, by name."""
        people: dict[str, Counts] = {}
        for stream in self.streams:
            s = spotting(stream.truth, stream.movements())
            before = people.get(stream.subject, Counts(0, 0, 0))
            people[stream.subject] = before + Counts(s.hits, s.false_alarms, s.missed)
        return dict(sorted(people.items()))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: counts, F1 with its interval, errors in seconds, and every stream."""
        scores, counts = self.scores, self.counts()
        at_least, at_most = poisson_bounds(scores.false_alarms, self.minutes)
        return {
            "condition": self.condition,
            "data": self.data,
            "tail": self.tail,
            "negatives": self.negatives,
            "minutes": self.minutes,
            "annotated": len(self.truth),
            "hits": scores.hits,
            "false_alarms": scores.false_alarms,
            "f1": scores.f1,
            "f1_interval": interval(list(counts.values())),
            "f1_by_subject": {name: count.f1 for name, count in counts.items() if count.annotated},
            "f1_with_held": self.f1_with_held,
            "precision": scores.precision,
            "recall": scores.recall,
            "apex_error": scores.apex_error,
            "onset_error": scores.onset_error,
            "offset_error": scores.offset_error,
            "false_alarms_per_minute": scores.false_alarms_per_minute,
            "false_alarms_per_minute_bounds": (at_least, at_most),
            "recognition_f1": recognition_f1(self.truth, self.found),
            "strs": self.strs,
            "rejected": dict(self.rejected),
            "failed": [f"{stream.name}: {stream.failed}" for stream in self.streams if stream.failed],
            "streams": [asdict(stream) for stream in self.streams],
        }


def watch_case(case: Case, pipeline: Pipeline, name: str = "") -> StreamResult:
    """Puts one case through ``pipeline``. For a file without a single frame, ``failed`` says so."""
    name = name or case.name
    minutes, last, failed = 0.0, None, ""
    events: list[Event] = []
    try:
        for seen in watch(case, pipeline):
            events += seen.events
            if not isinstance(seen, Observation):
                break
            if last is not None and _watched(seen) and not _masked(case, seen.time):
                minutes += (seen.time - last) / 60
            last = seen.time
    except SourceError as error:
        failed = str(error)
    labels = pipeline.recognizer.spec.labels if pipeline.recognizer else ()
    truth = tuple(
        Movement(name, t.onset, t.offset, t.apex, in_classes(t.label, labels))
        for t in case.truth
        if t.kind is Kind.MICRO
    )
    found = [found for event in events if (found := _found(event)) and not _masked(case, found.apex)]
    return StreamResult(name, case.unit, minutes, truth, tuple(found), failed)


def in_classes(emotion: str, labels: Collection[str]) -> str | None:
    """The class of an annotated emotion among the recognizer's ``labels``, or None.

    A model that has the emotion's own word is scored on it, one of three classes on the three of MEGC 2019.
    """
    own = emotion if emotion in labels else None
    three = THREE.get(emotion)
    return own or (three if not labels or three in labels else None)


def _found(event: Event) -> Found | None:
    movement = event.movement
    if movement.offset is None:
        return None
    label = event.prediction.label if event.prediction else None
    cues = tuple(cue.region for cue in event.cues)
    times = movement.onset, movement.apex, movement.offset
    return Found(*times, movement.kind.value, movement.reason, float(movement.strength), label, cues)


def in_half(names: Iterable[str], half: str) -> set[str]:
    """The names in one half; sorted, they belong to "A" and "B" in turns. Raises ConfigError for another half."""
    if half not in HALVES:
        raise ConfigError(f"--half takes A or B, not {half!r}")
    return set(sorted(set(names))[HALVES.index(half) :: 2])


def halved(cases: Sequence[Case], half: str) -> list[Case]:
    """The cases of one half of the people; all if ``half`` is empty.

    Choose settings, model and veto on one half and score them on the other.
    """
    chosen = in_half((case.unit for case in cases), half) if half else {case.unit for case in cases}
    return [case for case in cases if case.unit in chosen]


def worst_tails(rows: Iterable[Row]) -> list[Row]:
    """For each condition its result: of the rows that differ only in their tail, the one with the lowest F1."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.tail:
            groups.setdefault((row.data, row.condition), []).append(row)
    return [min(group, key=lambda row: row.scores.f1) for group in groups.values()]


def _watched(observation: Observation) -> bool:
    """Whether a movement could have been reported: a face is in view and its rest is known."""
    return any(signal.activity is not None and not signal.note for signal in observation.faces)


def _masked(case: Case, time: float) -> bool:
    return any(start <= time <= end for start, end in case.masked)
