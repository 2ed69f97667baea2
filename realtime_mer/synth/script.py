"""The script of a synthetic recording: its events as plain data with known times. Nothing is drawn here.

A script is independent of the frame rate: everything is a function of time in seconds; only ``times`` knows frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from realtime_mer.errors import ConfigError
from realtime_mer.records import Kind
from realtime_mer.synth.movements import Pulse, bump, check_times
from realtime_mer.synth.warp import Doubles

SWAY_TONES: Final = 12  # number of sinusoids in one channel of band-limited noise
SYLLABLES: Final = (2.5, 6.0)  # Hz, rate at which the mouth opens in speech (Chandrasekaran et al. 2009)


@dataclass(frozen=True, slots=True)
class Blink:
    """Both eyes close and open. Times in s; the eyes are shut at ``apex``."""

    onset: float
    apex: float
    offset: float

    def __post_init__(self) -> None:
        check_times("blink", self.onset, self.apex, self.offset)


@dataclass(frozen=True, slots=True)
class Talk:
    """A period of speech-like mouth opening. opening: largest drop of the lower lip, px."""

    onset: float
    offset: float
    opening: float = 3.0

    def __post_init__(self) -> None:
        check_times("talk", self.onset, (self.onset + self.offset) / 2, self.offset)

    def at(self, time: float, seed: int) -> float:
        """Drop of the lower lip, px."""
        if not self.onset < time < self.offset:
            return 0.0
        fade = min(0.15, (self.offset - self.onset) / 4)
        envelope = bump(time, self.onset, self.onset + fade, self.offset, self.offset - self.onset - 2 * fade)
        return self.opening * envelope * float(np.clip(0.5 + 0.5 * wander(time, seed, SYLLABLES), 0, 1))


@dataclass(frozen=True, slots=True)
class Turn:
    """A quick head movement and its return: degrees of turn and px (aligned face) of shift at the apex."""

    onset: float
    apex: float
    offset: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_times("turn", self.onset, self.apex, self.offset)


@dataclass(frozen=True, slots=True)
class Sway:
    """Slow random motion of the head, standard deviation of each channel; band-limited to ``band`` Hz.

    shift: px of the aligned face. roll, yaw, pitch: degrees. scale: fraction.
    """

    shift: float = 1.5
    roll: float = 0.8
    yaw: float = 1.5
    pitch: float = 1.0
    scale: float = 0.006
    band: tuple[float, float] = (0.05, 0.6)


@dataclass(frozen=True, slots=True)
class Camera:
    """Effects of the camera. noise: read noise, gray levels. shot: variance per gray level of brightness.

    drift: fraction of slow changes of the light. flicker: fraction; flicker_rate: Hz of the lamp, twice the mains.
    """

    noise: float = 1.2
    shot: float = 0.015
    drift: float = 0.01
    flicker: float = 0.0
    flicker_rate: float = 100.0


@dataclass(frozen=True, slots=True)
class Truth:
    """One known event. regions: (name, dx, dy) px of the aligned face at the apex; none for head and speech.

    label: class of emotion if known (real clips). name: of the movement, or of its clip.
    """

    kind: Kind
    onset: float
    apex: float
    offset: float
    name: str
    regions: tuple[tuple[str, float, float], ...] = ()
    peak: float = 0.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """A synthetic recording: seconds, frames/s, its events, and the random seed.

    jitter: largest deviation of a frame's time, as a fraction of the frame interval, 0 to below 1. Raises ConfigError
    when the duration, the rate or the jitter is out of range.
    """

    duration: float
    fps: float
    seed: int = 0
    pulses: tuple[Pulse, ...] = ()
    blinks: tuple[Blink, ...] = ()
    talks: tuple[Talk, ...] = ()
    turns: tuple[Turn, ...] = ()
    sway: Sway = field(default_factory=Sway)
    camera: Camera = field(default_factory=Camera)
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if not (self.duration > 0 and self.fps > 0 and 0 <= self.jitter < 1):
            raise ConfigError(
                "script: needs duration > 0, fps > 0 and 0 <= jitter < 1, "
                f"got {self.duration}, {self.fps}, {self.jitter}"
            )

    def times(self) -> Doubles:
        """The frames' times in s, float64 (n,), strictly increasing from about 0."""
        index = np.arange(max(round(self.duration * self.fps), 1))
        stray = self.jitter * np.random.default_rng((self.seed, 1)).uniform(0, 1, len(index)) if self.jitter else 0.0
        return np.asarray((index + stray) / self.fps, np.float64)

    def truth(self) -> list[Truth]:
        """All events, by onset."""
        found = [
            Truth(
                p.kind,
                p.onset,
                p.apex,
                p.offset,
                p.movement.name,
                tuple((region, dx * p.peak, dy * p.peak) for region, dx, dy in p.movement.parts),
                p.peak,
            )
            for p in self.pulses
        ]
        found += [Truth(Kind.BLINK, b.onset, b.apex, b.offset, "blink") for b in self.blinks]
        found += [Truth(Kind.SPEECH, t.onset, (t.onset + t.offset) / 2, t.offset, "talk") for t in self.talks]
        found += [Truth(Kind.HEAD, t.onset, t.apex, t.offset, "turn") for t in self.turns]
        return sorted(found, key=lambda truth: truth.onset)

    def wanted(self, time: float) -> dict[str, Doubles]:
        """Displacement of each moving region at ``time``: name -> float64 (2,) px of the aligned face."""
        regions: dict[str, Doubles] = {}

        def add(name: str, dx: float, dy: float) -> None:
            regions[name] = regions.get(name, np.zeros(2)) + np.array([dx, dy])

        for pulse in self.pulses:
            if size := pulse.at(time):
                for name, dx, dy in pulse.movement.parts:
                    add(name, size * dx, size * dy)
        for talk in self.talks:
            if drop := talk.at(time, self.seed):
                add("lower lip", 0.0, drop)
                add("chin", 0.0, 0.8 * drop)
                add("upper lip", 0.0, -0.12 * drop)
        if closure := self.closure(time):
            for name in ("right inner brow", "left inner brow", "right outer brow", "left outer brow"):
                add(name, 0.0, BLINK_BROW * closure)
        return regions

    def closure(self, time: float) -> float:
        """Closure of the eyes at ``time``, 0 to 1."""
        return max((bump(time, b.onset, b.apex, b.offset) for b in self.blinks), default=0.0)

    def head(self, time: float) -> Doubles:
        """Pose of the head at ``time``, float64 (6,): shift x, y (aligned px), roll, yaw, pitch (deg), scale - 1."""
        sway = self.sway
        size = np.array([sway.shift, sway.shift, sway.roll, sway.yaw, sway.pitch, sway.scale])
        pose = size * [wander(time, self.seed * 16 + 3 + i, sway.band) for i in range(6)]
        for turn in self.turns:
            pose += np.array([*turn.shift, turn.roll, turn.yaw, turn.pitch, 0]) * bump(
                time, turn.onset, turn.apex, turn.offset
            )
        return np.asarray(pose)

    def light(self, time: float) -> float:
        """Brightness at ``time``, as a factor around 1."""
        camera = self.camera
        slow = camera.drift * wander(time, self.seed * 16 + 15, (0.02, 0.3)) if camera.drift else 0.0
        return 1.0 + slow + camera.flicker * float(np.sin(2 * np.pi * camera.flicker_rate * time))


BLINK_BROW: Final = 0.25  # px that the brows drop in a blink


def wander(time: float, seed: int, band: tuple[float, float]) -> float:
    """A smooth random function of time with unit standard deviation and all its power within ``band`` Hz."""
    rates, phases = _tones(seed, band)
    return float(np.sqrt(2 / SWAY_TONES) * np.sin(rates * time + phases).sum())


@lru_cache(maxsize=256)
def _tones(seed: int, band: tuple[float, float]) -> tuple[Doubles, Doubles]:
    random = np.random.default_rng((seed, 2))
    return 2 * np.pi * random.uniform(*band, SWAY_TONES), random.uniform(0, 2 * np.pi, SWAY_TONES)
