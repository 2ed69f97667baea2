"""Estimates the smallest movement that a recording can show, and what prevents weaker ones from being found.

Derived from the spotter's requirements. A movement is reported when its strength reaches ``Activity.least``, and its
activity, the strength in units of the noise of its region, reaches the threshold. Smoothing and the interval between
frames reduce a typical movement's strength; noise adds to it or takes from it. So the chance that a movement of a given
strength is seen can be computed for each region and moment. The result is the strength at which its mean over the
recording is 80 %. It does not cover what the rules against blinks, speech and movements in quick succession reject, nor
what a codec removes before it can be measured.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.config import SpotConfig
from realtime_mer.face.regions import EYE_DISTANCE
from realtime_mer.records import Activity, Face, FaceSignal, Floats, Gray, Observation
from realtime_mer.spotting.baseline import ACTIVE, NOISE_FLOOR
from realtime_mer.typed import Fraction, Measure

Doubles = NDArray[np.float64]

SEEN: Final = 0.8  # the required chance
PULSE_S: Final = 0.3  # s, a typical micro-expression; its course is a raised cosine
STRENGTHS: Final = np.geomspace(0.03, 10, 96)  # px
CHI_MEDIAN: Final = 1.386  # median squared length of a 2-D Gaussian of unit deviation
ROUNDING: Final = 1e-3  # frames
LOGIT: Final = 1.702  # makes a logistic function of a normal distribution's, to 0.01
PHASES: Final = 8  # of a movement against the frames
SPREAD_PX: Final = 0.01  # px: precision of a strength
SAMPLE_S: Final = 0.05  # s between samples of the spotter's thresholds, which change over seconds
LOOK_S: Final = 1.0  # s between samples of a face's image
UNKNOWN_S: Final = 0.25  # s: a face without a sample for longer was not in view
LEAST_S: Final = 0.5  # s with a face needed for any result
LIVE_MEMORY_S: Final = 10.0  # s, for a live line
# Values that limit nothing; replacing the measured ones by them gives the effect of each reason.
FULL_RATE: Final = 100.0  # frames/s; twice as many would hardly show weaker movements
STILL_PX: Final = 0.01  # px
CALM: Final = 3.0  # times noise: the threshold for a face at rest
WORTH: Final = 1.1  # a reason that raises the smallest movement by a smaller factor is not reported
SHARE: Final = 0.1  # fraction of the time; a smaller unwatched part is not reported
WIDE: Final = 110.0  # px: a face this wide fills the aligned image; a narrower one is enlarged
DARK: Final = 50.0  # mean gray level
FLAT: Final = 2.0  # gray levels per px of the aligned face: gradient of a flat or blurred face
BLOCK: Final = 4  # px over which the gradient is averaged, as much as registration smooths
SLOW: Final = "too few new frames per second"
HEAD: Final = "the head moves too fast"


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The smallest movement that a recording can show.

    shift_px: the strength (``Movement.strength``, px of the aligned face) that a movement of PULSE_S needs to be seen
    in 80 of 100 cases; None if none would be, because the frames are too slow or nothing was watched. minutes: of faces
    in which a movement would be reported. share: their fraction of the time with a face in view, 0 to 1. reasons: what
    keeps weaker movements from being seen, the most important first.
    """

    shift_px: Measure | None
    minutes: Measure
    share: Fraction
    reasons: tuple[str, ...] = ()

    @property
    def percent(self) -> float | None:
        """``shift_px`` in percent of the distance between the eyes."""
        return None if self.shift_px is None else 100 * self.shift_px / EYE_DISTANCE

    @property
    def size(self) -> str:
        """Text: the smallest movement in both units."""
        if self.shift_px is None:
            return "none"
        return f"{self.shift_px:.2f} px, {self.percent:.1f} % of the distance between the eyes"

    @property
    def line(self) -> str:
        """Text: one sentence without the reasons."""
        if self.shift_px is None:
            return "no micro-expression can be seen here"
        return f"smallest movement seen with 80 % probability: {self.size}"

    @property
    def text(self) -> str:
        """``line`` with the time watched and the reasons."""
        watched = f" ({self.minutes:.1f} min watched, {100 * self.share:.0f} % of the time with a face)"
        return self.line + watched + (": " + "; ".join(self.reasons) if self.reasons else "")


