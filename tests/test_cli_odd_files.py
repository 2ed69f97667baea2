"""What the commands say of recordings that are not as they should be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from odd_media import encode, half, textured
from source_media import write_video as write_numbered

from realtime_mer.cli import main
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.synth import write_video

QUICK = ("--no-video", "--model", "none")


def analyzed(tmp_path, path, *more):
    assert main(["analyze", str(path), "--out", str(tmp_path / "out"), *QUICK, *more]) == 0
    return read_jsonl(tmp_path / "out" / path.stem / "events.jsonl")


def test_skipped_frames_are_told_with_their_reason_everywhere(tmp_path, capfd):
    options = {"bf": "0", "x264-params": "scenecut=0"}
    path = encode(tmp_path / "a.mp4", map(textured, range(60)), options=options, change=half(20))
    source = analyzed(tmp_path, path).summary.source
    assert source.skipped == sum(source.reasons.values()) == 10
    assert set(source.reasons) == {"damaged", "predicted from a damaged frame"}
    told = "10 frames were skipped: "
    assert f"{path}: warning: {told}" in capfd.readouterr().err
    report = (tmp_path / "out" / "a" / "report.html").read_text()
    assert told in report
    assert f"{source.reasons['damaged']} damaged" in report
    assert main(["probe", str(path)]) == 0
    assert "10 unusable (" in capfd.readouterr().out


def test_eight_frames_a_second_stored_as_sixty_are_told(recording, tmp_path, capfd):
    def stored(number):
        return replace(recording.frames[number * 8 // 60 * 100 // 8], index=number, time=number / 60)

    path = tmp_path / "slow.mkv"
    write_video([stored(number) for number in range(300)], path, codec="mjpeg")
    log = analyzed(tmp_path, path)
    assert log.summary.fps == pytest.approx(8, rel=0.25)
    assert log.summary.repeated >= 250
    assert not [event for event in log.events if event.movement.kind.value == "micro"]
    assert all(event.fps < 20 for event in log.events)
    out = capfd.readouterr().out
    assert "frames repeat the one before" in out
    assert "fewer than 20 frames/s that show something new" in out
    report = (tmp_path / "out" / "slow" / "report.html").read_text()
    assert f"{log.summary.fps:.1f} frames/s" in report
    assert main(["probe", str(path), "--json"]) == 0
    probed = json.loads(capfd.readouterr().out)
    assert probed["achieved_fps"] == pytest.approx(60, rel=0.01)
    assert probed["new_fps"] == pytest.approx(8, rel=0.25)
    assert any("cannot resolve" in warning for warning in probed["warnings"])


def test_slow_motion_is_analyzed_at_the_rate_given(recording, tmp_path, capfd):
    path = tmp_path / "slow.mp4"
    write_video([replace(frame, time=frame.index / 25) for frame in recording.frames], path)
    log = analyzed(tmp_path, path, "--rate", "100")
    assert log.summary.duration == pytest.approx(7.99)
    assert log.header.source.rate == 100
    assert log.header.source.details["container_rate"] == pytest.approx(25)
    assert len([event for event in log.events if event.movement.kind.value == "micro"]) == 3
    assert "times follow from the rate given, 100 frames/s; the file states 25" in capfd.readouterr().err


def test_a_log_of_an_earlier_version_is_read(tmp_path):
    path = write_numbered(tmp_path / "a.mp4", range(0, 300, 10))
    analyzed(tmp_path, path)
    log = tmp_path / "out" / "a" / "events.jsonl"
    *lines, last = log.read_text().splitlines()
    summary = json.loads(last)
    del summary["repeated"], summary["fps"], summary["source"]["repeated"], summary["source"]["reasons"]
    log.write_text("\n".join([*lines, json.dumps(summary)]) + "\n")
    read = read_jsonl(log).summary
    assert (read.repeated, read.fps, read.source.reasons, read.source.repeated) == (0, None, {}, 0)
    assert main(["report", str(log)]) == 0
