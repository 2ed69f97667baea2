"""Draws random, reproducible scripts: a number of events per minute, after a quiet start, never touching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from realtime_mer.errors import ConfigError
from realtime_mer.synth.movements import MOVEMENTS, Movement, Pulse
from realtime_mer.synth.script import Blink, Camera, Script, Sway, Talk, Turn

QUIET: Final = 2.0  # s at the start without events, for the spotter to learn the resting face
GAP: Final = 0.8  # least interval between two events, s; closer ones would look like one even to a person
RISE: Final = (0.35, 0.55)  # part of a pulse's duration before its apex


@dataclass(frozen=True, slots=True)
class Density:
    """Events per minute, and the ranges of their sizes (px of the aligned face, s)."""

    micro: float = 10.0
    macro: float = 2.0
    blinks: float = 12.0
    talks: float = 0.0
    turns: float = 0.0
    peak: tuple[float, float] = (0.5, 3.0)
    micro_duration: tuple[float, float] = (0.1, 0.45)
    macro_peak: tuple[float, float] = (2.0, 4.0)
    macro_duration: tuple[float, float] = (1.0, 3.0)
    blink_duration: tuple[float, float] = (0.12, 0.3)
    talk_duration: tuple[float, float] = (1.5, 4.0)


def random_script(
    seed: int,
    duration: float = 60.0,
    fps: float = 200.0,
    density: Density | None = None,
    sway: Sway | None = None,
    camera: Camera | None = None,
    jitter: float = 0.0,
    movements: Sequence[Movement] = tuple(MOVEMENTS.values()),
) -> Script:
    """A script drawn from ``seed``; the events do not depend on ``fps``, ``sway`` or ``camera``.

    Raises ConfigError when the events do not fit into the duration.
    """
    density = density or Density()
    random = np.random.default_rng((seed, 4))
    kinds = [
        kind
        for kind in ("micro", "macro", "blinks", "talks", "turns")
        for _ in range(round(getattr(density, kind) * duration / 60))
    ]
    kinds = [kinds[i] for i in random.permutation(len(kinds))]
    ranges = {
        "micro": density.micro_duration,
        "macro": density.macro_duration,
        "blinks": density.blink_duration,
        "talks": density.talk_duration,
        "turns": (0.3, 0.8),
    }
    lengths = [float(random.uniform(*ranges[kind])) for kind in kinds]
    starts = _spread(random, lengths, QUIET, duration)
    found: dict[str, list[Pulse | Blink | Talk | Turn]] = {}
    for kind, onset, length in zip(kinds, starts, lengths, strict=True):
        found.setdefault(kind, []).append(_event(random, kind, onset, length, density, movements))
    return Script(
        duration=duration,
        fps=fps,
        seed=seed,
        pulses=tuple(e for kind in ("micro", "macro") for e in found.get(kind, []) if isinstance(e, Pulse)),
        blinks=tuple(e for e in found.get("blinks", []) if isinstance(e, Blink)),
        talks=tuple(e for e in found.get("talks", []) if isinstance(e, Talk)),
        turns=tuple(e for e in found.get("turns", []) if isinstance(e, Turn)),
        sway=sway or Sway(),
        camera=camera or Camera(),
        jitter=jitter,
    )


def _spread(random: np.random.Generator, lengths: list[float], start: float, end: float) -> list[float]:
    """Onsets of events of the given lengths, in order, within (start, end), at least GAP apart, with random spacing."""
    spare = end - start - sum(lengths) - GAP * (len(lengths) + 1)
    if spare < 0:
        raise ConfigError(f"{len(lengths)} events do not fit into {end:g} s: use fewer events or a longer recording")
    shares = random.dirichlet(np.ones(len(lengths) + 1)) * spare
    onsets, clock = [], start
    for length, share in zip(lengths, shares, strict=False):
        clock += GAP + float(share)
        onsets.append(clock)
        clock += length
    return onsets


def _event(
    random: np.random.Generator, kind: str, onset: float, length: float, density: Density, movements: Sequence[Movement]
) -> Pulse | Blink | Talk | Turn:
    apex, offset = onset + length * float(random.uniform(*RISE)), onset + length
    if kind == "micro":
        return Pulse(_choice(random, movements), float(random.uniform(*density.peak)), onset, apex, offset)
    if kind == "macro":
        apex = onset + 0.3 * length
        peak = float(random.uniform(*density.macro_peak))
        return Pulse(
            _choice(random, movements), peak, onset, apex, offset, hold=float(random.uniform(0, 0.35)) * length
        )
    if kind == "blinks":
        return Blink(onset, onset + 0.38 * length, offset)  # lids close faster than they open
    if kind == "talks":
        return Talk(onset, offset, float(random.uniform(2.0, 4.0)))
    yaw, pitch = (float(v) for v in random.normal(0, 3.0, 2))
    dx, dy = (float(v) for v in random.normal(0, 4.0, 2))
    return Turn(onset, apex, offset, yaw=yaw, pitch=pitch, shift=(dx, dy))


def _choice(random: np.random.Generator, movements: Sequence[Movement]) -> Movement:
    return movements[int(random.integers(len(movements)))]
