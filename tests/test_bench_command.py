"""The subcommands of ``bench``: what they print, and how they refuse."""

import argparse
import json
import math

import pytest

from realtime_mer.bench import page, spotting
from realtime_mer.bench.results import Result, growth, machine, series
from realtime_mer.bench.spotting import Row
from realtime_mer.commands import bench
from realtime_mer.errors import ConfigError, MerError, SourceError


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
    monkeypatch.setattr(spotting, "measure", lambda conditions, _config: (Row(name) for name, _ in conditions))
    monkeypatch.setattr(spotting, "synthetic", lambda _seconds, _seed: iter([("base", []), ("30 frames/s", [])]))
    assert call("spotting", "--out", tmp_path / "s.json") == 0
    assert "30 frames/s" in capsys.readouterr().out
    assert [row["condition"] for row in json.loads((tmp_path / "s.json").read_text())["rows"]] == [
        "base",
        "30 frames/s",
    ]


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
        (("throughput", "--groups", "faces,colours"), ConfigError, "unknown curve colours"),
        (("throughput", "--rounds", 0), ConfigError, "from 1"),
        (("live", "--for", 1), ConfigError, "more than 2 s"),
        (("memory", "--minutes", 0.5), ConfigError, "at least 1 minute"),
        (("peers", "--rounds", 0), ConfigError, "from 1"),
        (("live", "no.mp4"), SourceError, "no such file"),
        (("compare", "no.json", "no.json"), SourceError, "cannot read"),
        (("spotting", "--videos", ".", "--peaks", "big"), ConfigError, "takes numbers"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(words, error, line):
    with pytest.raises(error, match=line):
        call(*words)