class Quality:
    """Accumulates the estimate over observations.

    memory_s: time constant for forgetting the past, for a live line; by default never.
    """

    def __init__(self, settings: SpotConfig | None = None, memory_s: float = math.inf) -> None:
        self._settings, self._memory_s = settings or SpotConfig(), memory_s
        self._time: float | None = None
        self._sampled: dict[int, float] = {}  # track -> s
        self._looked: dict[int, float] = {}  # track -> s
        self._before: dict[int, Activity] = {}  # track -> of the frame before
        self._fast: dict[int, float] = {}  # track -> s, when the head was last too fast
        self._sums: defaultdict[str, float] = defaultdict(float)  # s, or the averaged quantity times s
        self._blind: defaultdict[str, float] = defaultdict(float)  # why nothing was watched -> s
        self._chance = np.zeros(len(STRENGTHS))  # times s

    def push(self, observation: Observation, gray: Gray | None = None) -> None:
        """Takes the next observation; ``gray`` is the frame's, for light and sharpness."""
        self._forget(observation.time)
        for signal in observation.faces:
            track, activity = signal.face.track, signal.activity
            if activity is not None and activity.head > self._settings.head_speed_px_s:
                self._fast[track] = observation.time
            before = self._before.pop(track, None)
            if activity is not None:
                self._before[track] = activity
            step = observation.time - self._sampled.get(track, -math.inf)
            if step < SAMPLE_S:
                continue
            self._sampled[track] = observation.time
            if step < UNKNOWN_S and observation.fps:
                self._sample(signal, before, observation, step)
            if gray is not None and observation.time - self._looked.get(track, -math.inf) >= LOOK_S:
                self._looked[track] = observation.time
                self._look(signal.face, gray)

    def result(self) -> Sensitivity | None:
        """The estimate so far; None before a face was in view for LEAST_S, or when that was long ago."""
        in_view, watched = self._sums["in view"], self._sums["watched"]
        if in_view < LEAST_S:
            return None
        if not watched:
            return Sensitivity(None, 0.0, 0.0, self._not_watched())
        chance = self._chance / watched
        shift = math.inf
        if chance[-1] >= SEEN:  # log-spaced strengths: interpolated on that scale
            shift = float(np.exp(np.interp(SEEN, chance, np.log(STRENGTHS))))
        known = shift if shift <= self._settings.max_shift_px else None
        reasons = (*self._reasons(), *self._not_watched())
        return Sensitivity(known, watched / 60, watched / in_view, reasons)

    # --- one observation ----------------------------------------------------------------------------------------------

    def _forget(self, time: float) -> None:
        if self._time is not None and self._memory_s < math.inf:
            keep = math.exp(-max(time - self._time, 0.0) / self._memory_s)
            self._chance *= keep
            for sums in (self._sums, self._blind):
                for key in sums:
                    sums[key] *= keep
        self._time = time

    def _sample(self, signal: FaceSignal, before: Activity | None, observation: Observation, step: float) -> None:
        self._sums["in view"] += step
        activity = signal.activity
        why = signal.note or self._why_not(signal.face.track, observation)
        if activity is None or why:
            self._blind[why] += step
            return
        noise = activity.noise[ACTIVE]
        self._chance += step * chances(noise, activity.threshold, activity.least, observation.fps, self._settings)
        values = {
            "watched": 1.0,
            "noise": float(noise.mean()),
            "threshold": activity.threshold,
            "fps": observation.fps,
            "width": signal.face.box[2] - signal.face.box[0],
            "head": activity.head,
            "jitter": 0.0 if before is None else jitter(before, activity, observation.fps, self._settings) ** 2,
        }
        for key, value in values.items():
            self._sums[key] += step * value

    def _why_not(self, track: int, observation: Observation) -> str:
        """The reason why a current movement would not be reported; empty if it would be."""
        if observation.fps < self._settings.min_rate_fps:
            return SLOW
        since = observation.time - self._fast.get(track, -math.inf)
        return HEAD if since < PULSE_S + self._settings.change_s else ""

    def _look(self, face: Face, gray: Gray) -> None:
        """Light and gradient of a face, at about the size of the aligned image."""
        x0, y0, x1, y1 = (max(int(v), 0) for v in face.box)
        step = max(1, round((x1 - x0) / WIDE))
        patch = gray[y0:y1, x0:x1]
        rows, columns = (side // step for side in patch.shape)
        if rows < 2 * BLOCK or columns < 2 * BLOCK:
            return
        blocks = patch[: rows * step, : columns * step].reshape(rows, step, columns, step)
        small = blocks.mean(axis=(1, 3))
        total = np.cumsum(np.cumsum(small, axis=0), axis=1)
        # a running mean over BLOCK x BLOCK, as much as registration smooths, so that noise does not count as a gradient
        smooth = total[BLOCK:, BLOCK:] - total[:-BLOCK, BLOCK:] - total[BLOCK:, :-BLOCK] + total[:-BLOCK, :-BLOCK]
        slopes = np.gradient(smooth / BLOCK**2)
        self._sums["looks"] += 1
        self._sums["light"] += float(small.mean())
        self._sums["slope"] += float(np.sqrt(sum((slope**2).mean() for slope in slopes)))

    # --- why ----------------------------------------------------------------------------------------------------------

    def _reasons(self) -> tuple[str, ...]:
        """The reasons that raise the smallest movement most, each by how much it would fall without it."""
        watched, settings = self._sums["watched"], self._settings
        noise, threshold, fps = (self._sums[key] / watched for key in ("noise", "threshold", "fps"))
        # noise that is new in each frame is averaged over ``smoothing_s``; over more frames it would be less
        random = min(self._sums["jitter"] / watched / noise**2, 1.0)
        fewer = averaged(fps, settings) / averaged(FULL_RATE, settings)
        smoother = noise * math.sqrt(1 - random + random * min(fewer, 1.0))

        def needed(noise: float, threshold: float, fps: float) -> float:
            least = max(settings.min_shift_px, settings.visible_noise * noise)
            return max(least, threshold * (noise + NOISE_FLOOR)) / kept(round(fps), settings)

        now = needed(noise, threshold, fps)
        found = [
            (now / needed(min(noise, STILL_PX), threshold, fps), self._restless(noise, random)),
            (now / needed(smoother, threshold, max(fps, FULL_RATE)), f"{fps:.0f} new frames per second"),
            (
                now / needed(noise, min(threshold, CALM), fps),
                f"the face is rarely calm: a movement must exceed {threshold:.1f} times its noise",
            ),
        ]
        return tuple(words for factor, words in sorted(found, reverse=True) if factor >= WORTH)

    def _restless(self, noise: float, random: float) -> str:
        """Likely causes for a wander of ``noise`` px of a resting face; ``random``: fraction that is new in each
        frame."""
        looks, watched = self._sums["looks"], self._sums["watched"]
        width, head = self._sums["width"] / watched, self._sums["head"] / watched
        causes = []
        if width < WIDE:
            causes.append(f"the face is only {width:.0f} px wide")
        if looks:
            light, slope = self._sums["light"] / looks, self._sums["slope"] / looks
            if light < DARK:
                causes.append(f"too dark: {light:.0f} of 255 gray levels")
            if slope < FLAT:
                causes.append(f"flat or blurred: its gradient is {slope:.1f} gray levels per px")
        if head > self._settings.head_speed_px_s / 4:
            causes.append(f"the head moves at {head:.0f} px/s")
        causes.append(
            "from frame to frame: sensor noise or compression"
            if random > 0.5
            else "slowly: the head sways, the face is restless, or the codec lags"
        )
        return f"the face at rest wanders by {noise:.2f} px ({', '.join(causes)})"

    def _not_watched(self) -> tuple[str, ...]:
        """The reason why nothing was watched for a large part of the time."""
        in_view = self._sums["in view"]
        worst = sorted(self._blind.items(), key=lambda item: -item[1])
        return tuple(
            f"not watched for {100 * time / in_view:.0f} % of the time: {why}"
            for why, time in worst
            if time > SHARE * in_view
        )


def jitter(before: Activity, now: Activity, fps: float, settings: SpotConfig) -> float:
    """The noise that is new in each frame, px, from the step between the averages at two frames.

    These share all frames but one each, so they differ by the noise of two frames over the number averaged.
    """
    step = ((now.displacement - before.displacement)[ACTIVE] ** 2).sum(axis=1)
    return math.sqrt(float(np.median(step)) / CHI_MEDIAN * averaged(fps, settings))


def averaged(fps: float, settings: SpotConfig) -> int:
    """Frames in an average over ``smoothing_s``."""
    return math.floor(settings.smoothing_s * fps + ROUNDING) + 1


@lru_cache(maxsize=256)
def kept(fps: int, settings: SpotConfig) -> float:
    """The fraction of a typical movement's strength that remains at its apex, averaged over the phase of the frames.

    The spotter uses the mean over ``smoothing_s`` against that of ``change_s`` before.
    """
    shares = []
    for phase in range(PHASES):
        times = (np.arange(-fps // 2, fps // 2 + 1) + phase / PHASES) / fps  # the apex is at 0
        course = np.where(np.abs(times) < PULSE_S / 2, 0.5 + 0.5 * np.cos(2 * np.pi * times / PULSE_S), 0.0)
        inside = (times[:, None] - times >= 0) & (times[:, None] - times <= settings.smoothing_s)
        smooth = inside @ course / inside.sum(axis=1)
        before = np.maximum(np.searchsorted(times, times - settings.change_s, side="right") - 1, 0)
        shares.append(float((smooth - smooth[before]).max()))
    return float(np.mean(shares))


def chances(noise: Floats, threshold: float, least: float, fps: float, settings: SpotConfig) -> Doubles:
    """The chance that movements of STRENGTHS are seen, float64 (S,), equally often in every region.

    noise: (A,) px, of the regions at rest. threshold: times noise. least: px.
    """
    share = kept(round(fps), settings)
    needed = np.maximum(least, threshold * (noise + NOISE_FLOOR))
    # the strength is the mean of two regions
    spread = np.maximum(noise / math.sqrt(2), SPREAD_PX)
    distance = (share * STRENGTHS[:, None] - needed) / spread
    return np.asarray((1 / (1 + np.exp(-LOGIT * np.clip(distance, -20, 20)))).mean(axis=1), np.float64)
