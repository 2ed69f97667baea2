"""Every setting with its default, unit, range and meaning. Read from TOML and from ``section.key=value`` pairs.

Durations are in seconds and lengths on the face in px of the aligned face (128 px wide, 44 px between the eyes), so
that one set of values serves any frame rate and size.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from realtime_mer.errors import ConfigError
from realtime_mer.typed import LONGEST, convert, from_toml, shown


def setting(default: Any, unit: str, help: str, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with its unit, its meaning and its allowed range."""
    return field(default=default, metadata={"unit": unit, "help": help, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class FacesConfig:
    max_faces: int = setting(4, "faces", "maximum number of faces followed at once", 1, 32)
    min_score: float = setting(0.5, "0-1", "detections with a lower score are ignored", 0, 1)
    search_s: float = setting(0.2, "s", "interval between searches while no face is followed", 0.01, 10)
    check_s: float = setting(0.5, "s", "interval between checks of the faces that are followed", 0.02, 10)
    landmarks_s: float = setting(4.0, "s", "landmarks are kept this long while a light check confirms the faces", 0, 60)
    patience_s: float = setting(0.04, "s", "a recorded video waits this long, in video time, for a detection", 0, 1)
    forget_s: float = setting(2.0, "s", "a face that returns within this time keeps its number", 0, 60)
    min_width_px: float = setting(60.0, "px", "faces narrower than this in the frame are not measured", 20, 2000)
    max_turn_deg: float = setting(35.0, "deg", "faces turned further away (yaw or pitch) are not measured", 5, 90)


@dataclass(frozen=True, slots=True)
class SpotConfig:
    # when a movement starts
    onset_noise: float = setting(
        5.0, "noise", "a movement starts when the activity exceeds its usual level by this many times its noise", 1, 100
    )
    peak_share: float = setting(0.25, "0-1", "it must also exceed this fraction of the strongest recent movement", 0, 1)
    peak_memory_s: float = setting(
        6.0, "s", "time constant with which the strongest recent movement is forgotten", 0.5, 60
    )
    hold_s: float = setting(0.015, "s", "the activity must stay above the threshold for this long", 0, 0.2)
    change_s: float = setting(0.16, "s", "activity is the change over this time", 0.05, 0.5)
    # onset, apex and offset
    onset_fraction: float = setting(
        0.15, "0-1", "the onset is the last moment below this fraction of the peak", 0.01, 0.9
    )
    look_back_s: float = setting(0.4, "s", "the onset is searched this far back", 0.05, 1.0)
    apex_drop: float = setting(
        0.01, "0-1", "the apex has passed when the activity has fallen by this fraction", 0.01, 0.9
    )
    apex_delay_s: float = setting(0.0, "s", "and when this much time has passed since the apex", 0, 0.5)
    early: float = setting(
        0.8, "0-1", "a movement is reported before its end when its probability of being confirmed reaches this", 0, 1
    )
    offset_fraction: float = setting(0.6, "0-1", "the offset is the return to this fraction of the peak", 0.05, 0.95)
    plateau_s: float = setting(
        0.12, "s", "a face that keeps still for this long during its return has come to rest", 0.02, 1
    )
    plateau_fraction: float = setting(0.95, "0-1", "it has not come to rest above this fraction of the peak", 0.1, 1)
    held_s: float = setting(0.4, "s", "a face that keeps still for this long anywhere has come to rest", 0.1, 2)
    # what is a micro-expression
    micro_min_s: float = setting(0.04, "s", "shorter movements are noise", 0, 0.5)
    micro_max_s: float = setting(0.5, "s", "longer movements are macro-expressions", 0.1, 2)
    rise_max_s: float = setting(0.26, "s", "held expressions that took longer to rise are macro-expressions", 0.05, 2)
    held_is_micro: bool = setting(False, "", "count held expressions as micro-expressions")
    macro_max_s: float = setting(2.0, "s", "a movement that lasts longer is taken as the new resting face", 0.5, 2)
    min_shift_px: float = setting(0.16, "px", "weaker movements are not reported", 0, 10)
    visible_noise: float = setting(
        8.0, "noise", "nor movements weaker than this many times the resting noise of the face", 0, 100
    )
    max_shift_px: float = setting(4.5, "px", "stronger movements are macro-expressions, however short", 0.5, 50)
    isolation_s: float = setting(0.25, "s", "movements that begin sooner after another one are rejected", 0, 2)
    head_speed_px_s: float = setting(25.0, "px/s", "movements during faster head motion are rejected", 1, 500)
    eyes_shut: float = setting(0.35, "0-1", "in a blink the eyes differ from their resting look by this much", 0.05, 1)
    blink_lids: float = setting(3.0, "times", "and the lids move this many times as far as the rest of the face", 0, 20)
    speech_s: float = setting(5.0, "s", "the mouth's movements of this much time decide whether it is speaking", 0, 10)
    speech_time: float = setting(0.2, "0-1", "it is speaking when the mouth moved for this fraction of that time", 0, 1)
    speech_share: float = setting(
        0.3, "0-1", "the mouth moves when it moves by this fraction of the movement in question", 0, 10
    )
    speech_px: float = setting(0.5, "px", "and by at least this much", 0, 10)
    min_rate_fps: float = setting(
        20.0, "frames/s", "below this frame rate micro-expressions cannot be resolved", 1, 100
    )
    # what interrupts a recording
    max_gap_s: float = setting(
        0.1, "s", "a longer interval between two frames interrupts the current movement", 0.04, 2
    )
    cut_gray: float = setting(20.0, "gray levels", "a frame that differs by more from the last one is a cut", 2, 255)
    # the baseline: the face at rest
    settle_s: float = setting(
        1.0, "s", "nothing is reported until the resting face has been learned for this long", 0.1, 10
    )
    baseline_s: float = setting(0.6, "s", "time constant of the resting position", 0.05, 10)
    noise_s: float = setting(6.0, "s", "time constant of the estimate of resting noise", 0.5, 60)
    smoothing_s: float = setting(0.05, "s", "measurements are averaged over this time", 0, 0.1)


@dataclass(frozen=True, slots=True)
class ClassifyConfig:
    model: str = setting("default", "", "name of a shipped or cached model, a model file, or none")
    device: str = setting("auto", "", "device that runs the recognizer: auto, cpu, cuda or tensorrt")
    provisional: bool = setting(True, "", "also classify right after the apex, before the offset is known")


@dataclass(frozen=True, slots=True)
class Config:
    faces: FacesConfig = field(default_factory=FacesConfig)
    spot: SpotConfig = field(default_factory=SpotConfig)
    classify: ClassifyConfig = field(default_factory=ClassifyConfig)


# Names of settings before version 0.2, so that the error for an old file says what to change.
RENAMED: Final = {
    "faces": {
        "search": "search_s", "refresh": "check_s", "patience": "patience_s", "forget": "forget_s",
        "min_width": "min_width_px", "max_turn": "max_turn_deg",
    },
    "spot": {
        "enter": "onset_noise", "memory": "peak_share", "min_shift": "min_shift_px", "max_shift": "max_shift_px",
        "hold": "hold_s", "leave": "offset_fraction", "start": "onset_fraction", "look_back": "look_back_s",
        "fall": "apex_drop", "wait": "apex_delay_s", "micro_max": "micro_max_s", "micro_min": "micro_min_s",
        "isolation": "isolation_s", "baseline": "baseline_s", "noise": "noise_s", "settle": "settle_s",
        "head_speed": "head_speed_px_s", "min_rate": "min_rate_fps", "cut_grey": "cut_gray",
    },
}  # fmt: skip


def load(path: str | Path | None = None, pairs: Iterable[str] = (), base: Config | None = None) -> Config:
    """``base`` (the defaults), overridden by the TOML file ``path`` and then by ``pairs`` such as "spot.onset_noise=8".

    Raises ConfigError for a file that cannot be read, an unknown key, a wrong type or a value out of range.
    """
    config = base or Config()
    if path is not None:
        try:
            config = merge(config, from_toml(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigError(f"settings file {path} cannot be read: {error.strerror or error}") from None
        except ValueError as error:  # not TOML, not UTF-8, or a number too long for Python
            raise ConfigError(f"settings file {path} is not valid TOML: {error}") from None
    for pair in pairs:
        name, equals, text = pair.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot:
            raise ConfigError(f"{shown(pair)} is not section.key=value, e.g. spot.onset_noise=8")
        try:
            value = from_toml(f"value = {text}")["value"]
        except ValueError:  # not TOML (or a number too long for Python), so treated as text
            value = text.strip()
        config = merge(config, {section: {key: value}})
    return config


def merge(config: Config, values: Mapping[str, Any]) -> Config:
    """``config`` with the settings of the nested mapping ``values``. Raises ConfigError."""
    for section, entries in values.items():
        if section not in {f.name for f in fields(config)}:
            raise ConfigError(f"unknown section [{_word(section)}]; known: {', '.join(f.name for f in fields(config))}")
        if not isinstance(entries, Mapping):
            raise ConfigError(f"[{section}] must be a section with keys")
        part = getattr(config, section)
        known = {f.name: f for f in fields(part)}
        for key, value in entries.items():
            if new := RENAMED.get(section, {}).get(key):
                raise ConfigError(f"setting {section}.{key} is now called {section}.{new}")
            if key not in known:
                raise ConfigError(f"unknown setting {section}.{_word(key)}; known: {', '.join(known)}")
            part = replace(part, **{key: _checked(f"{section}.{key}", value, getattr(part, key), known[key].metadata)})
        config = replace(config, **{section: part})
    return config


def _checked(name: str, value: Any, current: Any, meta: Mapping[str, Any]) -> Any:
    kind = type(current)
    try:
        value = convert(value, kind)
    except ValueError:
        wanted = "a number" if kind is float else f"of type {kind.__name__}"
        raise ConfigError(f"{name} must be {wanted}, not {shown(value)}") from None
    low, high = meta["low"], meta["high"]
    if low is not None and not low <= value <= high:
        raise ConfigError(f"{name} must be between {low:g} and {high:g} {meta['unit']}, not {shown(value)}")
    return value


def _word(key: str) -> str:
    return key if key.isprintable() and len(key) <= LONGEST else shown(key)


def _toml(value: Any) -> str:
    # TOML's strings are JSON's, except for surrogate pairs and the bare delete character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def to_toml(config: Config) -> str:
    """All settings as TOML with their units and meanings as comments; ``load`` reads it back."""
    lines = ["# Settings of realtime-mer. Times are seconds; px are of the aligned face (128 px wide)."]
    for section in fields(config):
        lines += ["", f"[{section.name}]"]
        part = getattr(config, section.name)
        for entry in fields(part):
            unit = f"[{entry.metadata['unit']}] " if entry.metadata["unit"] else ""
            lines.append(f"{entry.name} = {_toml(getattr(part, entry.name))}  # {unit}{entry.metadata['help']}")
    return "\n".join(lines) + "\n"
