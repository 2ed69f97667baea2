"""The subcommands of ``bench``: what they print, and how they refuse."""

import argparse
import json

import pytest

from realtime_mer.bench import spotting
from realtime_mer.bench.results import Result, machine, series
from realtime_mer.bench.spotting import Row
from realtime_mer.commands import bench
from realtime_mer.errors import ConfigError, SourceError


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


@pytest.mark.parametrize(
    ("words", "error", "line"),
    [
        (("throughput", "--groups", "faces,colours"), ConfigError, "unknown curve colours"),
        (("throughput", "--rounds", 0), ConfigError, "from 1"),
        (("live", "--for", 1), ConfigError, "more than 2 s"),
        (("live", "no.mp4"), SourceError, "no such file"),
        (("compare", "no.json", "no.json"), SourceError, "cannot read"),
        (("spotting", "--videos", ".", "--peaks", "big"), ConfigError, "takes numbers"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(words, error, line):
    with pytest.raises(error, match=line):
        call(*words)
