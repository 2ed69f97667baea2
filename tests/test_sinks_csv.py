"""The tables, read back by the csv module; what was not measured is empty, and the signals are cheap to write."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import pytest
from made_observations import INFO, activity, event, face, frame, play, recording

from realtime_mer.errors import OutputError, SourceError
from realtime_mer.face.regions import NAMES
from realtime_mer.records import End, FaceSignal, Observation
from realtime_mer.sinks.convert import convert
from realtime_mer.sinks.csv import EVENT_COLUMNS, SIGNAL_COLUMNS, EventsCsv, SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines, header
from realtime_mer.sinks.signals import read_signals


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_events_table(tmp_path: Path) -> None:
    log, path = tmp_path / "events.jsonl", tmp_path / "streamed.csv"
    play(EventsCsv(path), JsonLines(log, header(INFO, {})), last=(event(3, 2.6), event(4, 2.8, provisional=True)))
    micro, blink, last = rows(path)
    assert tuple(micro) == EVENT_COLUMNS
    assert (micro["label"], micro["probability"], micro["onset_frame"]) == ("negative", "0.7000", "100")
    assert float(micro["duration"]) == pytest.approx(0.3)
    assert "left lip corner +2.5 -1.2 AU12" in micro["cues"]
    assert (blink["status"], blink["reason"], blink["label"]) == ("rejected", 'eyes only, "a, b"', "")
    assert (last["id"], last["onset_frame"], last["apex_frame"], last["offset_frame"]) == ("3", "260", "272", "290")
    assert convert(log, "csv").read_text() == path.read_text()


def test_a_row_per_frame_and_face(tmp_path: Path) -> None:
    path = tmp_path / "signals.csv"
    two = (
        FaceSignal(face(1), activity(7.5, moved=0)),
        FaceSignal(face(2, (1, 2, 61, 72)), None, 'too small, "far"'),
    )
    with SignalsCsv(path) as sink:
        sink.write(Observation(0, 0.25, (), (), 0.0), frame(0, 0.25))
        sink.write(Observation(1, 0.26, two, (), 100.0, lost=2), frame(1, 0.26))
        sink.end(End(0.26, (event(9, 0.1),)))  # is no frame, and so no row
    nobody, first, second = rows(path)
    assert tuple(nobody) == SIGNAL_COLUMNS
    assert None not in first
    assert {k: v for k, v in nobody.items() if v} == {"frame": "0", "time": "0.250000", "lost": "0"}
    assert (first["face"], first["level"], first["threshold"], first["lost"]) == ("1", "7.500", "6.000", "2")
    assert (first["right_inner_brow_dx"], first["right_inner_brow_dy"]) == ("1.500", "-0.750")
    assert float(first["chin_dy"]) == 0.0
    assert (first["yaw"], first["pitch"], first["roll"]) == ("3.00", "-5.00", "1.50")
    assert (second["face"], second["note"], second["level"], second["chin_dy"]) == ("2", 'too small, "far"', "", "")
    assert [second[k] for k in ("x0", "y0", "x1", "y1")] == ["1.0", "2.0", "61.0", "72.0"]


def test_signals_are_read_back_and_a_cut_off_row_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "signals.csv"
    play(SignalsCsv(path), frames=100)
    path.write_bytes(path.read_bytes()[:-20])
    signals = read_signals(path)
    assert len(signals.frames) == 99
    assert list(signals.curves) == [1]
    assert signals.curves[1].between(0.5, 0.6).shape == (10, 3)
    path.write_text("not a table\n")
    with pytest.raises(SourceError, match="signals"):
        read_signals(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b",time,", b",clock,"), (b",0.030000,", b",nan,"), (b",0.030000,", b",1e999,"), (b",0.030000,", b",soon,"),
     (b"\n3,", b"\n3" + b"1" * 200_000 + b","), (b"\n3,", b"\n\xff3,")],
    ids=["no column", "nan", "infinity", "text", "a long field", "no text"],
)  # fmt: skip
def test_signals_that_cannot_be_right_are_one_short_line(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "signals.csv"
    play(SignalsCsv(path), frames=100)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    for read in (read_signals, lambda path: convert(path.with_name("events.jsonl"), "openface")):
        try:
            read(path)
        except SourceError as error:
            assert "is not a readable signals.csv" in str(error)  # noqa: PT017
            assert len(str(error)) < 300  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert read is not read_signals  # the table for OpenFace copies the time as it stands


def test_signals_cost_less_than_the_csv_module_and_than_a_frame(tmp_path: Path) -> None:
    """The floor is loose, as machines are shared; the figure is in docs/formats.md."""
    observations, one = list(recording(2000)), frame(0, 0.0)
    best = 1e9
    for attempt in range(3):
        with SignalsCsv(tmp_path / f"{attempt}.csv") as sink:
            start = time.perf_counter()
            for observation in observations:
                sink.write(observation, one)
            best = min(best, time.perf_counter() - start)
    plain = 1e9
    for _ in range(3):
        out = csv.writer(io.StringIO())
        start = time.perf_counter()
        for o in observations:
            for s in o.faces:
                assert s.activity is not None
                values = (*s.face.pose, s.face.score, *s.face.box, *s.activity.displacement.ravel())
                out.writerow([o.index, o.time, s.face.track, *(f"{v:.3f}" for v in values)])
        plain = min(plain, time.perf_counter() - start)
    assert best < plain
    assert best / len(observations) < 1e-3


def test_unwritable_tables(tmp_path: Path) -> None:
    for sink in (EventsCsv, SignalsCsv):
        with pytest.raises(OutputError, match="cannot write"):
            sink(tmp_path / "missing" / "x.csv")


def test_signal_columns_are_named_after_the_regions() -> None:
    assert len(SIGNAL_COLUMNS) == 18 + 2 * len(NAMES)
    assert len(set(SIGNAL_COLUMNS)) == len(SIGNAL_COLUMNS)
