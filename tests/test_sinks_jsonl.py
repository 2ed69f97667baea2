"""The log: what is written comes back exactly, and whatever ends the run leaves whole lines."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_observations import INFO, event, frame, play, recording

from realtime_mer.errors import OutputError, SourceError
from realtime_mer.records import (
    Cue,
    End,
    Event,
    Frame,
    Kind,
    Marker,
    Movement,
    Observation,
    Prediction,
    SourceStats,
    Status,
)
from realtime_mer.sinks import Sink
from realtime_mer.sinks.event_json import from_json, to_json
from realtime_mer.sinks.jsonl import JsonLines, header, read_jsonl
from realtime_mer.sinks.lines import LineFile, LineStream, write_whole
from realtime_mer.typed import FARTHEST, LARGEST

number = time = st.floats(-FARTHEST, FARTHEST)
words = st.text(max_size=20)
count = st.integers(1, LARGEST)
movements = st.builds(Movement, count, time, time, st.none() | time, number, st.sampled_from(Kind), words)
index = st.integers(0, LARGEST)
probabilities = st.dictionaries(words, st.floats(0, 1), min_size=1, max_size=4)
predictions = probabilities.flatmap(
    lambda named: st.builds(Prediction, st.sampled_from([None, *named]), st.just(named))
)
cues = st.builds(Cue, words, number, number, st.lists(words, max_size=2).map(tuple))
events = st.builds(
    Event, count, movements, index, index, st.none() | index, st.none() | predictions,
    st.lists(cues, max_size=3).map(tuple), number, number, index, words, words, time,
)  # fmt: skip


def log(path: Path, frames: int = 300, last: tuple[Event, ...] = ()) -> Path:
    """The made-up recording as a log."""
    play(JsonLines(path, header(INFO, {})), frames=frames, last=last)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(events, max_size=4))
def test_any_events_come_back_exactly(tmp_path: Path, given_events: list[Event]) -> None:
    path = tmp_path / "events.jsonl"
    with JsonLines(path, header(INFO, {}), provisional=True) as sink:
        sink.write(Observation(0, 0.0, (), tuple(given_events[:2]), 0.0), frame(0, 0.0))
        sink.end(End(0.0, tuple(given_events[2:])))
    assert read_jsonl(path).events == given_events


@given(events, st.sampled_from(Kind), st.none() | time, st.sampled_from(Status))
def test_a_status_that_contradicts_kind_and_offset_is_refused(
    one: Event, kind: Kind, offset: float | None, status: Status
) -> None:
    values = to_json(one) | {"kind": kind.value, "offset": offset, "status": status.value}
    fits = "provisional" if offset is None else "confirmed" if kind == "micro" else "rejected"
    if status == fits:
        assert from_json(values).status is status
    else:
        with pytest.raises(ValueError, match=f"status '{status}' does not fit kind {kind}"):
            from_json(values)


def test_a_log_with_such_a_status_is_refused_with_its_line(tmp_path: Path) -> None:
    path = log(tmp_path / "events.jsonl")
    path.write_text(path.read_text().replace('"confirmed"', '"rejected"', 1))
    with pytest.raises(SourceError, match=r"line 2 does not belong .*status 'rejected' does not fit kind micro"):
        read_jsonl(path)


@pytest.mark.parametrize("missed", [0, 7, None])
def test_header_summary_and_frames(tmp_path: Path, missed: int | None) -> None:
    path = tmp_path / "events.jsonl"
    head = header(INFO, {"spot": {"onset_noise": 2.0}, "classify": {"model": Path("/a")}}, "flow-default/1", "CPU")
    stats = SourceStats(301, 300, 1, missed)
    play(JsonLines(path, head, stats=lambda: stats), first=7.0)
    back, logged, summary, _markers = read_jsonl(path)
    assert back == dataclasses.replace(head, start=7.0)
    assert back.settings == {"spot": {"onset_noise": 2.0}, "classify": {"model": "/a"}}
    assert [e.status for e in logged] == [Status.CONFIRMED, Status.REJECTED]
    assert (logged[0].onset_frame, logged[0].apex_frame, logged[0].offset_frame) == (100, 112, 130)
    assert summary is not None
    assert (summary.frames, summary.face_frames, summary.measured_frames, summary.tracks) == (300, 290, 290, 1)
    assert summary.duration == pytest.approx(2.99)
    assert summary.events == {"confirmed": 1, "blink": 1}
    assert summary.labels == {"negative": 1}
    assert (summary.lost, summary.notes, summary.source) == (1, {"low rate": 5}, stats)
    assert summary.sensitivity is not None
    assert summary.sensitivity.shift_px == pytest.approx(6 * 0.09, rel=0.2)  # threshold x (noise + its floor)


def test_a_log_of_before_the_sensitivity_is_read(tmp_path: Path) -> None:
    path = log(tmp_path / "events.jsonl")
    *lines, last = path.read_text().splitlines()
    summary = json.loads(last)
    assert summary.pop("sensitivity")["reasons"]
    path.write_text("\n".join([*lines, json.dumps(summary), ""]))
    back = read_jsonl(path).summary
    assert back is not None
    assert back.frames == 300
    assert back.sensitivity is None


def test_settings_hash_tells_settings_apart_whatever_their_order() -> None:
    one, same, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})
    assert header(INFO, one).settings_hash == header(INFO, same).settings_hash
    assert header(INFO, one).settings_hash != header(INFO, other).settings_hash


def test_a_password_is_not_logged() -> None:
    camera = dataclasses.replace(INFO, uri="rtsp://admin:p@ss@10.0.0.7/stream?x=a@b")
    assert header(camera, {}).source.uri == "rtsp://10.0.0.7/stream?x=a@b"


def test_provisional_events_go_to_live_readers_only(tmp_path: Path) -> None:
    live = io.StringIO()
    play(JsonLines(LineStream(live), header(INFO, {}), provisional=True))
    lines = [json.loads(line) for line in live.getvalue().splitlines()]
    assert [line["type"] for line in lines] == ["header", "event", "event", "event", "summary"]
    assert [line["status"] for line in lines[1:4]] == ["provisional", "confirmed", "rejected"]
    assert lines[1]["id"] == lines[2]["id"]
    assert len(read_jsonl(log(tmp_path / "file.jsonl")).events) == 2


def test_an_event_is_readable_as_soon_as_it_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLines(path, header(INFO, {}))
    for observation in recording(137):
        sink.write(observation, frame(observation.index, observation.time))
    _, logged, summary, _markers = read_jsonl(path)
    assert len(logged) == 1
    assert summary is None
    sink.end(End(observation.time, ()))
    assert read_jsonl(path).summary is None  # other outputs are still to be finished
    sink.close()
    assert read_jsonl(path).summary is not None


def test_a_recording_is_complete_only_when_every_other_output_is(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for broken in (True, False):
        with contextlib.suppress(OutputError), contextlib.ExitStack() as outputs:
            log = outputs.enter_context(JsonLines(path, header(INFO, {})))
            other = outputs.enter_context(_Other(broken))
            for sink in (log, other):
                sink.end(End(3.0, ()))
        assert (read_jsonl(path).summary is None) is broken


class _Other(Sink):
    """A sink that may not be able to finish its output."""

    def __init__(self, broken: bool) -> None:
        self._broken = broken

    def write(self, observation: Observation, frame: Frame) -> None:
        pass

    def close(self) -> None:
        if self._broken:
            raise OutputError("the disk is full")


def test_the_log_says_which_signal_ended_the_run(tmp_path: Path) -> None:
    for name in ("", "SIGTERM"):
        play(JsonLines(tmp_path / "events.jsonl", header(INFO, {}), stopped=lambda name=name: name))
        summary = read_jsonl(tmp_path / "events.jsonl").summary
        assert summary is not None
        assert summary.stopped == name


@pytest.mark.parametrize("broken", [False, True], ids=["closed", "an error"])
def test_a_run_that_was_cut_short_has_its_events_and_no_summary(tmp_path: Path, broken: bool) -> None:
    """Closing alone does not say that the source came to its end."""
    path = tmp_path / "events.jsonl"
    with contextlib.suppress(ZeroDivisionError), JsonLines(path, header(INFO, {})) as sink:
        for observation in recording(250):
            sink.write(observation, frame(observation.index, observation.time))
        if broken:
            raise ZeroDivisionError
    sink.close()
    head, logged, summary, _markers = read_jsonl(path)
    assert (head.start, [e.movement.id for e in logged], summary) == (0.0, [1, 2], None)


def test_the_events_of_the_end_are_logged_and_counted_but_are_no_frame(tmp_path: Path) -> None:
    cut = event(9, 1.69, kind=Kind.UNDECIDED, reason="the recording ended before the movement did")
    more = (event(8, 1.6, track=2, label=None), cut, event(10, 1.8, provisional=True))
    _, logged, summary, _markers = read_jsonl(log(tmp_path / "e", 200, more))
    assert logged[1:] == list(more[:2])
    assert [e.key for e in logged] == [(1, 1), (2, 8), (1, 9)]
    frames = [(e.onset_frame, e.apex_frame, e.offset_frame) for e in logged]
    assert frames == [(100, 112, 130), (160, 172, 190), (169, 181, 199)]
    assert summary is not None
    assert (summary.frames, summary.lost, summary.tracks) == (200, 1, 1)
    assert summary.duration == pytest.approx(1.99)
    assert (summary.events, summary.labels) == ({"confirmed": 2, "undecided": 1}, {"negative": 1, "abstained": 1})


def test_no_frames_at_all(tmp_path: Path) -> None:
    head, logged, summary, _markers = read_jsonl(log(tmp_path / "e", 0))
    assert (head.start, logged) == (None, [])
    assert summary is not None
    assert (summary.frames, summary.duration) == (0, 0.0)


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_a_cut_off_last_line_is_left_out(tmp_path: Path, cut: int) -> None:
    path = log(tmp_path / "events.jsonl")
    path.write_bytes(path.read_bytes()[:-cut])
    _, logged, summary, _markers = read_jsonl(path)
    assert (len(logged), summary) == (2, None)


def test_what_is_no_log_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (
        b"",
        b"hello\n",
        b"\0" * 4096,
        b"3\n",
        b"{}\n",
        b"[1]\n",
        b"\xff\xfe\n",
        b'{"type": "header", "format": 99}\n',
        b"[" * 10**6 + b"\n",
    ):
        path.write_bytes(content)
        with pytest.raises(SourceError) as caught:
            read_jsonl(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="No such file"):
        read_jsonl(tmp_path / "missing")


def test_damage_in_the_middle_is_not_passed_over(tmp_path: Path) -> None:
    path = log(tmp_path / "events.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "{broken\n", *lines[1:]]))
    with pytest.raises(SourceError, match="line 2"):
        read_jsonl(path)


def _changed(path: Path, line: int, change: Callable[[dict[str, Any]], object]) -> str:
    """What is said of the log after ``change`` was made to one of its lines, counted from 0."""
    lines = log(path).read_text().splitlines()
    values = json.loads(lines[line])
    change(values)
    lines[line] = json.dumps(values)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(SourceError) as caught:
        read_jsonl(path)
    return str(caught.value)


def _deep(levels: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("line", "values", "says"),
    [
        (0, {"format": 2}, "format 2, this version reads 1"),
        (0, {"format": "1" * 500}, "format '1111111111"),
        (0, {"start": "soon"}, "start: expected float | null, got str"),
        (0, {"start": float("inf")}, "Infinity is not a finite number"),
        (0, {"settings": {"spot": 3}}, r"settings[...]: expected object, got int"),
        (0, {"settings": {"spot": {"a": _deep(100)}}}, "nested more than 32 levels deep"),
        (0, {"regions": "all"}, "regions: expected array, got str"),
        (0, {"source": {"uri": "x"}}, "source: object missing required field kind"),
        (1, {"track": 1.5}, "track: expected int, got float"),
        (1, {"track": -1}, "track: expected int >= 0"),
        (1, {"id": "../../../tmp/x"}, "id: expected int, got str"),
        (1, {"id": 10**30}, "id: expected int <= 9007199254740992"),
        (1, {"onset": None}, "onset: expected float, got null"),
        (1, {"onset": float("nan")}, "NaN is not a finite number"),
        (1, {"apex": 1e300}, "apex: expected float <= 1000000000000.0"),
        (1, {"kind": "smile"}, "kind: invalid enum value 'smile'"),
        (1, {"probabilities": {"negative": 1.5}}, "probabilities[...]: expected float <= 1.0"),
        (1, {"probabilities": {}}, "probabilities: expected object of length >= 1"),
        (1, {"label": "joy"}, "label 'joy' is not among the probabilities"),
        (1, {"abstained": True}, "abstained is True, which does not fit label and probabilities"),
        (1, {"probabilities": None}, "abstained is False, which does not fit label and probabilities"),
        (1, {"strength": 1e300}, "strength: expected float <= 1000000000000.0"),
        (1, {"cues": [{"region": "brow"}]}, "cues[0]: object missing required field dx"),
        (3, {"frames": "many"}, "frames: expected int, got str"),
        (3, {"events": {"confirmed": [1]}}, "events[...]: expected int, got array"),
        (3, {"notes": ["low light"]}, "notes: expected object, got array"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_field_is_told_with_file_line_and_place(
    tmp_path: Path, line: int, values: dict[str, Any], says: str
) -> None:
    path = tmp_path / "events.jsonl"
    said = _changed(path, line, lambda before: before.update(values))
    assert said.startswith(f"{path}, line {line + 1} does not belong to an event log of this version: ")
    assert says in said
    assert "\n" not in said
    assert len(said) < 300


def test_a_field_of_a_later_version_is_left_out(tmp_path: Path) -> None:
    path = log(tmp_path / "events.jsonl")
    before = read_jsonl(path)
    path.write_text(path.read_text().replace('{"type": ', '{"later": {"x": [1]}, "type": '))
    assert read_jsonl(path) == before


def test_markers_stand_on_the_time_line_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLines(path, header(INFO, {}))
    sink.mark(Marker(0.5, "e"))  # before the first frame there is no time line
    for seen in recording(30):
        sink.write(seen, frame(seen.index, seen.time))
        if seen.index == 10:
            sink.mark(Marker(seen.time, "space", "stimulus \u2028 3"))
    sink.close()
    markers = read_jsonl(path).markers
    assert [(m.key, m.text) for m in markers] == [("space", "stimulus \u2028 3")]
    assert read_jsonl(path).events is not None


@pytest.mark.parametrize(("clock", "by", "later"), [("monotonic", "capture", -2.0), ("sender", "arrival", 0.0)])
def test_a_live_log_says_what_the_wall_clock_showed(tmp_path: Path, clock: str, by: str, later: float) -> None:
    path = tmp_path / "events.jsonl"
    live = dataclasses.replace(INFO, kind="camera", live=True, clock=clock)
    sink = JsonLines(path, header(live, {}))
    time_s = monotonic() - 2.0  # captured two seconds ago
    before = datetime.now(UTC)
    sink.write(dataclasses.replace(next(recording(1)), time=time_s), frame(0, time_s))
    sink.close()
    anchor = read_jsonl(path).header.anchor
    assert anchor is not None
    assert (anchor.time, anchor.by) == (time_s, by)
    apart = (datetime.fromisoformat(anchor.wall) - before).total_seconds()
    assert later - 0.01 < apart < later + 2.0


def test_a_recorded_log_has_no_wall_clock(tmp_path: Path) -> None:
    play(JsonLines(tmp_path / "e", header(INFO, {})))
    assert read_jsonl(tmp_path / "e").header.anchor is None


def test_a_file_name_that_is_not_text_comes_back(tmp_path: Path) -> None:
    """A path with bytes that are not UTF-8 reaches Python as lone surrogates."""
    path = tmp_path / "events.jsonl"
    strange = dataclasses.replace(INFO, uri=os.fsdecode(b"/videos/\xff.mp4"))
    play(JsonLines(path, header(strange, {})))
    assert read_jsonl(path).header.source == strange


def test_unwritable_place_is_known_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        JsonLines(tmp_path / "no" / "such" / "events.jsonl", header(INFO, {}))
    with pytest.raises(OutputError, match="cannot write"):
        JsonLines(tmp_path, header(INFO, {}))
    with pytest.raises(OutputError, match="cannot write"):
        write_whole(tmp_path / "no" / "x", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_an_output_error() -> None:
    file = LineFile(Path("/dev/full"))
    with pytest.raises(OutputError, match="No space left"):
        file.write("line\n")
    file.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits and signals")
def test_when_writing_stops_the_lines_before_are_whole(tmp_path: Path) -> None:
    """A limit on the size of files stops the write within a line, as a full disk does."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        from realtime_mer.errors import OutputError
        from realtime_mer.sinks.lines import LineFile
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        file = LineFile(Path(sys.argv[1]))
        try:
            while True:
                file.write("x" * 63 + chr(10))
        except OutputError as error:
            sys.exit(0 if "960 bytes" in str(error) else 9)
    """
    path = tmp_path / "lines"
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(path)], check=False).returncode == 0
    assert path.read_text() == ("x" * 63 + "\n") * 15


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_process_leaves_whole_lines(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from made_observations import INFO, frame, recording
        from realtime_mer.sinks.csv import EventsCsv, SignalsCsv
        from realtime_mer.sinks.jsonl import JsonLines, header
        folder = Path(sys.argv[1])
        sinks = [JsonLines(folder / "events.jsonl", header(INFO, {})), EventsCsv(folder / "events.csv"),
                 SignalsCsv(folder / "signals.csv")]
        one = frame(0, 0.0)
        for observation in recording(1_000_000):
            for sink in sinks:
                sink.write(observation, one)
            if observation.index == 40_000:
                print("ready", flush=True)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    _, logged, summary, _markers = read_jsonl(tmp_path / "events.jsonl")
    assert (len(logged), summary) == (2, None)
    assert (tmp_path / "events.jsonl").read_bytes().endswith(b"}\n")
    assert len((tmp_path / "events.csv").read_text().splitlines()) == 3
    signals = (tmp_path / "signals.csv").read_text()
    assert signals.endswith("\n")
    rows = [line.count(",") for line in signals.splitlines()]
    assert len(rows) > 1000
    assert len(set(rows)) == 1
