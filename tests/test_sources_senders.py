"""Senders with faults, over loopback: clocks that lie or jump, pictures cut in half, bodies that drip or never end."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice, pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_media import SIZE, MjpegServer, jpeg, number_in, picture

from realtime_mer.errors import SourceError
from realtime_mer.records import SourceInfo
from realtime_mer.sources import open_source
from realtime_mer.sources.feed import Counts, Feed, RawFrame, RawFrames
from realtime_mer.sources.jpeg import JpegDecoder
from realtime_mer.sources.multipart import PART_BYTES, Parts
from realtime_mer.sources.sender import AHEAD_S, SenderClock
from realtime_mer.sources.stamps import stamp_of

END = b"\xff\xd9"


class Stamped(MjpegServer):
    """Sends what ``stamp`` says as the X-Timestamp of each frame."""

    def __init__(self, stamp: Callable[[int], object], fps: float = 100) -> None:
        self.stamp = stamp
        super().__init__(fps)

    def part(self, number: int) -> bytes:
        head, _, body = super().part(number).partition(b"\r\n\r\n")
        return head + f"\r\nX-Timestamp: {self.stamp(number)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("stamp", ["1700000000.5", "0", "nan", "inf", "-inf", "now", "", "1e999", "\x00"])
def test_a_stamp_that_is_no_time_is_not_believed(stamp: str) -> None:
    with Stamped(lambda _: stamp) as server, open_source(server.uri) as source:
        assert source.info.clock == "monotonic"
        frames = list(islice(source, 30))
        assert abs(frames[-1].time - time.monotonic()) < 0.5
        assert any("X-Timestamp" in note for note in source.stats().notes)
    numbers = [number_in(frame.gray) for frame in frames]
    assert [b - a for a, b in pairwise(numbers)] == [1] * 29
    assert all(a.time < b.time for a, b in pairwise(frames))


@pytest.mark.parametrize("jump", [-0.5, -1.5, -1000.0, 1000.0])
def test_a_clock_that_jumps_is_followed_and_no_frame_is_thrown_away(jump: float) -> None:
    """The camera's numbers go on, so the server jumps at a number that is still to come."""
    with Stamped(lambda number: 1e6 + number / 100 + jump * (number > 60)) as server, open_source(server.uri) as source:
        assert source.info.clock == "sender"
        frames = list(islice(source, 120))
        stats = source.stats()
    numbers = [number_in(frame.gray) for frame in frames]
    assert [b - a for a, b in pairwise(numbers)] == [1] * 119
    assert stats.skipped == 0
    (holed,) = (number for number, frame in zip(numbers, frames, strict=True) if frame.hole)
    assert holed == 61
    steps = [round((b.time - a.time) * 1000, 1) for a, b in pairwise(frames) if not b.hole]
    assert steps == [10.0] * 118
    assert all(a.time < b.time for a, b in pairwise(frames))
    assert abs(frames[-1].time - frames[0].time - 1.19) < 0.3


@pytest.mark.parametrize("broken", ["nan", "5", "0"])
def test_stamps_that_stop_give_way_to_times_of_arrival(broken: str) -> None:
    with Stamped(lambda n: 1e6 + n / 100 if n < 40 else broken) as server, open_source(server.uri) as source:
        frames = list(islice(source, 100))
        stats = source.stats()
    assert any("stopped" in note for note in stats.notes)
    assert stats.skipped <= 3
    assert all(a.time < b.time for a, b in pairwise(frames))
    assert abs(frames[-1].time - time.monotonic()) < 1


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 5)), max_size=60))
def test_times_only_go_forward_and_stay_near_the_arrivals(pictures: list[tuple[float, float]]) -> None:
    clock, arrived, last = SenderClock(), 0.0, -math.inf
    for sent, pause in pictures:
        arrived += pause
        at, hole = clock.local(sent, arrived)
        if at is not None:
            assert at > last
            assert hole >= 0
            last = at
    assert last < arrived + AHEAD_S * (len(pictures) + 1)


def test_a_network_that_holds_pictures_up_does_not_change_their_times() -> None:
    clock = SenderClock()
    times = [clock.local(index / 100, max(index / 100, 5.0 if index > 100 else 0.0)) for index in range(600)]
    assert all(hole == 0 for _, hole in times)
    assert [at for at, _ in times] == pytest.approx([index / 100 for index in range(600)])


def test_what_a_stamp_may_be() -> None:
    assert stamp_of(None) is None
    assert stamp_of("12.5") == 12.5
    for text in ("", "x", "nan", "-1", "0", "inf", "12,5"):
        assert math.isnan(stamp_of(text))


def textured(number: int = 0) -> bytes:
    image = cv2.GaussianBlur(np.random.default_rng(number).integers(0, 255, (240, 320, 3)).astype(np.uint8), (0, 0), 2)
    return cv2.imencode(".jpg", image)[1].tobytes()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.75, 0.95])
