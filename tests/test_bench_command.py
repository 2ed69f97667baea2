"""The subcommands of ``bench``: what they print, and how they refuse."""

import argparse
import json
import math

import cv2
import numpy as np
import pytest

from realtime_mer.bench import cases, page, score_file, stream_runs
from realtime_mer.bench.results import Result, growth, machine, series
from realtime_mer.bench.spotting import Row, StreamResult
from realtime_mer.commands import bench
from realtime_mer.errors import ConfigError, DataError, MerError, SourceError
from realtime_mer.records import Frame
from realtime_mer.spotting.scores import Movement
from realtime_mer.synth import write_video
from realtime_mer.synth.splice import LEAD, TAIL, TAILS


def call(*words):
    parser = argparse.ArgumentParser()
    bench.add(parser.add_subparsers())
    arguments = parser.parse_args(["bench", *map(str, words)])
    return arguments.run(arguments)


def stored(path, scale):
    line = series("stage: follow", "ms", "made up", [scale * (1 + 0.01 * (n % 7)) for n in range(200)])
    Result("latency", {}, {}, (line,), machine()).save(path)
    return path


def test_compare_prints_both_with_their_noise(tmp_path, capsys):
    assert call("compare", stored(tmp_path / "a.json", 1.0), stored(tmp_path / "b.json", 2.0)) == 0
    printed = capsys.readouterr().out
    assert "worse" in printed
    assert "+100.0 %" in printed


def test_live_writes_json_and_a_plot(tmp_path, capsys):
    from realtime_mer.bench.clips import Clip, make

    clip = make(Clip(seconds=4.0))
    out = tmp_path / "live.json"
    assert call("live", clip, "--fps", 50, "--for", 3, "--model", "none", "--out", out) == 0
    values = json.loads(out.read_text())
    assert values["settings"]["fps"] == 50
    assert {s["name"] for s in values["series"]} >= {"capture to observation", "capture interval", "memory"}
    assert "capture to observation" in capsys.readouterr().out


def test_spotting_prints_and_stores_every_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stream_runs, "measure", lambda trials, *_: (row for row, _ in trials))
    monkeypatch.setattr(cases, "synthetic", lambda _seconds, _seed: iter([("base", []), ("30 frames/s", [])]))
    assert call("spotting", "--out", tmp_path / "s.json") == 0
    assert "30 frames/s" in capsys.readouterr().out
    assert [row["condition"] for row in json.loads((tmp_path / "s.json").read_text())["rows"]] == [
        "base",
        "30 frames/s",
    ]


@pytest.fixture
def casme2(tmp_path):
    """A tree in the layout of CASME II: four people with one clip each, and a list of them."""
    lines = ["subject,clip,emotion,onset,apex,offset"]
    for number in range(1, 5):
        folder = tmp_path / "Cropped" / f"sub{number:02d}" / "EP01"
        folder.mkdir(parents=True)
        lines.append(f"sub{number:02d},EP01,happiness,1,5,9")
        for frame in range(1, 10):
            cv2.imwrite(str(folder / f"reg_img{frame}.jpg"), np.full((24, 20, 3), 20 * frame, np.uint8))
    (tmp_path / "clips.csv").write_text("\n".join([*lines, "sub09,EP09,happiness,1,5,9"]))
    return tmp_path / "Cropped", tmp_path / "clips.csv"


@pytest.fixture
def asked(monkeypatch):
    """What the benchmark would watch: {(data, condition, tail): names}; and nothing is watched."""
    found = {}

    def note(trials, *_):
        for row, watched in trials:
            found[row.key] = [(case.unit, sum(1 for _ in case.frames())) for case in watched]
            row.streams += [StreamResult(case.name, case.unit, 1.0, (), ()) for case in watched]
            yield row

    monkeypatch.setattr(stream_runs, "measure", note)
    return found


