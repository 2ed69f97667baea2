"""A webhook: sends each event by POST, as JSON, to an HTTP server, repeatedly until it is accepted.

A server can recognize a duplicate (it accepted an event, and its answer was lost) by the header ``Idempotency-Key``.
Redirects are not followed: a message goes to the given address, or nowhere.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from realtime_mer.errors import first_line
from realtime_mer.sinks import Sink
from realtime_mer.sinks.jsonl import Header
from realtime_mer.targets import State, Stats, Target
from realtime_mer.targets.messages import Message, Messages
from realtime_mer.targets.outbox import Outbox, UndeliveredError

TIMEOUT_S: Final = 5.0  # for an answer
LATER: Final = (408, 425, 429)  # answers besides 5xx after which to try again


class Webhook(Target):
    """Sends headers, events, markers and ends, but no status. A name and password in the address become HTTP Basic
    authentication."""

    def __init__(self, address: str, *, rejected: bool = False) -> None:
        parts = urlsplit(address)
        self._address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self.name = urlunsplit(urlsplit(self._address)._replace(query="", fragment=""))  # a query may contain a secret
        self._headers = {"Content-Type": "application/json", "User-Agent": "realtime-mer"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        self._rejected = rejected
        self._opener = urllib.request.build_opener(_NoRedirection)
        self._outbox = Outbox(self.name, self._deliver)

    def follow(self, head: Header, stats: Stats | None = None) -> Sink:
        return Messages(self._post, head, stats, rejected=self._rejected)

    @property
    def state(self) -> State:
        return self._outbox.state

    def close(self) -> None:
        self._outbox.close()

    def _post(self, message: Message, passing: bool) -> None:
        if not passing:
            self._outbox.post(message, False)

    def _deliver(self, message: Message) -> None:
        request = urllib.request.Request(
            self._address,
            json.dumps(message, allow_nan=False).encode(),
            {**self._headers, "Idempotency-Key": key_of(message)},
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            error.close()
            final = error.code < 500 and error.code not in LATER
            raise UndeliveredError(f"the server answered {error.code} {error.reason}", final=final) from None
        except urllib.error.URLError as error:
            why = error.reason
            raise UndeliveredError(first_line(why) if isinstance(why, BaseException) else str(why)) from None
        except (OSError, HTTPException) as error:
            raise UndeliveredError(first_line(error)) from None


def key_of(message: Message) -> str:
    """A key that is the same for every attempt to send a message, and different for each message."""
    names = [str(message[name]) for name in ("run", "type", "track", "id", "report", "time") if name in message]
    return "/".join(names)


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
