"""MJPEG over HTTP, as IP cameras, phones and mjpg-streamer send it (multipart/x-mixed-replace).

Parsed here and not by libav, which does not give the time at which each frame was complete, the sender's own
X-Timestamp, or a read that can be cancelled. Nor by a library for form uploads, for which a part is complete when the
next boundary arrives, one frame late. ``multipart`` splits the body, ``jpeg`` decodes the frames.
"""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from realtime_mer.errors import SourceError
from realtime_mer.sources.feed import RawFrames, Source
from realtime_mer.sources.jpeg import JpegDecoder
from realtime_mer.sources.live import CONNECT_S, CancellableSocket, Stream, open_stream
from realtime_mer.sources.multipart import Parts
from realtime_mer.sources.stamps import StampedFrames, stamp_of

READ_BYTES = 1 << 16


def open_mjpeg(uri: str, *, buffer_s: float, timeout_s: float, retries: int) -> Source:
    """Open an MJPEG stream and start capturing; user and password may stand in the address (basic or digest).

    Time is the sender's X-Timestamp put on the monotonic clock where the first pictures have believable ones
    (``info.clock`` is "sender"), else the monotonic time at which the picture was complete ("monotonic"). A picture
    must be whole within ``timeout_s``. Raises SourceError.
    """
    stream = Stream(uri, timeout_s, {"pixel_format": "jpeg", "protocol": "http multipart"})
    return open_stream(stream, _raw_frames, buffer_s=buffer_s, retries=retries)


class _Connection(http.client.HTTPConnection):
    """Allows a host ``CONNECT_S`` to answer, and registers its socket so that it can be cancelled."""

    def __init__(self, host: str, *, cancellable: CancellableSocket, **settings: Any) -> None:
        super().__init__(host, **settings)
        self.cancellable = cancellable

    def connect(self) -> None:
        patience, self.timeout = self.timeout, CONNECT_S
        super().connect()
        self.sock.settimeout(patience)
        self.cancellable.watch(self.sock)


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    def __init__(self, cancellable: CancellableSocket) -> None:
        super().__init__()
        self._cancellable = cancellable

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Connection, cancellable=self._cancellable), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_SecureConnection, cancellable=self._cancellable), req)


def _open(stream: Stream) -> http.client.HTTPResponse:
    parts, bare = urlsplit(stream.uri), stream.name
    keys = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username:
        keys.add_password(None, bare, unquote(parts.username), unquote(parts.password or ""))
    opener = urllib.request.build_opener(
        _Handler(stream.socket), urllib.request.HTTPBasicAuthHandler(keys), urllib.request.HTTPDigestAuthHandler(keys)
    )
    unfinished = f"{bare}: the server has not finished its answer in {stream.timeout_s:g} s"
    try:
        with _deadline(stream) as late:
            response: http.client.HTTPResponse = opener.open(bare, timeout=stream.timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        hint = ": put user:password@ before the host" if error.code == 401 else ""
        raise SourceError(f"{bare}: the server answered {error.code} {error.reason}{hint}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if late.is_set():
            raise SourceError(unfinished) from None
        why = getattr(error, "reason", None) or error
        raise SourceError(f"{bare} cannot be reached: {getattr(why, 'strerror', None) or why}") from None
    if late.is_set():  # http.client accepts truncated headers as complete
        response.close()
        raise SourceError(unfinished)
    return response


@contextmanager
def _deadline(stream: Stream) -> Iterator[threading.Event]:
    """Hangs up when the block takes longer than ``stream.timeout_s``. A socket's own timeout applies to each read, so
    an answer sent one byte at a time would never end. Yields an event that says whether it hung up."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        stream.socket.hang_up()

    timer = threading.Timer(stream.timeout_s, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()


def _boundary(headers: Message, name: str) -> str:
    boundary = headers.get_param("boundary")
    if headers.get_content_maintype() != "multipart" or not isinstance(boundary, str):
        kind = headers.get_content_type()
        raise SourceError(
            f"{name} sends {kind}, not an MJPEG stream; to analyze a recording, download it and open the file"
        )
    return boundary


def _raw_frames(stream: Stream) -> RawFrames:
    name, decoder, dates = stream.name, JpegDecoder(), StampedFrames(stream)
    with _open(stream) as response:
        parts = Parts(_boundary(response.headers, name))
        whole = time.monotonic()
        while not stream.stop.is_set():
            try:
                data = response.read1(READ_BYTES)
                if not data:
                    break
                for headers, content in parts.push(data):
                    whole = time.monotonic()
                    raw = decoder(content)
                    if raw is None:
                        stream.counts.skip()
                    else:
                        yield from dates.push(raw, stamp_of(headers.get("x-timestamp")), whole)
            except TimeoutError:
                raise SourceError(f"{name} has sent nothing for {stream.timeout_s:g} s") from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise SourceError(f"{name}: {error or 'the connection was lost'}") from None
            if time.monotonic() - whole > stream.timeout_s:
                raise SourceError(f"{name} has sent no complete frame for {stream.timeout_s:g} s")
        yield from dates.rest()
