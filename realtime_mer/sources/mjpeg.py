"""MJPEG over HTTP, as IP cameras, phones and mjpg-streamer send it (multipart/x-mixed-replace).

Parsed here and not by libav, for three things that libav does not give: the time at which each picture was complete,
the sender's own X-Timestamp, and a read that can be cut short. Nor by a library for form uploads: those take a part for
complete when the next boundary arrives, which is one frame late. Luma is decoded at once, colour when somebody asks.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np

from realtime_mer.errors import SourceError
from realtime_mer.records import Image
from realtime_mer.sources.feed import Shot, Shots, Source
from realtime_mer.sources.images import decode
from realtime_mer.sources.live import CONNECT_S, Line, SenderClock, Stream, open_stream

READ_BYTES = 1 << 16
PART_BYTES = 1 << 26  # no JPEG is larger than 64 MB: more without a boundary is not MJPEG
END_BYTES = 64  # some cameras pad a picture behind its end marker
JPEG_END = b"\xff\xd9"


class Parts:
    """Splits a multipart body into (headers, content). Does no input or output of its own (RFC 2046, section 5.1).

    Cameras disagree on whether the declared boundary includes its two dashes; either is understood. A part with
    Content-Length is given out when it is complete, any other when the next boundary has come.
    """

    def __init__(self, boundary: str) -> None:
        self._mark = b"--" + boundary.strip('"').lstrip("-").encode("latin-1", "replace")
        self._data = bytearray()
        self._headers: dict[str, str] | None = None

    def push(self, data: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
        """The parts that ``data`` completes. Raises ValueError when this cannot be a multipart body."""
        self._data += data
        while (part := self._next()) is not None:
            yield part
        if len(self._data) > PART_BYTES:
            raise ValueError("no boundary found")

    def _next(self) -> tuple[dict[str, str], bytes] | None:
        data = self._data
        if self._headers is None:
            start = data.find(self._mark)
            end = data.find(b"\r\n\r\n", start)
            if start < 0 or end < 0:
                return None
            lines = bytes(data[start:end]).decode("latin-1").split("\r\n")[1:]
            pairs = (line.partition(":") for line in lines)
            self._headers = {key.strip().lower(): value.strip() for key, _, value in pairs}
            del data[: end + 4]
        told = self._headers.get("content-length", "")
        size = int(told) if told.isdigit() else data.find(self._mark)
        if size < 0 or len(data) < size:
            return None
        headers, self._headers = self._headers, None
        content = bytes(data[:size])
        del data[:size]
        return headers, content


def open_mjpeg(uri: str, *, buffer_s: float, timeout_s: float, retries: int) -> Source:
    """Open an MJPEG stream and start capturing; user and password may stand in the address (basic or digest).

    Time is the sender's X-Timestamp put on the monotonic clock where the first picture has one (``info.clock`` is
    "sender"), else the monotonic time at which the picture was complete ("monotonic"). Raises SourceError.
    """
    stream = Stream(uri, timeout_s, {"pixel_format": "jpeg", "protocol": "http multipart"})
    return open_stream(stream, _shots, buffer_s=buffer_s, retries=retries)


class _Connection(http.client.HTTPConnection):
    """Gives a host ``CONNECT_S`` to answer, and shows its socket to the line that may have to be cut."""

    def __init__(self, host: str, *, line: Line, **settings: Any) -> None:
        super().__init__(host, **settings)
        self.line = line

    def connect(self) -> None:
        patience, self.timeout = self.timeout, CONNECT_S
        super().connect()
        self.sock.settimeout(patience)
        self.line.watch(self.sock)


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Connection, line=self._line), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_SecureConnection, line=self._line), req)


def _open(stream: Stream) -> http.client.HTTPResponse:
    parts, bare = urlsplit(stream.uri), stream.name
    keys = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username:
        keys.add_password(None, bare, unquote(parts.username), unquote(parts.password or ""))
    opener = urllib.request.build_opener(
        _Handler(stream.line), urllib.request.HTTPBasicAuthHandler(keys), urllib.request.HTTPDigestAuthHandler(keys)
    )
    try:
        response: http.client.HTTPResponse = opener.open(bare, timeout=stream.timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        hint = ": put user:password@ before the host" if error.code == 401 else ""
        raise SourceError(f"{bare}: the server answers {error.code} {error.reason}{hint}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise SourceError(f"{bare} cannot be reached: {getattr(why, 'strerror', None) or why}") from None
    return response


def _boundary(headers: Message, name: str) -> str:
    boundary = headers.get_param("boundary")
    if headers.get_content_maintype() != "multipart" or not isinstance(boundary, str):
        kind = headers.get_content_type()
        raise SourceError(f"{name} sends {kind}, not an MJPEG stream: download a recording and open the file instead")
    return boundary


def _shots(stream: Stream) -> Shots:
    name, sender = stream.name, SenderClock()
    with _open(stream) as response:
        parts = Parts(_boundary(response.headers, name))
        while not stream.stop.is_set():
            try:
                data = response.read1(READ_BYTES)
                if not data:
                    return
                for headers, content in parts.push(data):
                    shot = _shot(headers, content, sender, stream)
                    if shot is None:
                        stream.counts.skip()
                    else:
                        yield shot
            except TimeoutError:
                raise SourceError(f"{name} has sent nothing for {stream.timeout_s:g} s") from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise SourceError(f"{name}: {error or 'the connection broke'}") from None


def _shot(headers: dict[str, str], content: bytes, sender: SenderClock, stream: Stream) -> Shot | None:
    """One part as a shot; None when it is not a whole picture. The first picture decides which clock is used."""
    arrived = time.monotonic()
    gray = decode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) if JPEG_END in content[-END_BYTES:] else None
    if gray is None:
        return None
    try:
        sent = float(headers.get("x-timestamp", ""))
    except ValueError:
        sent = None
    if stream.clock is None:
        stream.clock = "monotonic" if sent is None else "sender"
    if stream.clock == "monotonic":
        return Shot(arrived, gray, partial(_colour, content))
    return Shot(None if sent is None else sender.local(sent, arrived), gray, partial(_colour, content))


def _colour(content: bytes) -> Image:
    image = decode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError("a picture of the stream can be decoded in gray only")
    return image
