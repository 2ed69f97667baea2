"""The master record: JSON Lines, a header, a line per event as it happens, a summary. docs/formats.md has the fields.

Everything else (ELAN, BIDS, the report ...) is derived from this file by other modules.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple

from realtime_mer.config import Config, SpotConfig, merge
from realtime_mer.errors import ConfigError, SourceError
from realtime_mer.face.regions import NAMES
from realtime_mer.records import End, Event, Frame, Marker, Observation, SourceInfo, SourceStats, Status
from realtime_mer.sinks import Sink, event_json
from realtime_mer.sinks.event_json import to_json
from realtime_mer.sinks.lines import LineFile, Lines
from realtime_mer.sinks.text import ABSTAINED
from realtime_mer.sources.delivery import Deliveries, Delivery
from realtime_mer.spotting.quality import Quality, Sensitivity
from realtime_mer.typed import Count, Measure, convert, from_json, shown
from realtime_mer.version import product_version

FORMAT: Final = 1  # increased when a field changes its meaning
SUMMARY: Final = b'{"type": "summary"'  # start of the line that says that a log is complete
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/\s]*@")


@dataclass(frozen=True, slots=True)
class Anchor:
    """One moment on two clocks, to relate the times of a log to those of a stimulus.

    time: s on the source's clock. wall: the same moment on the wall clock, ISO 8601, UTC. by: how it was found:
    "capture": by the machine that captured it; "arrival": when the frame arrived, later than its capture by the
    transfer time; "page": by the browser that captured it.
    """

    time: Measure
    wall: str
    by: Literal["capture", "arrival", "page"]

    def wall_at(self, time: float) -> str:
        """The wall clock at ``time``, s on the source's clock: ISO 8601, UTC."""
        return iso(datetime.fromisoformat(self.wall) + timedelta(seconds=time - self.time))


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: what was recorded, and how.

    product: version of this package. source: of SourceInfo, without passwords. start: time of the first frame on the
    source's clock, seconds; None when there was none. created: wall-clock time of the start, ISO 8601, UTC.
    settings, settings_hash: the whole configuration and the first 16 hex digits of its SHA-256.
    model, provider: id of the recognizer and what computes it; empty when there is none.
    anchor: of a live source; None for recorded ones, and in logs of older versions.
    """

    product: str
    source: SourceInfo
    created: str
    settings: dict[str, dict[str, Any]]
    settings_hash: str
    model: str = ""
    provider: str = ""
    regions: tuple[str, ...] = NAMES
    start: Measure | None = None
    anchor: Anchor | None = None
    format: int = FORMAT

    def media_time(self, time: float) -> float:
        """Seconds from the start of the media: the times of files already are; a live clock starts at the first
        frame."""
        return time - self.start if self.source.live and self.start is not None else time


@dataclass(frozen=True, slots=True)
class Summary:
    """The last line, written when every other output of the run is finished; a log without it is incomplete.

    duration: last minus first frame time, s. face_frames: frames with a face. measured_frames: with a measured face.
    tracks: faces seen. events: counts of final events by "confirmed" or the kind of the rejected. labels: of the
    confirmed, "abstained" for the abstained, "" when no recognizer ran. lost: frames known lost. notes: warnings, with
    the number of frames they held for. source: the source's own counts, None when nobody gave them. repeated: frames
    that show what the one before showed. fps: frames/s without these and without holes in the recording; None in the
    log of an older version, and where it is unknown. stopped: the signal that ended the run before its source did, such
    as "SIGINT"; "" when none did. sensitivity: the smallest movement that the recording can show; None in the log of an
    older version, and where no face was seen. delivery: rate, jitter and losses; None in the log of an older
    version, and where fewer than two frames came.
    """

    frames: Count
    duration: Measure
    face_frames: Count
    measured_frames: Count
    tracks: Count
    events: dict[str, Count] = field(default_factory=dict)
    labels: dict[str, Count] = field(default_factory=dict)
    lost: Count = 0
    notes: dict[str, Count] = field(default_factory=dict)
    source: SourceStats | None = None
    repeated: int = 0
    fps: float | None = None
    stopped: str = ""
    sensitivity: Sensitivity | None = None
    delivery: Delivery | None = None


class Recording(NamedTuple):
    """A log that was read."""

    header: Header
    events: list[Event]
    summary: Summary | None
    markers: tuple[Marker, ...] = ()


def header(info: SourceInfo, settings: Mapping[str, Any], model: str = "", provider: str = "") -> Header:
    """The header for a run that starts now. ``settings``: the configuration as nested plain data."""
    plain = json.loads(json.dumps(settings, sort_keys=True, default=str))
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
    source = dataclasses.replace(
        info, uri=_CREDENTIALS.sub("", info.uri), details=json.loads(json.dumps(info.details, default=str))
    )
    return Header(product_version(), source, iso(datetime.now(UTC)), plain, digest, model, provider)


class JsonLines(Sink):
    """Writes the log to a file, or to any ``Lines`` such as ``LineStream(sys.stdout)``.

    provisional: also write events whose offset is not known yet (for live readers; each is repeated when final). stats:
    asked at the end for the source's counts. stopped: asked at the end which signal ended the run. Put it first among a
    run's sinks: it is then closed last, when the recording is complete.
    """

    def __init__(
        self,
        out: Path | Lines,
        header: Header,
        *,
        provisional: bool = False,
        stats: Callable[[], SourceStats] | None = None,
        stopped: Callable[[], str] | None = None,
    ) -> None:
        self._lines: Lines = LineFile(out) if isinstance(out, Path) else out
        self._header: Header | None = header  # None once written; it needs the time of the first frame
        self._provisional = provisional
        self._stats, self._stopped = stats, stopped
        self._ended = False  # the run has ended, and the summary is not yet written
        self._frames = self._face_frames = self._measured_frames = self._lost = 0
        self._first = self._last = 0.0
        self._repeated = self._parts = 0
        self._covered = 0.0  # s, without holes
        self._tracks: set[int] = set()
        self._events: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self._quality = Quality(_spot(header.settings))
        self._info, self._deliveries = header.source, Deliveries()

    def write(self, observation: Observation, frame: Frame) -> None:
        self._count(observation, frame)
        if self._header is not None:
            self._write_header(observation.time)
        self._events_now(observation.events)

    def end(self, end: End) -> None:
        """Writes the last events. The summary follows when the sink is closed."""
        if self._header is not None:
            self._write_header(None)
        self._events_now(end.events)
        self._ended = True

    def close(self) -> None:
        """Writes the summary, unless the run was cut short."""
        ended, self._ended = self._ended, False
        try:
            if self._header is not None:
                self._write_header(None)
            if ended:
                self._lines.write(_typed("summary", self._summary()))
        finally:
            self._lines.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Another sink could not finish its output, so the recording is not complete. Leaving ``watch`` after its End is
        # fine.
        self._ended = self._ended and kind in (None, GeneratorExit)
        self.close()

    def mark(self, marker: Marker) -> None:
        """Writes a marker. Before the first frame there is no time to refer to, so it is left out."""
        if self._header is None:
            self._lines.write(_typed("marker", marker))

    def _events_now(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.final or self._provisional:
                self._lines.write(_line(to_json(event)))
            if event.status is Status.CONFIRMED:
                prediction = event.prediction
                self._labels["" if prediction is None else prediction.label or ABSTAINED] += 1
            if event.final:
                confirmed = event.status is Status.CONFIRMED
                self._events["confirmed" if confirmed else event.movement.kind.value] += 1

    def _count(self, observation: Observation, frame: Frame) -> None:
        if not self._frames:
            self._first = observation.time
        if frame.hole or not self._frames:
            self._parts += 1
        else:
            self._covered += observation.time - self._last
        self._repeated += frame.repeated
        self._last = observation.time
        self._frames += 1
        self._face_frames += bool(observation.faces)
        self._measured_frames += any(signal.activity is not None for signal in observation.faces)
        self._lost += observation.lost
        self._tracks.update(signal.face.track for signal in observation.faces)
        self._notes.update(observation.notes)
        self._quality.push(observation, frame.gray)
        self._deliveries.push(frame)

    def _write_header(self, start: float | None) -> None:
        assert self._header is not None
        head = dataclasses.replace(self._header, start=None if start is None else float(start))
        if start is not None and head.source.live and head.anchor is None:
            head = dataclasses.replace(head, anchor=anchor_of(head.source, float(start)))
        self._lines.write(_typed("header", head))
        self._header = None

    def _summary(self) -> Summary:
        stats = self._stats() if self._stats else None
        return Summary(
            frames=self._frames,
            duration=float(self._last - self._first),
            face_frames=self._face_frames,
            measured_frames=self._measured_frames,
            tracks=len(self._tracks),
            events=dict(self._events),
            labels=dict(self._labels),
            lost=self._lost,
            notes=dict(self._notes),
            source=stats,
            repeated=self._repeated,
            fps=(self._frames - self._repeated - self._parts) / self._covered if self._covered > 0 else None,
            stopped=self._stopped() if self._stopped else "",
            sensitivity=self._quality.result(),
            delivery=self._deliveries.result(self._info, stats),
        )


def as_log(recording: Recording) -> str:
    """The log of this recording as text, for ``read_jsonl``."""
    lines = [_typed("header", recording.header)]
    lines += [_typed("marker", marker) for marker in recording.markers]
    lines += [_line(to_json(event)) for event in recording.events]
    if recording.summary is not None:
        lines.append(_typed("summary", recording.summary))
    return "".join(lines)


def read_jsonl(path: Path) -> Recording:
    """Reads a log, even during its run. An incomplete last line is left out.

    Raises SourceError when the file is missing, is something else, or is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    lines = text.split("\n")[:-1]  # anything after the last line end is empty or incomplete
    head: Header | None = None
    summary: Summary | None = None
    events: list[Event] = []
    markers: list[Marker] = []
    for number, line in enumerate(lines, 1):
        try:
            values = convert(from_json(line), dict[str, Any])
            match values.pop("type", None):
                case "header":
                    head = _header(values)
                case "event":
                    events.append(event_json.from_json(values))
                case "marker":
                    markers.append(convert(values, Marker))
                case "summary":
                    summary = convert(values, Summary)
                case None:
                    raise ValueError("it has no type")
        except ValueError as error:
            if head is None and '"header"' not in line:
                break  # some other file
            raise SourceError(
                f"{path}, line {number} does not belong to an event log of this version: {error}"
            ) from None
        if head is None:
            break
    if head is None:
        raise SourceError(f"{path} is not an event log: its first line is not a header")
    return Recording(head, events, summary, tuple(markers))


def _header(values: dict[str, Any]) -> Header:
    if values.get("format") != FORMAT:
        raise ValueError(f"format {shown(values.get('format'))}, this version reads {FORMAT}")
    return convert(values, Header)


def anchor_of(info: SourceInfo, start: float) -> Anchor:
    """The wall clock at ``start``, the time of the frame that has just arrived, if known."""
    now = datetime.now(UTC)
    if info.clock in ("monotonic", "device"):
        return Anchor(start, iso(now - timedelta(seconds=time.monotonic() - start)), "capture")
    return Anchor(start, iso(now), "arrival")


def iso(moment: datetime) -> str:
    """A moment in the format of logs: ISO 8601, to the millisecond."""
    return moment.isoformat(timespec="milliseconds")


def _spot(settings: Mapping[str, Any]) -> SpotConfig:
    """The spotter's settings in a header; the defaults if it has none, or those of another version."""
    try:
        return merge(Config(), {"spot": settings.get("spot", {})}).spot
    except ConfigError:
        return SpotConfig()


def _typed(kind: str, part: Header | Marker | Summary) -> str:
    return _line({"type": kind, **dataclasses.asdict(part)})


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, allow_nan=False) + "\n"
