"""RTSP streams through PyAV, over TCP, with the sender's timestamps. HTTP streams are in mjpeg.py."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import av
import av.error

from realtime_mer.errors import SourceError
from realtime_mer.sources.feed import RawFrames, Source
from realtime_mer.sources.file import reason
from realtime_mer.sources.live import CONNECT_S, Stream, open_stream
from realtime_mer.sources.picture import Keyframes, Upright, raw_frame

PORTS = {"rtsp": 554, "rtsps": 322}
# libav cannot be interrupted from outside, so it waits in slices of this length, s, between which close() is noticed.
SLICE_S = 0.4
# Packets lost over UDP smear frames; TCP retransmits them. No look-ahead to guess the frame rate.
OPTIONS = {"rtsp_transport": "tcp", "fflags": "nobuffer", "analyzeduration": "500000"}


def open_rtsp(uri: str, *, buffer_s: float, timeout_s: float, retries: int) -> Source:
    """Open an RTSP stream and start capturing; user and password may stand in the address. Raises SourceError.

    Times are the sender's, put on the monotonic clock: the intervals are the sender's own.
    """
    stream = Stream(uri, timeout_s, {"protocol": "rtsp over tcp"}, clock="sender")
    return open_stream(stream, _raw_frames, buffer_s=buffer_s, retries=retries)


def _ask(stream: Stream) -> None:
    """Check that a server answers, on a connection that can be cancelled; libav's own opening cannot."""
    parts, name = urlsplit(stream.uri), stream.name
    try:
        with socket.create_connection((parts.hostname or "", parts.port or PORTS[parts.scheme]), CONNECT_S) as sock:
            stream.socket.watch(sock)
            if parts.scheme == "rtsp":  # a TLS server waits for the client's hello, so only the port is checked
                sock.settimeout(stream.timeout_s)
                sock.sendall(f"OPTIONS {name} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
                if not sock.recv(1):
                    raise SourceError(f"{name}: the server closed the connection")
    except TimeoutError:
        raise SourceError(f"{name}: the server does not respond") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{name} cannot be reached: {getattr(error, 'strerror', None) or error}") from None


def _raw_frames(stream: Stream) -> RawFrames:
    name, heard = stream.name, time.monotonic()
    _ask(stream)
    if stream.stop.is_set():
        return
    timeouts = (stream.timeout_s, SLICE_S)
    try:
        container = av.open(stream.uri, options=OPTIONS, metadata_errors="replace", timeout=timeouts)
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"{name} cannot be opened: {reason(error)}") from None
    try:
        if not container.streams.video:
            raise SourceError(f"{name} has no video")
        track = container.streams.video[0]
        codec = track.codec_context
        codec.thread_count = 1  # frame threads would delay one frame each
        stream.details |= {"codec": codec.name, "pixel_format": codec.pix_fmt or ""}
        stream.rate = float(track.average_rate or 0)
        base, upright, keyframes = float(track.time_base), Upright(), Keyframes()
        while not stream.stop.is_set():
            try:
                for packet in container.demux(track):
                    heard = time.monotonic()
                    for frame in packet.decode():
                        sent = None if frame.pts is None else frame.pts * base
                        at, hole = stream.sender.local(sent, heard)
                        yield raw_frame(frame, at, upright(frame), hole=hole, keyframe=keyframes.push(frame))
                return
            except av.error.ExitError:  # a slice has passed
                if time.monotonic() - heard > stream.timeout_s:
                    raise SourceError(f"{name} has sent nothing for {stream.timeout_s:g} s") from None
            except av.error.InvalidDataError:
                stream.counts.skip()
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"{name}: {reason(error)}") from None
    finally:
        container.close()
