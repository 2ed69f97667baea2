"""Targets of events against real peers on loopback, which are killed and come back. Made-up observations are sent."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from made_observations import INFO, event, frame, recording
from target_peers import Listener, broker, free_port, hook, needed, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from realtime_mer.errors import ConfigError, OutputError
from realtime_mer.records import End, Event, Kind, Marker, SourceStats
from realtime_mer.sinks import Marked
from realtime_mer.sinks.event_json import from_json
from realtime_mer.sinks.jsonl import header
from realtime_mer.targets import ROOM, Target, open_target
from realtime_mer.targets.messages import Announced
from realtime_mer.targets.metrics import Metrics

LIVE = dataclasses.replace(INFO, uri="0", kind="camera", live=True, clock="monotonic", frames=None, duration=None)
HEAD = header(LIVE, {}, "flow-default/4", "CPUExecutionProvider")
SLOWEST = 0.05  # s that a frame may be held up on a machine that does other things too
ABSENT = "127.0.0.1:9"  # nobody listens at the discard port


def stats() -> SourceStats:
    return SourceStats(captured=301, delivered=300, dropped=1, missed=2)


def send(target: Target, frames: int = 300, last: tuple[Event, ...] = ()) -> float:
    """A made-up run of 3 s, as fast as it goes, into the target; the longest that a frame was held up, s."""
    sink, first, longest = target.follow(HEAD, stats), time.monotonic() - frames / 100, 0.0
    for observation in recording(frames, first=first):
        began = time.perf_counter()
        sink.write(observation, frame(observation.index, observation.time, (64, 48)))
        longest = max(longest, time.perf_counter() - began)
    sink.end(End(first + frames / 100, last))
    sink.close()
    return longest


def kinds(messages: Sequence[dict[str, Any]]) -> list[str]:
    """ "header", "new", "end" ... without the states, of which there are as many as seconds went by."""
    return [m.get("report", m["type"]) for m in messages if m["type"] != "status"]


# --- what is sent ------------------------------------------------------------------------------------------------


def test_a_movement_is_new_then_updated_and_ends_once() -> None:
    announced = Announced(rejected=False)
    reports = [event(1, provisional=True), event(1, provisional=True), event(1), event(1)]
    assert [announced.report(e) for e in reports] == ["new", "update", "end", "end"]
    blink = event(2, kind=Kind.BLINK, reason="eyes only")
    assert announced.report(blink) is None  # nobody was told of it
    assert announced.report(event(3, provisional=True)) == "new"
    assert announced.report(event(3, kind=Kind.HEAD, reason="the head moved")) == "end"  # whoever was told, is told
    assert Announced(rejected=True).report(blink) == "end"


def test_messages_hold_the_log_and_the_wall_clock() -> None:
    with hook() as server, open_target(server.uri) as target:
        send(target)
        until(lambda: len(server.taken) == 4)
    assert kinds(server.taken) == ["header", "new", "end", "end"]
    head, new, end, over = server.taken
    assert (head["source"]["uri"], head["model"]) == ("0", "flow-default/4")
    assert {m["run"] for m in server.taken} == {head["run"]}
    assert over == {"type": "end", "run": head["run"]}
    known = from_json({k: v for k, v in end.items() if k not in ("type", "run", "report", "wall")})
    assert known == dataclasses.replace(event(onset=end["onset"], first=head["start"]), reported=end["reported"])
    assert new["offset"] is None
    wall = time.time() - (time.monotonic() - end["apex"])
    assert abs(datetime.fromisoformat(end["wall"]).timestamp() - wall) < 0.05


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ftp://host/x", "events cannot be sent to 'ftp://host/x': use ws://HOST:PORT"),
        ("nothing", "events cannot be sent to 'nothing'"),
        ("mqtt:///topic", "has no host"),
        ("ws://127.0.0.1", "without a path"),
        ("ws://127.0.0.1:1/x", "without a path"),
        ("ws://127.0.0.1:1?token=x", r"\?origin=SITE only"),
        ("ws://127.0.0.1:99999", "is not an address"),
        ("mqtt://127.0.0.1/a/%23", "cannot publish to the topic"),
    ],
)
def test_an_address_that_cannot_be_is_refused_in_one_line(address: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_target(address)


# --- webhook -----------------------------------------------------------------------------------------------------


def test_a_webhook_is_tried_again_until_its_server_takes_the_event() -> None:
    with hook() as server, open_target(server.uri.replace("//", "//lab:s%20ecret@")) as target:
        server.answers += [503, 429]
        send(target)
        until(lambda: len(server.taken) == 4)
        until(lambda: target.state.sent == 4)
        assert "ecret" not in target.name
    assert target.state.missed == 0
    assert kinds(server.taken) == ["header", "new", "end", "end"]  # in order, each once
    assert len({h["Idempotency-Key"] for h in server.headers}) == 4
    assert server.headers[0]["Authorization"] == "Basic bGFiOnMgZWNyZXQ="


@pytest.mark.parametrize("code", [400, 404, 307])
def test_what_a_server_will_never_take_is_counted_and_the_next_goes_out(code: int) -> None:
    with hook() as server, open_target(server.uri) as target:
        server.answers += [code]
        send(target)
        until(lambda: target.state.sent == 3)
        assert target.state.missed == 1
    assert kinds(server.taken) == ["new", "end", "end"]


def test_a_server_that_was_down_gets_what_happened_meanwhile() -> None:
    port = free_port()
    with open_target(f"http://127.0.0.1:{port}/events") as target:
        held_up = send(target)
        until(lambda: "refused" in target.state.trouble)
        assert target.state.waiting == 4
        with hook(port) as server:
            until(lambda: len(server.taken) == 4)
            until(lambda: target.state.trouble == "")
        send(target)  # it is gone again
        with hook(port) as again:
            until(lambda: len(again.taken) == 4)
    assert held_up < SLOWEST


def test_a_slow_server_holds_nobody_up_and_is_not_waited_for_at_the_end() -> None:
    with hook() as server:
        server.delay = 2.0
        target = open_target(server.uri)
        assert send(target) < SLOWEST
        began = time.monotonic()
        target.close()
        assert time.monotonic() - began < 8.0
        state = target.state
        assert state.sent + state.missed == 4
        assert state.missed >= 1
        assert state.waiting == 0


def test_for_a_dead_server_the_oldest_make_room_and_are_counted() -> None:
    target = open_target(f"http://{ABSENT}/")
    sink = target.follow(HEAD)
    for observation in recording(10):
        sink.write(observation, frame(observation.index, observation.time, (64, 48)))
    assert isinstance(sink, Marked)
    for number in range(ROOM + 50):
        sink.mark(Marker(float(number), "space"))
    assert target.state.waiting == ROOM
    assert target.state.missed == 51  # the header too
    target.close()
    assert target.state.missed == ROOM + 51
    assert "refused" in target.state.line


# --- MQTT --------------------------------------------------------------------------------------------------------


def test_mqtt_tells_of_events_and_of_its_being_there(tmp_path: Any) -> None:
    port = free_port()
    with broker(tmp_path, port), Listener(port, "lab/1") as listener:
        with open_target(f"mqtt://127.0.0.1:{port}/lab/1") as target:
            until(lambda: target.state.trouble == "")  # states are not kept for later
            send(target)
            until(lambda: target.state.waiting == 0)
            with Listener(port, "lab/1") as late:
                until(lambda: len(late.heard) == 2)
                assert {(t, r) for t, _, r in late.heard} == {("lab/1/availability", True), ("lab/1/header", True)}
        until(lambda: len(listener.messages("end")) == 1)
        assert [m["report"] for m in listener.messages("event")] == ["new", "end"]
        assert listener.messages("status")[0]["dropped"] == 1
        words = [text for topic, text, _ in listener.heard if topic == "lab/1/availability"]
        assert words == ["online", "offline"]
        assert target.state.missed == 0


def test_a_process_that_dies_leaves_its_last_will(tmp_path: Any) -> None:
    port = free_port()
    code = f"""
