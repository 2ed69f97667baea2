"""Streams of the drawn portrait through the pipeline: conditions, processes, kept results, sheets of alarms."""

import time
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from realtime_mer.bench import stream_runs
from realtime_mer.bench.alarm_sheets import PICTURES, draw_alarms
from realtime_mer.bench.conditions import Condition, compressed, face_scale, parse, thinned, under
from realtime_mer.bench.spotting import Case, Found, Row, StreamResult
from realtime_mer.bench.stream_runs import Options, measure
from realtime_mer.config import load
from realtime_mer.errors import ConfigError, OutputError, SourceError
from realtime_mer.records import Frame
from realtime_mer.synth import MOVEMENTS, Pulse, Script, portrait, render

NO_MODEL = load(None, ["classify.model=none"])
SCRIPT = Script(4.5, 50, pulses=(Pulse(MOVEMENTS["smile"], 2.5, 3.0, 3.12, 3.3),), seed=3)


def drawn(script=SCRIPT):
    return render(script, *portrait())


def once(mark):
    """The portrait, but only once."""
    assert not mark.exists(), "drawn twice"
    mark.write_text("")
    yield from drawn()


def broken():
    raise SourceError("no picture in it")
    yield


def waiting(seconds):
    for number in range(50):
        time.sleep(seconds / 50)
        yield Frame(number, number / 50, np.full((64, 64), 90, np.uint8))


CASE = Case("portrait", drawn, tuple(SCRIPT.truth()), subject="astronaut")


def numbered(times, **more):
    return [Frame(n, float(time), np.full((4, 4), n % 256, np.uint8), **more) for n, time in enumerate(times)]


@pytest.mark.parametrize(
    ("rate", "wanted", "left"),
    [(200, 30, 301), (200, 100, 1000), (200, 60, 601), (25, 30, 250), (29.97, 30, 300), (30, 30, 300)],
)
def test_thinned_frames_keep_their_times_and_an_even_beat(rate, wanted, left):
    times = np.arange(0, 10, 1 / rate) + np.random.default_rng(1).normal(0, 2e-4, len(np.arange(0, 10, 1 / rate)))
    frames = list(thinned(numbered(times), wanted))
    assert len(frames) == pytest.approx(left, abs=1)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert {frame.time for frame in frames} <= set(times.tolist())
    assert np.abs(np.diff([f.time for f in frames]) - max(1 / wanted, 1 / rate)).max() < 1 / rate + 1e-3


def test_thinning_forgets_no_hole():
    frames = numbered(np.arange(0, 2, 0.005))
    frames[101] = replace(frames[101], hole=0.4)
    assert sum(frame.hole for frame in thinned(frames, 30)) == pytest.approx(0.4)
    assert list(thinned(frames, None)) == frames


def test_compression_keeps_times_and_costs_detail():
    frames = [replace(f, time=0.7 + f.index * 0.0333, hole=0.5 if f.index == 9 else 0.0) for f in drawn()][:25]
    back = list(compressed(iter(frames), 40))
    assert [f.time for f in back] == [f.time for f in frames]
    assert [f.hole for f in back] == [f.hole for f in frames]
    alike = [np.corrcoef(a.gray.ravel(), b.gray.ravel())[0, 1] for a, b in zip(frames, back, strict=True)]
    assert 0.97 < min(alike) < 0.9999


def test_kept_compressed_streams_are_the_same_and_are_not_drawn_again(tmp_path):
    case = replace(CASE, frames=partial(once, tmp_path / "drawn"))
    first = list(under(case, Condition(25, h264=True), tmp_path / "kept").frames())
    again = list(under(case, Condition(25, h264=True), tmp_path / "kept").frames())
    assert [(f.time, f.index) for f in first] == [(f.time, f.index) for f in again]
    assert all((a.gray == b.gray).all() for a, b in zip(first, again, strict=True))
    assert len(list((tmp_path / "kept").iterdir())) == 2
    next(iter((tmp_path / "kept").glob("*.json"))).write_text("[[0.1,")  # cut short
    for other in (Condition(25, h264=True), Condition(20, h264=True)):
        with pytest.raises(AssertionError, match="drawn twice"):
            list(under(case, other, tmp_path / "kept").frames())


