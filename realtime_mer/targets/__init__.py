"""Sends events to other programs as they happen: WebSocket, MQTT, webhook, LSL, Prometheus.

with open_target("mqtt://localhost") as target:
    run(source, pipeline, [target.follow(log_header(source.info, pipeline), source.stats)])

A target is opened once and serves any number of runs, in turn or at the same time. No target may delay a frame: slow
work happens in another thread, and messages that a slow or dead peer misses are counted (``State``). Files are written
by ``sinks``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from realtime_mer.errors import ConfigError
from realtime_mer.records import SourceStats
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Header

Stats = Callable[[], SourceStats]
FORMS: Final = "ws://HOST:PORT, mqtt://HOST/TOPIC, mqtts://HOST/TOPIC, http://..., https://... or lsl:NAME"
ROOM: Final = 1000  # messages that wait for an absent peer; the oldest are dropped first


@dataclass(frozen=True, slots=True)
class State:
    """The state of a target. sent, missed: numbers of messages, summed over readers.

    waiting: messages not delivered yet. peers: readers connected now; None if unknown. trouble: why nothing can be
    delivered now, "" if all is well.
    """

    sent: int = 0
    missed: int = 0
    waiting: int = 0
    peers: int | None = None
    trouble: str = ""

    @property
    def line(self) -> str:
        """The state as text, e.g. "12 sent, 3 missed (connection refused)"."""
        words = f"{self.sent} sent"
        if self.missed:
            words += f", {self.missed} missed"
        if self.waiting:
            words += f", {self.waiting} waiting"
        return words + (f" ({self.trouble})" if self.trouble else "")


class Target(ABC):
    """A destination for events. name: its address without a password, which may be shown.

    The constructor raises OutputError when the address cannot work at all (a port that is taken, a missing library). An
    absent peer is not an error: the target waits for it.
    """

    name: str

    @abstractmethod
    def follow(self, head: Header, stats: Stats | None = None) -> Sink:
        """A sink that sends one run here. stats: returns the source's counts."""

    @property
    @abstractmethod
    def state(self) -> State:
        """The current state, from any thread."""

    @abstractmethod
    def close(self) -> None:
        """Delivers waiting messages for at most a few seconds, and counts the rest as missed. Closing twice is
        allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_target(address: str, *, rejected: bool = False) -> Target:
    """The target at ``address``: one of FORMS. A name and a password precede the host: mqtt://NAME:PASSWORD@HOST.

    rejected: also send other movements (blinks, speech, ...). Raises ConfigError for any other address, OutputError as
    ``Target``.
    """
    if address.startswith("lsl:"):
        from realtime_mer.targets.lsl import LabStream

        return LabStream(address.removeprefix("lsl:"), rejected=rejected)
    parts = _split(address)
    match parts.scheme:
        case "ws":
            from realtime_mer.targets.websocket import WebSocketServer

            return WebSocketServer(parts, rejected=rejected)
        case "mqtt" | "mqtts":
            from realtime_mer.targets.mqtt import MqttBroker

            return MqttBroker(parts, rejected=rejected)
        case "http" | "https":
            from realtime_mer.targets.webhook import Webhook

            return Webhook(address, rejected=rejected)
    raise ConfigError(f"events cannot be sent to '{address}': use {FORMS}")


def describe(targets: Sequence[Target]) -> list[str]:
    """A line for each target: its name and state."""
    return [f"{target.name}: {target.state.line}" for target in targets]


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        raise ConfigError(f"'{address}' is not an address: {error}") from None
    if parts.scheme in ("ws", "mqtt", "mqtts", "http", "https") and not parts.hostname:
        raise ConfigError(f"'{address}' has no host: use {FORMS}")
    return parts
