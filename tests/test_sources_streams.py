"""Live streams over loopback: nothing lost at 200 frames/s, what is lost counted, reconnecting, a prompt end."""

from __future__ import annotations

import base64
import socket
import threading
import time
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_media import MjpegServer, number_in

from realtime_mer.errors import SourceError
from realtime_mer.sources import live, open_source
from realtime_mer.sources.multipart import Parts


def source_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("source")]


def test_200_frames_a_second_arrive_without_loss() -> None:
    with MjpegServer(200, (640, 480)) as server, open_source(server.uri) as source:
        frames = [(frame.time, number_in(frame.gray)) for frame in islice(source, 500)]
        assert source.stats().dropped == 0
    numbers = [number for _, number in frames]
    assert all((b - a) % 200 == 1 for a, b in pairwise(numbers))
    assert (len(frames) - 1) / (frames[-1][0] - frames[0][0]) == pytest.approx(200, rel=0.05)


def test_a_slow_reader_drops_at_the_entry_and_every_drop_is_counted() -> None:
    with MjpegServer(200, stamped=True) as server, open_source(server.uri, buffer_s=0.1) as source:
        frames = []
        for frame in islice(source, 60):
            frames.append(frame)
            time.sleep(0.02)
        stats = source.stats()
    numbers = [number_in(frame.gray) for frame in frames]
    assert stats.dropped > 20
    # What the pictures themselves say is lost between two of them is exactly what the frames say.
    assert [(b - a) % 200 - 1 for a, b in pairwise(numbers)] == [frame.lost for frame in frames[1:]]
    assert [frame.index for frame in frames] == list(range(60))
    assert sum(frame.lost > 0 for frame in frames[30:]) > 15, "drops are spread, not in a few long gaps"


def test_frames_never_sent_are_missed() -> None:
    drop = frozenset({60, 61, 62})
    with MjpegServer(50, drop=drop, stamped=True) as server, open_source(server.uri) as source:
        lost = {number_in(frame.gray): frame.lost for frame in islice(source, 75)}
        assert source.stats().missed == 3
    assert sorted(lost.values())[-2:] == [0, 3]


@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("with_length", [False, True])
def test_the_senders_time_is_used_where_it_is_sent(stamped: bool, with_length: bool) -> None:
    with (
        MjpegServer(100, stamped=stamped, with_length=with_length) as server,
        open_source(server.uri) as source,
    ):
        assert source.info.clock == ("sender" if stamped else "monotonic")
        frames = list(islice(source, 30))
        assert abs(frames[-1].time - time.monotonic()) < 0.5
    if stamped:
        assert [round((b.time - a.time) * 1000, 1) for a, b in pairwise(frames)] == [10.0] * 29


def test_it_reconnects_after_the_server_was_restarted() -> None:
    with MjpegServer(100) as server:
        source = open_source(server.uri)
        frames = iter(source)
        before = list(islice(frames, 20))
    time.sleep(0.3)
    with source, MjpegServer(100, port=server.port):
        after = []
        for frame in frames:
            after.append(frame)
            if source.stats().reconnects and len(after) > 150:
                break
        assert source.stats().reconnects == 1
    assert [frame.index for frame in before + after] == list(range(len(before) + len(after)))
    assert all(a.time < b.time for a, b in pairwise(before + after))
    assert sum(frame.lost for frame in after) > 10


def test_a_stream_that_does_not_come_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_DELAY_S", 0.01)
    with MjpegServer(100) as server:
        source = open_source(server.uri, retries=3)
        frames = iter(source)
        list(islice(frames, 5))
    with source, pytest.raises(SourceError, match="could not reconnect after 3 attempts"):
        list(frames)


def test_a_silent_stream_is_connected_anew() -> None:
    with MjpegServer(100, stall_after=30) as server, open_source(server.uri, timeout_s=0.3) as source:
        list(islice(source, 50))
        assert source.stats().reconnects >= 1


@pytest.mark.parametrize("hanging", ["picture", "headers", "delay"])
def test_close_is_prompt_even_when_the_network_hangs(hanging: str) -> None:
    """Stuck in the middle of the stream, while a new connection waits for its answer, and between two attempts."""
    with MjpegServer(100, stall_after=10 if hanging == "picture" else None) as server:
        source = open_source(server.uri, timeout_s=30)
        frames = iter(source)
        next(frames)
        time.sleep(0.3)
        if hanging == "picture":
            close_quickly(source)
            return
    if hanging == "headers":
        with MjpegServer(port=server.port, silent=True):
            time.sleep(0.8)
            close_quickly(source)
    else:
        time.sleep(1.2)
        close_quickly(source)


def close_quickly(source) -> None:
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 1
    assert source_threads() == []


def test_a_reader_that_waits_is_released_by_close() -> None:
    with MjpegServer(100, stall_after=5) as server:
        source = open_source(server.uri, timeout_s=30)
        closing = threading.Timer(0.4, source.close)
        closing.start()
        assert len(list(source)) <= 5
        closing.join()
    assert source_threads() == []


def test_what_is_not_a_stream_is_one_clear_line() -> None:
    with MjpegServer() as server, pytest.raises(SourceError, match="sends image/jpeg, not an MJPEG stream"):
        open_source(server.uri.replace("stream", "snapshot"))
    with pytest.raises(SourceError, match="cannot be reached"):
        open_source(server.uri)
    with pytest.raises(SourceError, match="cannot be reached"):
        open_source(server.uri.replace("http", "rtsp"))


def test_user_and_password_are_used_and_never_shown() -> None:
    key = "Basic " + base64.b64encode(b"me:secret@1").decode()
    with MjpegServer(user=key) as server:
        with pytest.raises(SourceError, match="401"):
            open_source(server.uri)
        with open_source(server.uri.replace("//", "//me:secret%401@")) as source:
            assert source.info.uri == server.uri
            assert len(list(islice(source, 3))) == 3


def test_an_rtsp_server_that_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(SourceError, match="does not respond"):
            open_source(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/x", timeout_s=0.3)
        assert time.monotonic() - began < 2


@given(st.lists(st.binary(max_size=60).filter(lambda body: b"--b" not in body), max_size=6), st.integers(1, 40))
def test_parts_do_not_depend_on_how_the_bytes_arrive(bodies: list[bytes], size: int) -> None:
    data = b"".join(b"--b\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(body), body) for body in bodies) + b"--b--"
    parts = Parts("b")
    found = [content for at in range(0, len(data), size) for _, content in parts.push(data[at : at + size])]
    assert found == bodies


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_survived(chunks: list[bytes]) -> None:
    parts = Parts("--b")
    for chunk in chunks:
        list(parts.push(chunk))