def test_a_face_is_shrunk_to_the_width_asked_for():
    wanted = under(CASE, Condition(rate=25, face_px=80))
    frames = list(wanted.frames())
    assert len(frames) == pytest.approx(4.5 * 25, abs=1)
    assert all(side % 2 == 0 for side in frames[0].size)
    assert face_scale(iter(frames), 40) == pytest.approx(0.5, rel=0.06)
    assert next(iter(under(CASE, Condition(face_px=5000)).frames())).size == next(drawn()).size


def test_conditions_are_read_and_named():
    assert parse("30h, 200,full,30h@125") == [
        Condition(30, True),
        Condition(200),
        Condition(),
        Condition(30, True, 125),
    ]
    assert Condition(30, True, 125).name == "30 frames/s, H.264, face 125 px"
    for wrong in ("", "fast", "30x", "30h@", "0", "30@0"):
        with pytest.raises(ConfigError, match="--conditions"):
            parse(wrong)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """One run with results kept and sheets of alarms asked for: (rows, folder of results, folder of sheets, lines)."""
    folder = tmp_path_factory.mktemp("runs")
    lines = []
    unknown = replace(CASE, truth=(), subject="nobody")  # so that what is found is a false alarm
    trials = [(Row("known"), [CASE]), (Row("unknown", negatives=True), [unknown, Case("broken", broken)])]
    options = Options(keep=folder / "kept", sheets=folder / "sheets")
    return list(measure(trials, NO_MODEL, options, lines.append)), folder, lines


def test_streams_are_watched_scored_and_counted(first):
    (known, unknown), _, lines = first
    assert known.scores.hits == 1
    assert 2 < 60 * known.minutes < 4.5
    assert unknown.scores.false_alarms == 1
    assert [stream.failed for stream in unknown.streams] == ["", "no picture in it"]
    assert len(lines) == 3
    assert "1 of 3, about" in lines[0]
    assert "FAILED: no picture in it" in lines[2]


def test_a_sheet_shows_each_alarm_and_nothing_else(first):
    _, folder, _ = first
    (sheet,) = (folder / "sheets").rglob("*.jpg")
    assert "portrait" in sheet.name
    picture = cv2.imread(str(sheet))
    assert picture.shape[1] == PICTURES * 256
    assert picture[30:250].std() > 20  # faces, not a blank


def test_an_interrupted_run_goes_on_where_it_was(first, monkeypatch):
    rows, folder, _ = first
    kept = sorted((folder / "kept").glob("*.json"))
    assert len(kept) == 3
    kept[0].write_text(kept[0].read_text()[:40])  # as a disk that was full leaves it
    watched = []
    real = stream_runs.watch_case

    def noted(case, *rest):
        watched.append(case.name)
        return real(case, *rest)

    monkeypatch.setattr(stream_runs, "watch_case", noted)
    unknown = replace(CASE, truth=(), subject="nobody")
    trials = [(Row("known"), [CASE]), (Row("unknown", negatives=True), [unknown, Case("broken", broken)])]
    again = list(measure(trials, NO_MODEL, Options(keep=folder / "kept")))
    assert len(watched) == 1
    assert again == rows
    other = load(None, ["classify.model=none", "spot.min_shift_px=3"])
    (changed,) = measure([(Row("known"), [CASE])], other, Options(keep=folder / "kept"))
    assert len(watched) == 2  # other settings are another result
    assert changed.scores.hits == 0


def test_processes_find_what_one_process_finds(first):
    (known, _), _, _ = first
    case = replace(CASE, frames=partial(drawn, SCRIPT))
    (row,) = measure([(Row("known"), [case, case])], NO_MODEL, Options(jobs=2))
    assert [stream.found for stream in row.streams] == [known.streams[0].found] * 2
    assert [stream.name for stream in row.streams] == ["portrait#0", "portrait#1"]


def test_a_run_that_is_stopped_waits_for_no_stream(tmp_path):
    slow = Case("slow", partial(waiting, 60))
    trials = [(Row("quick"), [Case("quick", partial(waiting, 0))]), (Row("slow"), [slow] * 4)]
    rows = measure(trials, NO_MODEL, Options(jobs=2, keep=tmp_path))
    assert next(rows).condition == "quick"
    begun = time.monotonic()
    rows.close()
    assert time.monotonic() - begun < 20
    assert len(list(tmp_path.iterdir())) == 1  # nothing half watched is kept


def test_a_sheet_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    alarm = Found(0.1, 0.2, 0.3, "micro", "", 1.0, None, ())
    with pytest.raises(OutputError, match="cannot write"):
        draw_alarms(CASE, StreamResult("x", "x", 1.0, (), (alarm,)), tmp_path / "file")
