"""Options that several commands share, and the objects made from them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from realtime_mer.config import Config, load, merge
from realtime_mer.errors import ConfigError

if TYPE_CHECKING:
    from realtime_mer.targets import Target

Commands = Any  # argparse's subparsers object has no public type


def add_settings(parser: argparse.ArgumentParser) -> None:
    """--config, --set, --model, --device."""
    parser.add_argument(
        "--config", metavar="FILE", help="read settings from this TOML file (see `realtime-mer config`)"
    )
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="change one setting, e.g. spot.onset_noise=8; repeatable",
    )
    parser.add_argument("--model", help="recognizer: a name (see `realtime-mer models`), a model file, or none")
    parser.add_argument("--device", help="device that runs the recognizer: auto (default), cpu, cuda or tensorrt")


def settings(arguments: argparse.Namespace, base: Config | None = None) -> Config:
    """``base``, by default the default settings, changed by the options of ``add_settings``. Raises ConfigError."""
    config = load(arguments.config, arguments.set, base)
    chosen = {key: value for key in ("model", "device") if (value := getattr(arguments, key)) is not None}
    return merge(config, {"classify": chosen}) if chosen else config


def add_camera(parser: argparse.ArgumentParser) -> None:
    """--width, --height, --fps and --exposure of a camera, and --rate of a recording."""
    parser.add_argument("--width", type=int, metavar="PX", help="width to request from a camera (default: 640)")
    parser.add_argument("--height", type=int, metavar="PX", help="height to request from a camera (default: 480)")
    parser.add_argument("--fps", type=positive, help="frame rate to request from a camera (default: its maximum)")
    parser.add_argument(
        "--exposure", type=positive, metavar="MS", help="exposure time to request from an industrial camera"
    )
    add_rate(parser)


def add_rate(parser: argparse.ArgumentParser) -> None:
    """--rate of a folder of images, or of a video that states another rate than that of its capture."""
    parser.add_argument(
        "--rate",
        type=positive,
        metavar="FPS",
        help="frame rate of a folder of images, or at which a slow-motion video was captured",
    )


def camera(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of ``add_camera`` as arguments of ``open_source``."""
    return {key: getattr(arguments, key) for key in ("width", "height", "fps", "exposure", "rate")}


def add_targets(parser: argparse.ArgumentParser) -> None:
    """--to, --rejected and --metrics."""
    parser.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="TARGET",
        help="send events as they happen: ws://HOST:PORT, mqtt://HOST/TOPIC, https://..., lsl:NAME; repeatable",
    )
    parser.add_argument("--rejected", action="store_true", help="also send rejected movements")
    parser.add_argument("--metrics", metavar="[HOST:]PORT", help="serve Prometheus metrics here")


@contextmanager
def targets(arguments: argparse.Namespace) -> Iterator[list[Target]]:
    """The targets requested with the options of ``add_targets``, open; the metrics last. Closed in turn at the end.

    Raises ConfigError, OutputError.
    """
    from realtime_mer.targets import open_target  # not for `doctor`, which must run where others cannot

    with ExitStack() as stack:
        opened = [stack.enter_context(open_target(text, rejected=arguments.rejected)) for text in arguments.to]
        if arguments.metrics is not None:
            from realtime_mer.targets.metrics import Metrics

            opened.append(stack.enter_context(Metrics(*_port(arguments.metrics), targets=tuple(opened))))
        yield opened


def _port(text: str) -> tuple[int, str]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise ConfigError(f"--metrics takes a port, or HOST:PORT, not '{text}'")
    return int(port), host or "127.0.0.1"


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