def test_every_condition_of_casme2_is_run_with_every_tail(casme2, asked, capsys):
    assert call("spotting", "--casme2", *casme2, "--conditions", "30,200", "--half", "A", "--model", "none") == 0
    assert [(condition, tail) for _, condition, tail in asked] == [
        (f"{rate} frames/s, uncompressed", tail) for rate in (30, 200) for tail in TAILS
    ]
    frames = round((LEAD + TAIL) * 200) + 9
    for (_, condition, _), watched in asked.items():
        share = 1 if "200" in condition else 30 / 200
        assert watched == [(name, pytest.approx(frames * share, abs=1)) for name in ("sub01", "sub03")]
    captured = capsys.readouterr()
    assert captured.out.count("result: ") == 2
    assert "4 clips; 1 rows are left out" in captured.err


def test_both_halves_are_everybody_however_few_are_asked_for(casme2, asked):
    for half, people in (("A", ["sub03"]), ("B", ["sub02"])):
        words = ("--subjects", "sub02,sub03", "--half", half, "--model", "none")
        assert call("spotting", "--casme2", *casme2, *words) == 0
        assert {name for watched in asked.values() for name, _ in watched} == set(people)
    with pytest.raises(ConfigError, match="is in half"):
        call("spotting", "--casme2", *casme2, "--subjects", "sub02", "--half", "A")


def test_recordings_in_one_folder_are_one_persons(tmp_path, asked):
    for name in ("ann/1.mp4", "ann/2.mp4", "bob.mp4", "cy/3.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_video([Frame(n, n / 25, np.zeros((16, 16), np.uint8)) for n in range(3)], tmp_path / name)
    assert call("spotting", "--negatives", f"talk={tmp_path}", "--half", "A", "--model", "none") == 0
    assert asked == {("talk", "as they are", ""): [("ann", 3), ("ann", 3), ("cy", 3)]}


def test_long_videos_are_cases_of_their_own(tmp_path, asked):
    folder = tmp_path / "frames" / "15_0401girlcrashing"
    folder.mkdir(parents=True)
    for number in range(1, 13):
        cv2.imwrite(str(folder / f"img{number}.jpg"), np.zeros((8, 8, 3), np.uint8))
    sheet = tmp_path / "list.csv"
    sheet.write_text("video_name,start_frame,apex_frame,end_frame,type_idx\ncasme_015_0401,2,3,9,2\n")
    words = ("--long", "casme-sq", tmp_path / "frames", sheet, "--conditions", "full,10")
    assert call("spotting", *words, "--model", "none") == 0
    assert list(asked.values()) == [[("15", 12)], [("15", 4)]]


def test_score_files_are_scored_compared_and_pooled(tmp_path, capsys):
    for half, people in (("A", ("s1", "s3")), ("B", ("s2", "s4"))):
        streams = [
            StreamResult(f"{name}#0", name, 1.0, (Movement(f"{name}#0", 1, 1.3, 1.1, "positive"),), ())
            for name in people
        ]
        score_file.save([Row("200", "CASME II spliced", "hold", streams=streams)], {"half": half}, tmp_path / half)
    both = tmp_path / "A", tmp_path / "B"
    assert call("compare", "--pool", *both, "--out", tmp_path / "AB") == 0
    assert "CASME II spliced, 200, hold" in capsys.readouterr().out
    assert call("compare", tmp_path / "AB", tmp_path / "AB") == 0
    assert "over 4 people: no difference shown" in capsys.readouterr().out
    assert call("spotting", "--score", tmp_path / "AB", "--markdown") == 0
    assert "| CASME II spliced | 200 | 4 | 0.00 (0.00-0.00) |" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="add --pool"):
        call("compare", *both, "--out", tmp_path / "AB")


