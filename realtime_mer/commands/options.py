"""Options that several commands share, and what is made of them."""

from __future__ import annotations

import argparse
import json
from typing import Any

from realtime_mer.config import Config, load, merge

Commands = Any  # argparse's subparsers object has no public type


def add_settings(parser: argparse.ArgumentParser) -> None:
    """--config, --set, --model, --device."""
    parser.add_argument("--config", metavar="FILE", help="settings as TOML (see `realtime-mer config`)")
    parser.add_argument(
        "--set", metavar="SECTION.KEY=VALUE", action="append", default=[], help="one setting, e.g. spot.onset_noise=8"
    )
    parser.add_argument("--model", help="recogniser: a name (see `realtime-mer models`), a model file, or none")
    parser.add_argument("--device", help="what computes the recogniser: auto (default), cpu, cuda or tensorrt")


def settings(arguments: argparse.Namespace) -> Config:
    """The settings that the options of ``add_settings`` ask for. Raises ConfigError."""
    config = load(arguments.config, arguments.set)
    chosen = {key: value for key in ("model", "device") if (value := getattr(arguments, key)) is not None}
    return merge(config, {"classify": chosen}) if chosen else config


def add_camera(parser: argparse.ArgumentParser) -> None:
    """--width, --height, --fps, asked of a camera, and --rate of a folder of images."""
    parser.add_argument("--width", type=int, metavar="PX", help="asked of a camera (default: 640)")
    parser.add_argument("--height", type=int, metavar="PX", help="asked of a camera (default: 480)")
    parser.add_argument("--fps", type=positive, help="frames/s asked of a camera (default: the most it has)")
    add_rate(parser)


def add_rate(parser: argparse.ArgumentParser) -> None:
    """--rate of a folder of images."""
    parser.add_argument("--rate", type=positive, metavar="FPS", help="frames/s of a folder of images")


def camera(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of ``add_camera`` as arguments of ``open_source``."""
    return {key: getattr(arguments, key) for key in ("width", "height", "fps", "rate")}


def positive(text: str) -> float:
    """A number above zero, for ``type=`` of an option."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be a positive number, not '{text}'")
    return value


def print_json(value: Any) -> None:
    """``value`` on standard output as indented JSON."""
    print(json.dumps(value, indent=2))
