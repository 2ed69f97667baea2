"""Measures what a source really delivers, because cameras and drivers often promise more. Draws nothing.

``delivery`` has the figures; here are a probe of a few seconds, and its certificate.
"""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from realtime_mer.errors import SourceError
from realtime_mer.sources.delivery import Deliveries, Delivery
from realtime_mer.sources.feed import Source
from realtime_mer.version import product_version

# A micro-expression lasts 1/25 to 1/2 s. Below 20 frames/s the shortest fall between two frames; below 50 their
# onset, apex and offset rest on two or three frames each.
TOO_SLOW_FPS = 20.0
COARSE_FPS = 50.0
REPEATED = 0.1  # a larger share of repeated frames is reported
UNSTEADY = 0.5  # a 99th percentile of intervals this much above the median is reported as jitter


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """A source, and what it delivered while it was read."""

    uri: str
    kind: str
    size: tuple[int, int]
    pixel_format: str
    delivery: Delivery
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, flat."""
        values = asdict(self)
        return values | values.pop("delivery") | {"verdict": self.delivery.verdict}

    def text(self) -> str:
        """As text, one fact per line."""
        lines = [
            f"source       {self.uri} ({self.kind})",
            f"picture      {self.size[0]}x{self.size[1]}, {self.pixel_format}",
            *self.delivery.lines(),
            *(f"warning      {line}" for line in self.warnings),
        ]
        return "\n".join(lines)

    def certificate(self) -> dict[str, Any]:
        """``to_dict`` with when, where and by what it was measured."""
        measured = {"product": product_version(), "created": datetime.now(UTC).isoformat(timespec="seconds")}
        return measured | {"machine": f"{platform.node()}, {platform.platform()}"} | self.to_dict()


def probe(source: Source, seconds: float = 5.0) -> ProbeReport:
    """Read ``source`` for ``seconds`` of its own time (or to its end) and report. Does not close it.

    Raises SourceError when fewer than two frames come.
    """
    deliveries, began = Deliveries(), time.monotonic()
    for frame in source:
        deliveries.push(frame)
        if frame.time - deliveries.first >= seconds or (source.info.live and time.monotonic() - began > 2 * seconds):
            break
    info, stats = source.info, source.stats()
    delivery = deliveries.result(info, stats)
    if delivery is None:
        came = deliveries.frames
        raise SourceError(f"{info.uri} delivered {came} frame; at least two are needed to measure a rate")
    warnings = (*_warnings(delivery, info.live), *stats.notes)
    pixel_format = str(info.details.get("pixel_format", "unknown"))
    return ProbeReport(info.uri, info.kind, info.size, pixel_format, delivery, warnings)


def _warnings(seen: Delivery, live: bool) -> list[str]:
    found, new, achieved = [], seen.new_fps, seen.achieved_fps
    if new < (1 - REPEATED) * achieved:
        found.append(f"{100 * (1 - new / achieved):.0f} % of the frames repeat the one before: {new:.1f} new frames/s")
    if new < TOO_SLOW_FPS:
        found.append(f"{new:.1f} frames/s cannot resolve micro-expressions; at least {TOO_SLOW_FPS:g} are needed")
    elif new < COARSE_FPS:
        found.append(f"{new:.1f} frames/s resolve micro-expressions only coarsely; {COARSE_FPS:g} or more is better")
    if live and seen.nominal_fps and achieved < 0.9 * seen.nominal_fps:
        promised = f"{achieved:.1f} of {seen.nominal_fps:.1f} frames/s"
        found.append(f"only {promised} arrive: try more light, a shorter exposure or MJPG")
    if live and seen.p99_ms > (1 + UNSTEADY) * seen.median_ms:
        intervals = f"{seen.p99_ms:.1f} ms or longer, against {seen.median_ms:.1f} ms usually"
        found.append(f"unsteady: 1 in 100 intervals is {intervals}")
    return found
