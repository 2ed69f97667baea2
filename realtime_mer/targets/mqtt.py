"""MQTT: each kind of message on its own topic, at quality of service 1.

TOPIC/availability   "online" or "offline", retained; "offline" is the last will
TOPIC/header         of the latest run, retained
TOPIC/event, TOPIC/status, TOPIC/marker, TOPIC/end

The broker may be absent at the start, or restart: the connection is made again, and messages in between are sent then,
as far as they fit in the outbox. Needs paho-mqtt: pip install 'realtime-mer[targets]'.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Final
from urllib.parse import SplitResult, unquote

from realtime_mer.errors import ConfigError, OutputError
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Header
from realtime_mer.targets import State, Stats, Target
from realtime_mer.targets.messages import Message, Messages
from realtime_mer.targets.outbox import Outbox, UndeliveredError

TOPIC: Final = "realtime-mer"  # if the address has none
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
KEEPALIVE_S: Final = (
    20  # after 1.5 times this interval a broker considers a silent client dead, and publishes its last will
)
RETRY_S: Final = (1, 15)  # shortest and longest delay between two attempts to connect
POLL_S: Final = 0.1
ABSENT: Final = "the broker cannot be reached"


class MqttBroker(Target):
    """Publishes to a broker. A password is part of the address: mqtt://NAME:PASSWORD@HOST/TOPIC."""

    def __init__(self, address: SplitResult, *, rejected: bool = False) -> None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise OutputError("MQTT needs paho-mqtt: pip install 'realtime-mer[targets]'") from None
        host, port = address.hostname or "", address.port or PORTS[address.scheme]
        self._topic = unquote(address.path.strip("/")) or TOPIC
        if any(sign in self._topic for sign in "+#\0"):
            raise ConfigError(f"cannot publish to the topic '{self._topic}': + and # are wildcards")
        self.name = f"{address.scheme}://{host}:{port}/{self._topic}"
        self._rejected, self._connected = rejected, threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        if address.username is not None:
            self._client.username_pw_set(unquote(address.username), unquote(address.password or ""))
        if address.scheme == "mqtts":
            self._client.tls_set()
        self._client.will_set(f"{self._topic}/availability", "offline", qos=1, retain=True)
        self._client.reconnect_delay_set(*RETRY_S)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_connect_fail = self._on_connect_fail
        self._outbox = Outbox(self.name, self._deliver, self._leave)
        self._outbox.trouble(ABSENT)
        self._client.connect_async(host, port, KEEPALIVE_S)
        self._client.loop_start()

    def follow(self, head: Header, stats: Stats | None = None) -> Sink:
        return Messages(self._outbox.post, head, stats, rejected=self._rejected)

    @property
    def state(self) -> State:
        return self._outbox.state

    def close(self) -> None:
        self._outbox.close()
        self._client.loop_stop()

    def _deliver(self, message: Message) -> None:
        """Waits for the connection, and for the broker to acknowledge the message. paho sends it again itself when the
        connection is lost before that."""
        while not self._connected.wait(POLL_S):
            if self._outbox.closing:
                raise UndeliveredError(ABSENT)
        kind = message["type"]
        text = json.dumps(message, allow_nan=False)
        given = self._client.publish(f"{self._topic}/{kind}", text, qos=1, retain=kind == "header")
        while not given.is_published():
            if self._outbox.closing:
                raise UndeliveredError("the broker did not acknowledge the message")
            given.wait_for_publish(POLL_S)

    def _leave(self) -> None:
        if self._connected.is_set():
            self._client.publish(f"{self._topic}/availability", "offline", qos=1, retain=True).wait_for_publish(1.0)
        self._client.disconnect()

    def _on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._outbox.trouble(f"the broker refuses: {str(reason).lower()}")
            return
        client.publish(f"{self._topic}/availability", "online", qos=1, retain=True)
        self._outbox.trouble("")
        self._connected.set()

    def _on_connect_fail(self, *_: Any) -> None:
        self._outbox.trouble(ABSENT)

    def _on_disconnect(self, *_: Any) -> None:
        if self._connected.is_set():  # otherwise on_connect has set the reason
            self._connected.clear()
            self._outbox.trouble(ABSENT)
