"""What a source really delivers, measured: cameras and drivers promise more than they keep. Draws no picture."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from realtime_mer.errors import SourceError
from realtime_mer.sources.feed import Source

# A micro-expression lasts 1/25 to 1/2 s. Below 20 frames/s the shortest fall between two frames; below 50 their
# onset, apex and offset rest on two or three frames each.
TOO_SLOW_FPS = 20.0
COARSE_FPS = 50.0
REPEATED = 0.1  # a share of repeated frames above this is worth a word
UNSTEADY = 0.5  # a 99th percentile this share above the median interval is jitter worth a word


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Measured over ``frames`` frames. Rates in frames/s, intervals between capture times in ms.

    nominal_fps: 0 when nobody says it. missed: None when the capture times cannot tell.
    repeated: frames that show what the one before showed; new_fps: the rate without them.
    """

    uri: str
    kind: str
    clock: str
    timestamp: str
    size: tuple[int, int]
    pixel_format: str
    nominal_fps: float
    achieved_fps: float
    new_fps: float
    frames: int
    repeated: int
    seconds: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    dropped: int
    missed: int | None
    skipped: int
    reconnects: int
    reasons: dict[str, int]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def text(self) -> str:
        """For people: one fact a line."""
        missed = "missed frames not judged" if self.missed is None else f"{self.missed} missed"
        nominal = f"{self.nominal_fps:.2f}" if self.nominal_fps else "not stated"
        new = f", {self.new_fps:.2f} without {self.repeated} repeated frames" if self.repeated else ""
        why = f" ({', '.join(f'{number} {reason}' for reason, number in self.reasons.items())})" if self.reasons else ""
        lines = [
            f"source       {self.uri} ({self.kind})",
            f"picture      {self.size[0]}x{self.size[1]}, {self.pixel_format}",
            f"frame rate   {self.achieved_fps:.2f} frames/s achieved{new}, {nominal} nominal",
            f"interval     {self.median_ms:.2f} ms median, {self.p95_ms:.2f} p95, {self.p99_ms:.2f} p99, "
            f"{self.max_ms:.2f} longest",
            f"times        {self.clock} clock, {self.timestamp}",
            f"measured     {self.frames} frames in {self.seconds:.2f} s",
            f"lost         {missed}, {self.dropped} dropped, {self.skipped} unusable{why}, "
            f"{self.reconnects} reconnects",
        ]
        return "\n".join(lines + [f"warning      {line}" for line in self.warnings])


def probe(source: Source, seconds: float = 5.0) -> ProbeReport:
    """Read ``source`` for ``seconds`` of its own time (or to its end) and report. Does not close it.

    Raises SourceError when fewer than two frames come.
    """
    times: list[float] = []
    repeated = 0
    began = time.monotonic()
    for frame in source:
        times.append(frame.time)
        repeated += frame.repeated
        if frame.time - times[0] >= seconds or (source.info.live and time.monotonic() - began > 2 * seconds):
            break
    if len(times) < 2:
        raise SourceError(f"{source.info.uri} delivered {len(times)} frame: at least two are needed to measure a rate")
    info, stats = source.info, source.stats()
    intervals = np.diff(times) * 1000
    p50, p95, p99 = (float(value) for value in np.percentile(intervals, (50, 95, 99)))
    span = times[-1] - times[0]
    achieved = (len(times) - 1) / span
    new = (len(times) - repeated - 1) / span
    return ProbeReport(
        uri=info.uri,
        kind=info.kind,
        clock=info.clock,
        timestamp=_timestamp(info.kind, info.clock, info.details),
        size=info.size,
        pixel_format=str(info.details.get("pixel_format", "unknown")),
        nominal_fps=info.rate,
        achieved_fps=achieved,
        new_fps=new,
        frames=len(times),
        repeated=repeated,
        seconds=span,
        median_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(intervals.max()),
        dropped=stats.dropped,
        missed=stats.missed,
        skipped=stats.skipped,
        reconnects=stats.reconnects,
        reasons=stats.reasons,
        warnings=tuple(_warnings(achieved, new, info.rate, p50, p99, info.live)) + stats.notes,
    )


def _timestamp(kind: str, clock: str, details: dict[str, Any]) -> str:
    if kind == "camera" and clock != "device":
        return "the driver's time of each buffer" if details.get("timestamp") == "driver" else "taken at the grab"
    words = {
        "container": "timestamps in the file",
        "sender": "timestamps of the sender",
        "device": "the camera's own timestamps, put on the monotonic clock",
        "monotonic": "taken when the picture had arrived",
        "given": "as given by the caller",
    }
    return words.get(clock, clock)


def _warnings(achieved: float, new: float, nominal: float, p50: float, p99: float, live: bool) -> list[str]:
    found = []
    if new < (1 - REPEATED) * achieved:
        found.append(f"{100 * (1 - new / achieved):.0f} % of the frames repeat the one before: {new:.1f} new frames/s")
    if new < TOO_SLOW_FPS:
        found.append(f"{new:.1f} frames/s cannot resolve micro-expressions; at least {TOO_SLOW_FPS:g} are needed")
    elif new < COARSE_FPS:
        found.append(f"{new:.1f} frames/s resolves micro-expressions only coarsely; {COARSE_FPS:g} or more is better")
    if live and nominal and achieved < 0.9 * nominal:
        found.append(
            f"only {achieved:.1f} of {nominal:.1f} frames/s arrive: more light, a shorter exposure or MJPG help"
        )
    if live and p99 > (1 + UNSTEADY) * p50:
        found.append(f"unsteady: 1 in 100 intervals is {p99:.1f} ms or longer, against {p50:.1f} ms usually")
    return found
