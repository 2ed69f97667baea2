"""``realtime-mer live`` on a real stream: a paced MJPEG server on loopback that plays synthetic pictures."""

import json
import signal
import threading
import time
import urllib.request

import numpy as np
import pylsl
import pytest
from cli_media import encoded, play, start
from source_media import MjpegServer
from target_peers import answers, free_port, hook, until
from websockets.sync.client import connect

from realtime_mer.cli import main
from realtime_mer.commands.opening import open_within
from realtime_mer.commands.screen import describe
from realtime_mer.errors import SourceError
from realtime_mer.records import SourceStats
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.sources import ArraySource


@pytest.fixture(scope="module")
def pictures(recording):
    return encoded(frame.image for frame in recording.frames)


def test_events_are_printed_while_it_runs(pictures, recording, tmp_path):
    """The sender stamps its pictures, so that the times are exact however busy this machine is."""
    with (
        play(pictures, 100.0) as player,
        start("live", player.uri, "--for", "6", "--out", tmp_path, "--quiet") as process,
    ):
        lines, arrived = [], []
        for text in process.stdout:
            lines.append(json.loads(text))  # and so every line of standard output is JSON
            arrived.append(time.monotonic())
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    assert [line["type"] for line in (lines[0], lines[-1])] == ["header", "summary"]
    events = [(line, at) for line, at in zip(lines, arrived, strict=True) if line["type"] == "event"]
    micro = [line for line, _ in events if line["status"] == "confirmed"]
    drawn = [truth.apex for truth in recording.truth if truth.kind == "micro"]
    start_of_clip = micro[0]["apex"] - drawn[0]
    assert len(micro) == len(drawn)
    for line, apex in zip(micro, drawn, strict=True):
        assert abs(line["apex"] - start_of_clip - apex) < 0.04
        assert line["reported"] - line["apex"] < 0.5
    assert events[0][0]["status"] == "provisional"
    assert arrived[-1] - events[0][1] > 2.0  # the first was printed long before the end
    log = read_jsonl(tmp_path / "events.jsonl")
    assert [e.movement.apex for e in log.events if e.movement.kind == "micro"] == [e["apex"] for e in micro]
    assert log.summary.frames > 300
    assert (tmp_path / "signals.csv").read_text().count("\n") == log.summary.frames + 1


def test_events_go_out_while_it_runs(pictures, tmp_path):
    """To several targets at once, one of which is dead; a stimulus program's markers come in."""
    port, figures = free_port(), free_port()
    stimuli = pylsl.StreamOutlet(pylsl.StreamInfo("cli-stimuli", "Markers", 1, 0.0, "string", "cli-stimuli"))
    with (
        hook() as server,
        play(pictures, 100.0) as player,
        start(
            "live", player.uri, "--for", "6", "--out", tmp_path, "--markers", "lsl:cli-stimuli", "--metrics", figures,
            *("--to", f"ws://127.0.0.1:{port}", "--to", server.uri, "--to", "http://127.0.0.1:9/", "--to", "lsl:cli"),
        ) as process,
    ):  # fmt: skip
        until(lambda: answers(port))
        with connect(f"ws://127.0.0.1:{port}") as reader:
            messages = [json.loads(reader.recv(30))]
            assert stimuli.wait_for_consumers(10)
            stimuli.push_sample(["picture 7"])
            while messages[-1]["type"] != "end":
                messages.append(json.loads(reader.recv(30)))
                if messages[-1].get("report") == "new":
                    shown = urllib.request.urlopen(f"http://127.0.0.1:{figures}/metrics", timeout=5).read().decode()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    log = read_jsonl(tmp_path / "events.jsonl")
    micro = [e for e in log.events if e.status == "confirmed"]
    ends = [m for m in messages if m.get("report") == "end" and m["status"] == "confirmed"]
    assert [m["apex"] for m in ends] == [e.movement.apex for e in micro]
    assert [m["apex"] for m in server.taken if m.get("report") == "end"] == [
        m["apex"] for m in messages if m.get("report") == "end"
    ]
    assert [(m.key, m.text) for m in log.markers] == [("lsl", "picture 7")]
    assert [m["text"] for m in messages if m["type"] == "marker"] == ["picture 7"]
    assert 'realtime_mer_target_up{target="http://127.0.0.1:9/"} 0.0' in shown
    said = err.splitlines()
    assert any("http://127.0.0.1:9/: 0 sent" in line and "refused" in line for line in said[-5:])
    assert any(line.startswith("lsl:cli: ") for line in said[-5:])
    assert "Traceback" not in err
    assert all(json.loads(line)["type"] != "status" for line in out.splitlines())


