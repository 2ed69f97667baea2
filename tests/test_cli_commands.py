"""The smaller commands: probe, convert, report, models, config, doctor, demo, and the top of the command line."""

import json
import re
import shutil
import signal
import subprocess
import tomllib
import urllib.request

import pytest
from cli_media import start
from made_observations import INFO, play
from source_media import write_video as write_numbered

import realtime_mer.commands.doctor as doctor
from realtime_mer.cli import COMMANDS, main
from realtime_mer.config import Config, load
from realtime_mer.sinks.convert import NAMES
from realtime_mer.sinks.csv import SignalsCsv
from realtime_mer.sinks.jsonl import JsonLines, header
from realtime_mer.synth import write_truth, write_video


@pytest.fixture
def log(tmp_path):
    """A made-up log with its signals, as analyze leaves them."""
    path = tmp_path / "events.jsonl"
    play(JsonLines(path, header(INFO, {"spot": {"settle_s": 1.0}})), SignalsCsv(tmp_path / "signals.csv"))
    return path


def test_every_command_explains_itself(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as done:
            main([name, "--help"])
        assert done.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: realtime-mer {name} ")


def test_version(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out.startswith("realtime-mer ")


def test_probe_tells_what_comes(tmp_path, capsys):
    video = write_numbered(tmp_path / "slow.mkv", range(0, 2000, 100))
    assert main(["probe", str(video), "--for", "1"]) == 0
    out = capsys.readouterr().out
    assert "picture      128x96, yuv420p" in out
    assert "10.00 frames/s achieved" in out
    assert "10.0 frames/s cannot resolve micro-expressions; at least 20 are needed" in out
    assert main(["probe", str(video), "--for", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 11
    assert report["achieved_fps"] == pytest.approx(10.0, abs=0.01)


def test_probe_says_how_small_a_movement_a_face_can_show(tmp_path, recording, capsys):
    video = tmp_path / "face.mp4"
    write_video(recording.frames[:200], video)
    assert main(["probe", str(video), "--face", "--for", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["sensitivity"]
    assert 0.1 < found["shift_px"] < 1
    assert found["minutes"] == pytest.approx(1 / 60, rel=0.3)  # after a second in which the face is learned
    empty = write_numbered(tmp_path / "empty.mkv", range(0, 2000, 20))
    assert main(["probe", str(empty), "--face"]) == 0
    assert "movements    no face was seen" in capsys.readouterr().out


def test_convert_names_the_files_it_wrote(log, capsys):
    assert main(["convert", str(log), "--to", ",".join(NAMES)]) == 0
    written = capsys.readouterr().out.splitlines()
    assert len(written) == len(NAMES)
    assert str(log.with_name("events.eaf")) in written
    assert main(["convert", str(log), "--to", "elan", "--out", str(log.with_name("mine.eaf"))]) == 0
    assert log.with_name("mine.eaf").read_text() == log.with_name("events.eaf").read_text()


def test_report_is_made_anew(log, capsys):
    assert main(["report", str(log)]) == 0
    assert capsys.readouterr().out == f"{log.with_name('report.html')}\n"
    assert log.with_name("report.html").read_text().lstrip().lower().startswith("<!doctype html>")


def test_models_tell_what_they_are(capsys):
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("default (shipped)")
    assert "negative, positive, surprise" in text
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["spec"]["labels"] == ["negative", "positive", "surprise", "none"]


def test_the_settings_can_be_edited_and_given_back(tmp_path, capsys):
    assert main(["config"]) == 0
    text = capsys.readouterr().out
    assert set(tomllib.loads(text)) == {"faces", "spot", "classify"}
    (tmp_path / "mine.toml").write_text(text)
    assert load(tmp_path / "mine.toml") == Config()
    assert main(["config", "--config", str(tmp_path / "mine.toml"), "--set", "spot.onset_noise=8"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["spot"]["onset_noise"] == 8.0


def test_doctor_finds_this_machine_well(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "ok  face model" in out
    assert "ok  recognizer" in out
    assert "ok  telemetry        off" in out
    assert "!!" not in out


def test_doctor_says_what_is_missing_and_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REALTIME_MER_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "OPTIONAL", {"no-such-package": "a dream: pip install it"})
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "!!  face model" in out
    assert "run `realtime-mer setup`" in out
    assert "--  no-such-package  not installed (a dream: pip install it)" in out


def test_demo_holds_the_events_against_the_truth(recording, tmp_path, capsys):
    """On a clip that is there already: drawing the real one takes half a minute, and tests/test_synth_video.py does."""
    write_video(recording.frames, tmp_path / "clip.mp4")
    write_truth(recording.truth, tmp_path / "clip.truth.json")
    assert main(["demo", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "of 3 micro-expressions drawn into the clip 3 were found, false: 0" in out
    assert "median error of the apex " in out
    assert "making the clip" not in err
    shutil.rmtree(tmp_path / "clip")


def test_the_app_is_served_until_ctrl_c():
    pytest.importorskip("gradio")
    with start("app", "--port", "0") as process:
        said = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", said)[0]
        with urllib.request.urlopen(address, timeout=60) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("line", "expected"), [("ana", "analyze"), ("analyze --overw", "--overwrite"), ("report eve", "events.jsonl")]
)
def test_bash_completes_commands_options_and_files(line, expected, tmp_path, capsys):
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    words = ["realtime-mer", *line.split()]
    ask = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_realtime_mer; echo ${{COMPREPLY[@]}}"
    script = f"{capsys.readouterr().out}\n{ask}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert expected in done.stdout.split(), done.stderr
