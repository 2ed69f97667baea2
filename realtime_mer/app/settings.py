"""The settings of the server, and which requests of a viewer it grants. No web framework here."""

from __future__ import annotations

import ipaddress
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from realtime_mer.build import NO_MODEL
from realtime_mer.config import Config
from realtime_mer.errors import ConfigError, ModelError, SourceError
from realtime_mer.targets import Target
from realtime_mer.typed import convert

VIEWERS: Final = 8  # live analyses at once; each takes about a core at 200 frames/s
SENSITIVITY: Final = (3.0, 20.0)  # sensitivities that a viewer may choose, in units of resting noise
AWAY_S: Final = 30.0  # how long a live run goes on without its page, s
STREAMS: Final = ("rtsp", "rtsps", "http", "https")


@dataclass(frozen=True, slots=True)
class AppSettings:
    """host, port: where to listen; port 0 takes a free one. share: also through Gradio's public relay.

    allowed_hosts: host names besides ``host``, in lower case, such as that of a proxy in front. root_path: the path
    under which a proxy serves the page, such as "/mer"; "" for none. passwords: by name; empty: no password needed.
    keep: a folder where recordings, results and reviews stay; None: they are removed when the server ends. targets:
    what every live run sends its events to; they stay open, and belong to whoever made the settings. server_cameras:
    let viewers use the server's cameras and open stream addresses from it; None: only when the host is a loopback
    address and nothing is shared, so that every viewer is at this machine.
    """

    config: Config = field(default_factory=Config)
    host: str = "127.0.0.1"
    port: int = 7860
    share: bool = False
    server_cameras: bool | None = None
    allowed_hosts: tuple[str, ...] = ()
    root_path: str = ""
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    keep: Path | None = None
    targets: tuple[Target, ...] = ()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the page."""
        if self.share:
            return False
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def may_capture(self) -> bool:
        return self.loopback if self.server_cameras is None else self.server_cameras


def read_passwords(path: Path) -> dict[str, str]:
    """Names and passwords from a file of lines NAME:PASSWORD, which nobody else may read. Raises ConfigError."""
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{path} can be read by others: run chmod 600 {path}")
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    if len(found) != len(lines) or not found or not all(name and password for name, password in found.items()):
        raise ConfigError(f"{path} must have one line NAME:PASSWORD per person")
    return found


def models() -> list[str]:
    """The models that a viewer may choose: usable shipped and cached ones, and none."""
    from realtime_mer.recognize import catalog

    return [*dict.fromkeys(entry.path.stem for entry in catalog() if entry.spec is not None), NO_MODEL]


def address(text: object, settings: AppSettings) -> str:
    """``text`` as a camera number or a stream address that the server may open; never a path of the server.

    Raises SourceError for anything else, and for everything when the server's cameras are not offered.
    """
    if not settings.may_capture:
        raise SourceError("this server allows uploads and browser cameras only")
    wanted = str(text).strip()
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 3:
        return wanted
    try:
        parts = urlsplit(wanted)
        host = parts.hostname
    except ValueError:
        host = None
    if host and parts.scheme.lower() in STREAMS and wanted.isprintable():
        return wanted
    raise SourceError("enter a camera number such as 0, or an address that begins with rtsp:// or http://")


def sensitivity(enter: object) -> float:
    """The value of ``spot.onset_noise`` that a viewer requests. Raises ConfigError when it is not a number, or out of
    range."""
    try:
        value = convert(enter, float)
    except ValueError:
        raise ConfigError("the sensitivity must be a number") from None
    least, most = SENSITIVITY
    if not least <= value <= most:
        raise ConfigError(f"the sensitivity must be between {least:g} and {most:g} times the resting noise")
    return value


def viewer_config(request: dict[str, Any], settings: AppSettings) -> Config:
    """The server's settings with a viewer's sensitivity ("enter") and "model". A model is chosen by name only, so that
    no file of the server can be named.

    Raises ConfigError, ModelError.
    """
    config = settings.config
    enter, model = request.get("enter"), request.get("model")
    if enter is not None:
        config = replace(config, spot=replace(config.spot, onset_noise=sensitivity(enter)))
    if model is not None and model != config.classify.model:
        if model not in models():
            raise ModelError("unknown model: choose one from the list")
        config = replace(config, classify=replace(config.classify, model=str(model)))
    return config
