"""Movements of a synthetic face: named movements of its regions, and pulses of them. ``warp`` draws them.

All lengths are pixels of the aligned 128 px face (eyes 44 px apart), x to the right and y down in the frame; the
subject's left is on the right. All times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, hypot, pi
from types import MappingProxyType
from typing import Final

from realtime_mer.errors import ConfigError
from realtime_mer.face.regions import NAMES
from realtime_mer.records import Kind

MICRO_LONGEST: Final = 0.5  # s, a longer movement is a macro-expression (Yan et al. 2013)


@dataclass(frozen=True, slots=True)
class Movement:
    """Which regions move, and in which direction: (region name, dx, dy), with length 1 for the strongest region.

    Raises ConfigError for an unknown region or when nothing moves.
    """

    name: str
    parts: tuple[tuple[str, float, float], ...]

    def __post_init__(self) -> None:
        for region, _, _ in self.parts:
            if region not in NAMES:
                raise ConfigError(
                    f"movement {self.name!r}: no region is called {region!r}; choose from {', '.join(NAMES)}"
                )
        if not max((hypot(dx, dy) for _, dx, dy in self.parts), default=0.0) > 0:
            raise ConfigError(f"movement {self.name!r} moves nothing: give at least one region a direction")

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(region for region, _, _ in self.parts)


def movement(name: str, *parts: tuple[str, float, float]) -> Movement:
    """A Movement with its parts scaled so that the strongest one has length 1."""
    longest = max((hypot(dx, dy) for _, dx, dy in parts), default=0.0) or 1.0
    return Movement(name, tuple((region, dx / longest, dy / longest) for region, dx, dy in parts))


def both(part: str, outward: float, down: float) -> tuple[tuple[str, float, float], tuple[str, float, float]]:
    """The right and the left region called ``part``, moved symmetrically (outward is away from the midline)."""
    return (f"right {part}", -outward, down), (f"left {part}", outward, down)


MOVEMENTS: Final = MappingProxyType(
    {
        m.name: m
        for m in (
            movement("smile", *both("lip corner", 0.7, -0.7), *both("cheek", 0.1, -0.5)),  # AU12 (+6)
            movement("right smirk", ("right lip corner", -0.7, -0.7), ("right cheek", 0.0, -0.35)),  # one-sided AU12
            movement("left smirk", ("left lip corner", 0.7, -0.7), ("left cheek", 0.0, -0.35)),
            movement("lip corners down", *both("lip corner", 0.2, 1.0)),  # AU15
            movement("inner brow raise", *both("inner brow", 0.0, -1.0)),  # AU1
            movement("brow raise", *both("inner brow", 0.0, -1.0), *both("outer brow", 0.0, -0.9)),  # AU1+2
            movement("brow lower", *both("inner brow", -0.5, 0.8), *both("outer brow", -0.1, 0.3)),  # AU4
            movement("upper lip raise", ("upper lip", 0.0, -1.0), *both("nose wing", 0.1, -0.5)),  # AU10
            movement(
                "nose wrinkle", *both("nose wing", 0.0, -1.0), *both("inner brow", -0.2, 0.4), ("upper lip", 0, -0.5)
            ),
            movement("chin raise", ("chin", 0.0, -1.0), ("lower lip", 0.0, -0.7)),  # AU17
        )
    }
)


def bump(time: float, onset: float, apex: float, offset: float, hold: float = 0.0) -> float:
    """A raised-cosine rise and fall, 0 outside (onset, offset), 1 from ``apex`` to ``apex + hold``."""
    if time <= onset or time >= offset:
        return 0.0
    if time < apex:
        return 0.5 - 0.5 * cos(pi * (time - onset) / (apex - onset))
    if time <= apex + hold:
        return 1.0
    return 0.5 + 0.5 * cos(pi * (time - apex - hold) / (offset - apex - hold))


def check_times(what: str, onset: float, apex: float, offset: float, hold: float = 0.0) -> None:
    """Raises ConfigError unless onset < apex <= apex + hold < offset."""
    if not (onset < apex and hold >= 0 and apex + hold < offset):
        raise ConfigError(f"{what}: needs onset < apex <= apex + hold < offset, got {onset}, {apex}, {hold}, {offset}")


@dataclass(frozen=True, slots=True)
class Pulse:
    """One movement that comes and goes. ``peak``: px that the landmarks of the strongest region move, on average.

    onset, apex, offset: s. hold: s that the peak lasts after the apex (macro-expressions).
    Raises ConfigError when the times are out of order or the peak is not positive.
    """

    movement: Movement
    peak: float
    onset: float
    apex: float
    offset: float
    hold: float = 0.0

    def __post_init__(self) -> None:
        check_times(f"pulse {self.movement.name!r}", self.onset, self.apex, self.offset, self.hold)
        if not self.peak > 0:
            raise ConfigError(f"pulse {self.movement.name!r}: the peak must be above 0 px, got {self.peak}")

    @property
    def kind(self) -> Kind:
        return Kind.MICRO if self.offset - self.onset <= MICRO_LONGEST else Kind.MACRO

    def at(self, time: float) -> float:
        """Displacement of the strongest region, px."""
        return self.peak * bump(time, self.onset, self.apex, self.offset, self.hold)