import time
from realtime_mer.targets import open_target
target = open_target("mqtt://127.0.0.1:{port}")
while target.state.trouble: time.sleep(0.01)
print("there", flush=True); time.sleep(60)
"""
    with broker(tmp_path, port), Listener(port, "realtime-mer") as listener:
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "there\n"
            process.kill()
        until(lambda: [text for _, text, _ in listener.heard] == ["online", "offline"])


def test_a_broker_may_be_absent_and_may_be_killed(tmp_path: Any) -> None:
    port = free_port()
    with open_target(f"mqtt://127.0.0.1:{port}") as target:
        assert send(target) < SLOWEST
        until(lambda: target.state.trouble != "")
        assert target.state.waiting >= 4
        with broker(tmp_path, port):
            until(lambda: target.state.waiting == 0 and target.state.sent >= 4)
        until(lambda: target.state.trouble != "")
        assert send(target) < SLOWEST
        with broker(tmp_path, port), Listener(port, "realtime-mer") as listener:
            until(lambda: target.state.waiting == 0 and target.state.trouble == "", 40.0)
            send(target)
            until(lambda: target.state.waiting == 0)  # before the broker is killed again
            until(lambda: len(listener.messages("end")) >= 1)
    assert target.state.missed == 0


def test_a_wrong_password_is_told(tmp_path: Any) -> None:
    secrets = tmp_path / "passwords"
    subprocess.run([needed("mosquitto_passwd"), "-c", "-b", secrets, "lab", "right"], check=True)
    secrets.chmod(0o644)
    port, more = free_port(), f"allow_anonymous false\npassword_file {secrets}\nuser root\n"
    with broker(tmp_path, port, more):
        with open_target(f"mqtt://lab:wrong@127.0.0.1:{port}") as target:
            until(lambda: target.state.trouble.startswith("the broker refuses"))
            assert "wrong" not in target.name + target.state.line
        with open_target(f"mqtt://lab:right@127.0.0.1:{port}") as target:
            until(lambda: target.state.trouble == "")


# --- WebSocket ---------------------------------------------------------------------------------------------------


def test_a_reader_gets_every_message_and_the_header_of_a_run_under_way() -> None:
    with open_target("ws://127.0.0.1:0") as target:
        sink = target.follow(HEAD, stats)
        observations = list(recording())
        for observation in observations[:110]:
            sink.write(observation, frame(observation.index, observation.time, (64, 48)))
        with connect(target.name) as reader:
            until(lambda: target.state.peers == 1)
            for observation in observations[110:]:
                sink.write(observation, frame(observation.index, observation.time, (64, 48)))
            sink.close()
            messages = [json.loads(reader.recv(5)) for _ in range(4)]
        assert kinds(messages) == ["header", "new", "end", "end"]
        with connect(target.name) as late:  # of a run that is over nothing is told
            until(lambda: target.state.peers == 1)
            send(target, 20)
            assert kinds([json.loads(late.recv(5))]) == ["header"]
        until(lambda: target.state.peers == 0)


def test_a_reader_that_does_not_read_loses_messages_and_is_told() -> None:
    with open_target("ws://127.0.0.1:0") as target, connect(target.name, max_queue=1) as reader:
        until(lambda: target.state.peers == 1)
        sink = target.follow(HEAD)
        for observation in recording(2):
            sink.write(observation, frame(observation.index, observation.time, (64, 48)))
        assert isinstance(sink, Marked)
        longest = 0.0
        for number in range(20000):
            began = time.perf_counter()
            sink.mark(Marker(float(number), "text", "x" * 900))
            longest = max(longest, time.perf_counter() - began)
        assert longest < SLOWEST
        until(lambda: target.state.missed > 0)
        got = []
        while not got or got[-1]["type"] != "marker" or got[-1]["time"] != 19999.0:
            got.append(json.loads(reader.recv(5)))
        until(lambda: target.state.waiting == 0)
        assert sum(m.get("skipped", 0) for m in got) == target.state.missed
        assert len(got) + target.state.missed == target.state.sent + target.state.missed == 20000 + 2


def test_a_page_of_another_site_may_not_listen() -> None:
    with open_target("ws://127.0.0.1:0?origin=https://lab.example.org") as target:
        for origin in ("https://evil.example.org", "null"):
            with pytest.raises(InvalidStatus, match="403"), connect(target.name, origin=origin):
                pass
        for origin in ("https://lab.example.org", "http://localhost:8000", None):
            with connect(target.name, origin=origin):
                pass


def test_a_port_that_is_taken_is_told() -> None:
    with open_target("ws://127.0.0.1:0") as target, pytest.raises(OutputError, match="cannot listen at"):
        open_target(target.name)


def test_readers_that_vanish_and_come_back_do_not_stop_the_rest() -> None:
    with open_target("ws://127.0.0.1:0") as target, connect(target.name) as faithful:
        for _ in range(3):
            gone = connect(target.name)
            until(lambda: target.state.peers == 2)
            gone.socket.close()  # without a word
            until(lambda: target.state.peers == 1)
        send(target)
        assert kinds([json.loads(faithful.recv(5)) for _ in range(4)])[0] == "header"


# --- Prometheus --------------------------------------------------------------------------------------------------


def figures(target: Metrics) -> dict[str, float]:
    text = urllib.request.urlopen(target.name, timeout=5).read().decode()
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def test_metrics_of_runs_and_of_targets() -> None:
    with hook() as server, open_target(server.uri) as other, Metrics(0, targets=[other]) as target:
        assert figures(target)["realtime_mer_runs"] == 0
        sink = target.follow(HEAD, stats)
        first = time.monotonic() - 3.0
        for observation in recording(first=first):
            sink.write(observation, frame(observation.index, time.monotonic() - 0.004, (64, 48)))
        send(other)
        until(lambda: other.state.sent == 4)
        now = figures(target)
        assert now["realtime_mer_runs"] == 1
        assert now["realtime_mer_frames_per_second"] == 100.0
        assert now["realtime_mer_faces"] == 1
        assert now["realtime_mer_frames_total"] == 300
        assert (now["realtime_mer_dropped_frames_total"], now["realtime_mer_missed_frames_total"]) == (1, 2)
        half, most = (now[f'realtime_mer_latency_seconds{{quantile="{q}"}}'] for q in ("0.5", "0.99"))
        assert 0.004 <= half < 0.01
        assert most >= half
        assert [now[f'realtime_mer_events_total{{kind="{kind}"}}'] for kind in ("micro", "blink")] == [1, 1]
        assert now[f'realtime_mer_target_sent_total{{target="{other.name}"}}'] == 4
        assert now[f'realtime_mer_target_up{{target="{other.name}"}}'] == 1
        sink.close()
        send(target)
        send(target)
        now = figures(target)  # counters never go back
        assert (now["realtime_mer_runs"], now["realtime_mer_frames_total"]) == (0, 900)
        assert now['realtime_mer_events_total{kind="micro"}'] == 3
        assert now["realtime_mer_dropped_frames_total"] == 3


def test_a_port_for_metrics_that_is_taken_is_told() -> None:
    with Metrics(0) as target, pytest.raises(OutputError, match="cannot serve metrics"):
        Metrics(int(target.name.split(":")[2].split("/")[0]))


def test_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    with hook() as server:
        for address in (server.uri, "ws://127.0.0.1:0", f"mqtt://{ABSENT}"):
            with open_target(address) as target:
                send(target, 20)
        with Metrics(0) as target:
            send(target, 20)
    until(lambda: not {t for t in threading.enumerate() if t not in before and "process_request" not in t.name})