def test_memory_is_noted_every_minute_of_one_long_video(tmp_path, capsys):
    out = tmp_path / "memory.json"
    assert call("memory", "--fps", 10, "--minutes", 1, "--out", out) == 0
    values = json.loads(out.read_text())
    (memory,) = values["series"]
    assert len(memory["samples"]) == 1
    assert min(memory["samples"]) > 50
    assert values["facts"]["frames"] == 600
    assert "growth, MB per hour" in capsys.readouterr().out


def test_growth_is_the_slope_and_nothing_without_samples():
    assert growth([0, 60, 120], [100, 101, 102]) == pytest.approx(60)
    assert math.isnan(growth([0], [100]))


def test_peers_run_in_processes_of_their_own_beside_ours(tmp_path, capsys):
    from realtime_mer.bench.clips import Clip, make

    clip, out, none = make(Clip(seconds=4.0)), tmp_path / "peers.json", tmp_path / "none"
    words = (clip, "--only", "dis,fer", "--rounds", 1, "--seconds", 0.3, "--environments", none, "--out", out)
    assert call("peers", *words) == 0
    values = json.loads(out.read_text())
    names = {"realtime-mer", "OpenCV DIS, whole frames"}
    assert {line["name"] for line in values["series"]} == names | {f"{name}, processor" for name in names}
    assert all(sample > 0 for line in values["series"] for sample in line["samples"])
    assert values["facts"] == {"FER": "not measured: not installed (--setup)"}
    assert "a face in 100 % of the frames" in capsys.readouterr().out


def test_a_page_is_not_measured_without_a_browser(monkeypatch, tmp_path):
    pytest.importorskip("playwright")
    monkeypatch.setattr(page, "CHROMIUM", tmp_path / "none")
    with pytest.raises(MerError, match="no Chromium at"):
        call("page")


@pytest.mark.browser
@pytest.mark.skipif(not page.CHROMIUM.exists(), reason=f"Chromium is not installed at {page.CHROMIUM}")
def test_a_page_left_open_is_looked_at_now_and_then(monkeypatch, tmp_path):
    for name in ("WARM", "EVERY", "LAP"):
        monkeypatch.setattr(page, name, 1.0)
    out = tmp_path / "page.json"
    assert call("page", "--stream", "--fps", 30, "--minutes", 0.06, "--out", out) == 0
    rate, server, heap = json.loads(out.read_text())["series"]
    assert max(rate["samples"]) > 5
    assert min(*server["samples"], *heap["samples"]) > 1


@pytest.mark.parametrize(
    ("words", "error", "line"),
    [
        (("throughput", "--groups", "faces,colors"), ConfigError, "unknown curve colors"),
        (("throughput", "--rounds", 0), ConfigError, "at least 1"),
        (("live", "--for", 1), ConfigError, "longer than 2 s"),
        (("memory", "--minutes", 0.5), ConfigError, "at least 1 minute"),
        (("peers", "--rounds", 0), ConfigError, "at least 1"),
        (("live", "no.mp4"), SourceError, "no such file"),
        (("compare", "no.json", "no.json"), SourceError, "cannot read"),
        (("spotting", "--videos", ".", "--peaks", "big"), ConfigError, "takes numbers"),
        (("spotting", "--jobs", 0), ConfigError, "at least 1"),
        (("spotting", "--long", "smic", ".", "x.xlsx"), ConfigError, "choose from samm-lv"),
        (("spotting", "--casme2", ".", "no.xlsx"), DataError, "does not exist"),
        (("spotting", "--negatives", "talk="), ConfigError, "KIND=DIR"),
        (("spotting", "--negatives", "talk=nowhere"), SourceError, "no videos"),
        (("spotting", "--transplant", "calm=."), ConfigError, "add --casme2"),
        (("spotting", "--score", "no.csv"), ConfigError, "needs --truth"),
        (("spotting", "--score", "no.json"), SourceError, "cannot read"),
        (("compare", "--pool", "no.json", "no.json"), SourceError, "cannot read"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(words, error, line):
    with pytest.raises(error, match=line):
        call(*words)
