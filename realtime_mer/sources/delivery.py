"""What a source has delivered, as figures for the certificate, the log and the head of every report.

Whether a movement of 1/25 s can be resolved is counted, not guessed from the rate: it is the share of the time with at
most 20 ms between new frames, so that such a movement has an onset, an apex and an offset. Lost, repeated and late
frames all reduce it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from realtime_mer.records import Frame, SourceInfo, SourceStats

FINE_S: Final = 0.021  # 20 ms and the rounding of timestamps: two intervals in the shortest micro-expression
RESOLVED, PARTLY = 0.99, 0.5  # shares of the time: can be resolved; can be resolved in part
BIN_S: Final = 1e-5  # intervals are counted in steps of 10 us, so that an hour takes no memory

CLOCKS: Final = {
    "container": "timestamps in the file",
    "sender": "timestamps of the sender",
    "device": "the camera's own timestamps, put on the monotonic clock",
    "monotonic": "taken when the frame had arrived",
    "page": "the browser's time of each frame",
    "given": "as given by the caller",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """Over ``frames`` frames and ``seconds`` s. Rates in frames/s, intervals between capture times in ms.

    nominal_fps: 0 if unknown. repeated: frames that show what the one before showed; new_fps: the rate without them.
    missed: never captured, None if unknown; losses: how that is known. exposure_ms: None if the source does not say.
    resolved: share of the time in which a movement of 1/25 s can be resolved, 0 to 1.
    """

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
    losses: str
    clock: str
    timestamp: str
    exposure_ms: float | None
    resolved: float
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """A sentence on whether movements of 1/25 s can be resolved."""
        can = "can" if self.resolved >= RESOLVED else "can only in part" if self.resolved >= PARTLY else "cannot"
        share = f"{100 * self.resolved:.4g} % of the time had 20 ms or less between new frames"
        return f"movements of 1/25 s {can} be resolved: {share}"

    @property
    def line(self) -> str:
        """Everything in two sentences, for the head of a report."""
        lost = "losses not judged" if self.missed is None else f"{self.missed} lost"
        exposure = "" if self.exposure_ms is None else f", exposure {self.exposure_ms:g} ms"
        return (
            f"{self.achieved_fps:.2f} frames/s, intervals {self.median_ms:.2f} ms (99 % up to {self.p99_ms:.2f}, "
            f"longest {self.max_ms:.2f}), {lost} ({self.losses}), {self.dropped} dropped, {self.skipped} unusable, "
            f"{self.repeated} repeated; {self.clock} clock{exposure}. {self.verdict[0].upper()}{self.verdict[1:]}"
        )

    def lines(self) -> list[str]:
        """One fact per line, each with its name."""
        lost = "missed frames not judged" if self.missed is None else f"{self.missed} missed"
        nominal = f"{self.nominal_fps:.2f}" if self.nominal_fps else "not stated"
        new = f", {self.new_fps:.2f} without {self.repeated} repeated frames" if self.repeated else ""
        why = f" ({', '.join(f'{number} {reason}' for reason, number in self.reasons.items())})" if self.reasons else ""
        exposure = "" if self.exposure_ms is None else f"; exposure {self.exposure_ms:g} ms"
        return [
            f"frame rate   {self.achieved_fps:.2f} frames/s achieved{new}, {nominal} nominal",
            f"interval     {self.median_ms:.2f} ms median, {self.p95_ms:.2f} p95, {self.p99_ms:.2f} p99, "
            f"{self.max_ms:.2f} longest",
            f"times        {self.clock} clock, {self.timestamp}{exposure}",
            f"measured     {self.frames} frames in {self.seconds:.2f} s",
            f"lost         {lost}, {self.dropped} dropped, {self.skipped} unusable{why}, {self.reconnects} reconnects",
            f"known by     {self.losses}",
            f"1/25 s       {self.verdict.partition('movements of 1/25 s ')[2]}",
        ]


class Deliveries:
    """Takes frames in order; ``result`` is the delivery so far."""

    def __init__(self) -> None:
        self.frames = self.repeated = 0
        self.first = self.last = 0.0  # s
        self._new = 0.0  # s, of the latest new frame
        self._fine = 0.0  # s in which new frames arrived soon enough
        self._longest = 0.0
        self._intervals: Counter[int] = Counter()

    def push(self, frame: Frame) -> None:
        """Takes the next frame."""
        time = frame.time
        if not self.frames:
            self.first = self._new = time
        else:
            interval = time - self.last
            self._intervals[round(interval / BIN_S)] += 1
            self._longest = max(self._longest, interval)
        self.repeated += frame.repeated
        if not frame.repeated:
            between = time - self._new
            self._fine += between if between <= FINE_S else 0.0
            self._new = time
        self.last = time
        self.frames += 1

    def result(self, info: SourceInfo, stats: SourceStats | None) -> Delivery | None:
        """None for fewer than two frames. stats: the source's own counts, if known."""
        span = self.last - self.first
        if self.frames < 2 or not span > 0:
            return None
        p50, p95, p99 = _quantiles(self._intervals, (0.5, 0.95, 0.99))
        stats = stats or SourceStats(self.frames, self.frames, missed=None)
        exposure = info.details.get("exposure_ms")
        return Delivery(
            nominal_fps=info.rate,
            achieved_fps=(self.frames - 1) / span,
            new_fps=(self.frames - self.repeated - 1) / span,
            frames=self.frames,
            repeated=self.repeated,
            seconds=span,
            median_ms=1000 * p50,
            p95_ms=1000 * p95,
            p99_ms=1000 * p99,
            max_ms=1000 * self._longest,
            dropped=stats.dropped,
            missed=stats.missed,
            skipped=stats.skipped,
            reconnects=stats.reconnects,
            losses=_losses(info, stats.missed),
            clock=info.clock,
            timestamp=timestamp(info),
            exposure_ms=float(exposure) if isinstance(exposure, int | float) else None,
            resolved=min(self._fine / span, 1.0),
            reasons=stats.reasons,
        )


def timestamp(info: SourceInfo) -> str:
    """Description of how the times of a source are made."""
    if info.kind == "camera" and info.clock != "device":
        return "the driver's time of each buffer" if info.details.get("timestamp") == "driver" else "taken at the grab"
    return CLOCKS.get(info.clock, info.clock)


def _losses(info: SourceInfo, missed: int | None) -> str:
    """How the number of lost frames is known."""
    if info.details.get("losses") == "frame numbers":
        return "counted by the camera's frame numbers"
    if not info.live:
        return "as far as the recording shows them"
    return "they cannot be judged" if missed is None else "judged from the beat of the capture times"


def _quantiles(counts: Counter[int], shares: tuple[float, ...]) -> list[float]:
    """Quantiles of intervals counted in bins, s; interpolated between bins, as in numpy."""
    bins = np.array(sorted(counts))
    up_to = np.cumsum([counts[int(b)] for b in bins])
    found = []
    for share in shares:
        at = share * (up_to[-1] - 1)
        low, high = (bins[np.searchsorted(up_to, place, side="right")] for place in (np.floor(at), np.ceil(at)))
        found.append(float(low + (high - low) * (at % 1)) * BIN_S)
    return found