def test_a_target_that_cannot_be_is_told_before_the_camera_is_opened(capfd):
    assert main(["live", "0", "--to", "ftp://host"]) == 2
    assert "events cannot be sent to 'ftp://host'" in capfd.readouterr().err
    assert main(["live", "0", "--metrics", "x"]) == 2
    assert "--metrics takes a port, or HOST:PORT" in capfd.readouterr().err


def test_ctrl_c_ends_it_in_order(pictures):
    with play(pictures, 50.0) as player, start("live", player.uri) as process:
        assert json.loads(process.stdout.readline())["type"] == "header"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["type"] == "summary"
    said = err.splitlines()
    assert said[0].startswith(f"{player.uri}: 320x240 px, ")
    assert " captured, " in said[-1]
    assert "Traceback" not in err


def test_the_time_limit_holds_though_the_stream_falls_silent(pictures, capfd):
    with play(pictures[:30], 100.0) as player:
        began = time.monotonic()
        assert main(["live", player.uri, "--for", "1.5", "--quiet", "--model", "none"]) == 0
        assert time.monotonic() - began < 5
    out, err = capfd.readouterr()
    assert json.loads(out.splitlines()[-1])["frames"] <= 30
    assert err == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_the_time_limit_holds_while_the_server_does_not_answer(quiet, capfd):
    with MjpegServer(silent=True) as server:
        began = time.monotonic()
        options = ["--quiet"] if quiet else []
        assert main(["live", server.uri, "--for", "0.5", "--model", "none", *options]) == 0
        assert time.monotonic() - began < 4
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ("" if quiet else f"{server.uri}: no frame came within 0.5 s\n")


def test_a_source_that_opens_too_late_is_closed_and_an_error_is_raised():
    gate, closed = threading.Event(), threading.Event()

    class Noted(ArraySource):
        def close(self):
            closed.set()

    def opening():
        gate.wait(5)
        return Noted([np.zeros((9, 9), np.uint8)], [0.0])

    assert open_within(0.05, opening) is None
    assert not closed.is_set()
    gate.set()
    assert closed.wait(5)

    def failing():
        raise SourceError("no")

    with pytest.raises(SourceError, match="no"):
        open_within(5, failing)
    assert isinstance(open_within(None, opening), Noted)


def test_a_recording_can_be_watched_too(tmp_path, capfd):
    for index in range(5):
        (tmp_path / f"{index}.jpg").write_bytes(encoded([np.full((60, 80), 100 + index, np.uint8)])[0])
    assert main(["live", str(tmp_path), "--rate", "100", "--for", "0.02", "--model", "none"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out.splitlines()[-1])["frames"] == 3
    assert err.splitlines()[0] == f"{tmp_path}: 80x60 px, 100 frames/s, 0.1 s; recognizer: none"


def test_missed_frames_that_cannot_be_judged_are_called_so():
    assert describe(SourceStats(9, 8, 1, missed=3)) == "9 captured, 8 measured, 1 dropped, 3 missed"
    assert describe(SourceStats(9, 8, 1, missed=None)) == "9 captured, 8 measured, 1 dropped, missed frames not judged"


def test_without_a_display_a_window_is_refused(monkeypatch, capfd):
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":4711")
    assert main(["live", "0", "--window"]) == 6
    assert capfd.readouterr().err == (
        "realtime-mer: no window can be opened here: omit --window, or use --record FILE\n"
    )