@pytest.mark.parametrize("way", [[], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_half_a_jpeg_is_no_picture(share: float, way: list[int], capfd: pytest.CaptureFixture[str]) -> None:
    image = cv2.imdecode(np.frombuffer(textured(), np.uint8), cv2.IMREAD_COLOR)
    whole, decoder = cv2.imencode(".jpg", image, way)[1].tobytes(), JpegDecoder()
    assert decoder(whole) is not None
    assert decoder(whole[: int(share * len(whole))] + END) is None
    assert decoder(whole[: int(share * len(whole))]) is None
    raw = decoder(whole)
    assert raw is not None
    plain = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.abs(raw.gray.astype(int) - plain).max() <= 2
    assert capfd.readouterr().err == ""


@given(st.binary(max_size=300))
def test_any_picture_is_survived(data: bytes) -> None:
    decoder = JpegDecoder()
    assert decoder(data + END) is None
    assert decoder(jpeg(1)[:20] + data + END) is None


def test_a_picture_that_exif_turns_is_turned() -> None:
    data = jpeg(5)
    tag = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn clockwise
    exif = b"\xff\xe1" + (len(tag) + 8).to_bytes(2, "big") + b"Exif\0\0" + tag
    raw = JpegDecoder()(data[:2] + exif + data[2:])
    assert raw is not None
    assert raw.gray.shape == (SIZE[0], SIZE[1])
    assert raw.to_bgr is not None
    assert np.abs(raw.to_bgr().astype(int) - cv2.rotate(picture(5), cv2.ROTATE_90_CLOCKWISE)).mean() < 5


def test_damaged_pictures_of_a_stream_are_skipped_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    class Halved(MjpegServer):
        def part(self, number: int) -> bytes:
            body = textured(number)
            body = body[: len(body) // 2] + END if number % 10 == 5 else body
            return b"--cut\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(body), body)

    with Halved(50) as server, open_source(server.uri) as source:
        frames = list(islice(source, 45))
        stats = source.stats()
    assert stats.skipped == sum(frame.lost == 1 for frame in frames) in (4, 5)
    assert capfd.readouterr().err == ""


def test_a_body_is_parsed_in_linear_time() -> None:
    """32,768 reads of 1 KiB: looking through all that is there at each takes minutes."""
    parts, began = Parts("b"), time.process_time()
    list(parts.push(b"--b\r\nContent-Type: image/jpeg\r\n\r\n"))
    for _ in range(1 << 15):
        assert list(parts.push(b"-" * 1024)) == []
    assert [len(content) for _, content in parts.push(b"--b\r\n")] == [1 << 25]
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("start", "filler", "words"),
    [
        (b"", b"x" * (1 << 20), "no boundary in 64 MiB"),
        (b"--b\r\n\r\n", b"x" * (1 << 20), "more than 64 MiB"),
        (b"--b\r\n", b"x" * (1 << 12), "headers of an image are longer than 64 KiB"),
        (b"--b\r\nContent-Length: 99999999999\r\n\r\n", b"x", "more than 64 MiB"),
        (b"--b\r\nContent-Length: " + b"9" * 9000 + b"\r\n\r\n", b"x", "more than 64 MiB"),
    ],
)
def test_what_never_ends_is_refused(start: bytes, filler: bytes, words: str) -> None:
    parts, pieces = Parts("b"), [start] + [filler] * (PART_BYTES // len(filler) + 2 if len(filler) > 1 else 1)
    with pytest.raises(ValueError, match=words):
        [list(parts.push(piece)) for piece in pieces]


@contextmanager
def dripping(at_once: bytes, then: bytes, every_s: float = 0.02) -> Iterator[str]:
    """A server that sends ``at_once`` and then ``then`` over and over, a byte at a time."""
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while not stop.is_set():
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(4096)
                    connection.sendall(at_once)
                    while not stop.is_set():
                        for value in then:
                            connection.sendall(bytes([value]))
                            if stop.wait(every_s):
                                break

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/stream"
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n"


@pytest.mark.parametrize(
    ("at_once", "then", "words"),
    [
        (b"", b"HTTP/1.1 200 OK\r\n" + b"X-Slow: 1\r\n" * 90, "has not finished its answer in 0.5 s"),
        (HEAD, b"--cut\r\n" + b"X-Slow: 1\r\n" * 90, "no complete frame for 0.5 s"),
        (HEAD + b"--cut\r\n\r\n\xff\xd8", b"\0", "no complete frame for 0.5 s"),
        (HEAD + b"--cut\r\nContent-Length: 9999\r\n\r\n", b"\0", "no complete frame for 0.5 s"),
    ],
)
def test_a_server_that_drips_is_given_up(at_once: bytes, then: bytes, words: str) -> None:
    with dripping(at_once, then) as uri:
        began = time.monotonic()
        with pytest.raises(SourceError, match=words):
            open_source(uri, timeout_s=0.5)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("burst", [1, 16])
def test_what_waits_for_a_slow_reader_is_never_older_than_the_buffer(burst: int) -> None:
    """200 frames/s for 3 s of capture time, all while the reader looks at its first frame; in bursts and one by one."""
    gray, go = np.zeros((8, 8), np.uint8), threading.Event()

    def raw_frames() -> RawFrames:
        go.wait(5)
        for number in range(1, 600):
            yield RawFrame((number // burst * burst) / 200 + number % burst * 1e-5, gray.copy(), None)

    counts = Counts()
    info = SourceInfo("test", "stream", True, (8, 8), 200.0, "monotonic")
    with Feed(info, RawFrame(-1.0, gray, None), raw_frames(), counts, threading.Event(), buffer_s=0.5) as source:
        frames = iter(source)
        go.set()
        time.sleep(1)
        times = [frame.time for frame in frames if frame.time >= 0]
    stats = source.stats()
    assert times[-1] - times[0] <= 0.5
    assert len(times) >= 80
    assert stats.dropped == stats.captured - stats.delivered > 400
