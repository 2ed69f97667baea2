"""What a user can do wrong at the command line: each ends in one clear line and a fitting exit code."""

import subprocess
import sys

import av
import pytest
from cli_media import COMMAND, encoded, play
from source_media import picture, write_video

from realtime_mer.cli import main
from realtime_mer.recognize.device import gpu

USAGE, SOURCE, MODEL, DEVICE, OUTPUT = 2, 3, 4, 5, 6


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with what can be given by mistake, as the working directory."""
    write_video(tmp_path / "good.mp4", range(0, 100, 10))
    write_video(tmp_path / "one.mp4", [0])
    whole = (tmp_path / "good.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("this is no video\n")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with av.open(str(tmp_path / "frameless.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    (tmp_path / "file").write_text("x")
    (tmp_path / "notes.jsonl").write_text("these are no events\n")
    (tmp_path / "bad.toml").write_text("[spot\n")
    (tmp_path / "text.onnx").write_text("this is no model")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("analyze missing.mp4", SOURCE, "no such file: missing.mp4"),
        ("analyze text.mp4", SOURCE, "text.mp4 is text, not a video"),
        ("analyze empty.mp4", SOURCE, "empty.mp4 is empty (0 bytes)"),
        ("analyze cut.mp4", SOURCE, "cut.mp4 is not a readable video: no video at all, damaged, or cut off"),
        ("analyze frameless.mkv", SOURCE, "frameless.mkv is not a readable video"),
        ("analyze folder --rate 200", SOURCE, "folder has no images"),
        ("analyze folder --rate 0", USAGE, "--rate: must be a positive number, not '0'"),
        ("analyze rtsp://127.0.0.1/a --rate 50", SOURCE, "rtsp://127.0.0.1/a is live and has its own times"),
        ("analyze good.mp4 --out file", OUTPUT, "cannot create the folder file/good: Not a directory"),
        ("analyze good.mp4 --out file/deeper", OUTPUT, "cannot create the folder file/deeper/good"),
        ("analyze good.mp4 good.mp4", USAGE, "two recordings would be written to results/"),
        ("analyze good.mp4 --video-rate -1", USAGE, "--video-rate must be 0 or more frames/s, not -1"),
        ("analyze good.mp4 --formats elan,elam", USAGE, "unknown format elam: choose from csv, elan, "),
        (
            "analyze good.mp4 --set spot.onset_noize=3",
            USAGE,
            "unknown setting spot.onset_noize; known: onset_noise, ",
        ),
        ("analyze good.mp4 --set spot.onset_noise=high", USAGE, "spot.onset_noise must be a number, not 'high'"),
        (
            "analyze good.mp4 --set spot.onset_noise=0",
            USAGE,
            "spot.onset_noise must be between 1 and 100 noise, not 0",
        ),
        ("analyze good.mp4 --set spot.enter=3", USAGE, "setting spot.enter is now called spot.onset_noise"),
        ("analyze good.mp4 --set onset_noise", USAGE, "'onset_noise' is not section.key=value"),
        ("analyze good.mp4 --config bad.toml", USAGE, "settings file bad.toml is not valid TOML"),
        ("analyze good.mp4 --config none.toml", USAGE, "settings file none.toml cannot be read: No such file"),
        ("analyze good.mp4 --model nonesuch", MODEL, "no model 'nonesuch'"),
        ("analyze good.mp4 --model text.onnx", MODEL, "text.onnx is not a complete ONNX file"),
        ("analyze good.mp4 --device gpu", DEVICE, "unknown device 'gpu': choose from auto, cpu, cuda, tensorrt"),
        ("analyze", USAGE, "the following arguments are required: VIDEO (see realtime-mer analyze --help)"),
        ("live 99 --model none", SOURCE, "no camera 99"),
        ("live /dev/video99 --model none", SOURCE, "no camera /dev/video99"),
        ("live http://127.0.0.1:9/stream --model none", SOURCE, "cannot be reached: Connection refused"),
        ("live rtsp://127.0.0.1:9/stream --model none", SOURCE, "cannot be reached: Connection refused"),
        ("live ftp://example.org/clip --model none", SOURCE, "ftp:// is not supported"),
        ("live good.mp4 --for -1", USAGE, "argument --for: must be a positive number, not '-1'"),
        ("live good.mp4 --for soon", USAGE, "argument --for: must be a positive number, not 'soon'"),
        ("live good.mp4 --out file --model none", OUTPUT, "cannot create the folder file"),
        ("live good.mp4 --record file/a.mp4 --model none", OUTPUT, "cannot write file/a.mp4: Not a directory"),
        ("live good.mp4 --record a.avi --model none", OUTPUT, "the name of a video must end in .mp4 or .mkv"),
        ("live good.mp4 --width 640 --model none", SOURCE, "good.mp4 is not a camera"),
        ("probe one.mp4", SOURCE, "one.mp4 delivered 1 frame; at least two are needed"),
        ("probe good.mp4 --for 0", USAGE, "argument --for: must be a positive number, not '0'"),
        ("convert none.jsonl --to elan", SOURCE, "cannot read none.jsonl: No such file"),
        ("convert notes.jsonl --to elan", SOURCE, "notes.jsonl is not an event log"),
        ("convert notes.jsonl --to elan,elam", USAGE, "unknown format elam"),
        ("convert notes.jsonl --to elan,bids --out x", USAGE, "--out is one file"),
        ("report notes.jsonl", SOURCE, "notes.jsonl is not an event log"),
        ("config --set nope.x=1", USAGE, "unknown section [nope]; known: faces, spot, classify"),
        ("config --config folder", USAGE, "settings file folder cannot be read: Is a directory"),
        ("demo --out file", OUTPUT, "cannot create the folder file: File exists"),
        ("nonsense", USAGE, "invalid choice: 'nonsense'"),
        ("models --nonsense", USAGE, "unrecognized arguments: --nonsense"),
        ("", USAGE, "the following arguments are required: COMMAND (see realtime-mer --help)"),
    ],
)
def test_a_mistake_is_told_in_one_line(line, code, says, capfd):
    try:
        returned = main(line.split())
    except SystemExit as done:  # argparse's own way out
        returned = done.code
    assert returned == code
    out, err = capfd.readouterr()  # of the descriptors: what libraries print would be seen too
    assert out == ""
    assert err.startswith("realtime-mer")
    assert says in err
    assert err.count("\n") == 1, err


def test_a_name_with_a_line_end_is_still_one_line(capfd):
    assert main(["live", "no\nsuch.mp4", "--model", "none"]) == SOURCE
    assert capfd.readouterr().err == "realtime-mer: no such file: no such.mp4\n"


def test_without_a_gpu_cuda_is_refused(capfd):
    if gpu():
        pytest.skip("there is a GPU here")
    assert main(["analyze", "good.mp4", "--device", "cuda"]) == DEVICE
    assert capfd.readouterr().err == (
        "realtime-mer: no NVIDIA GPU with a working driver was found: use --device cpu or auto\n"
    )


def test_without_the_face_model_it_says_how_to_get_it(place, monkeypatch, capfd):
    monkeypatch.setenv("REALTIME_MER_CACHE", str(place / "nothing"))
    assert main(["analyze", "good.mp4"]) == MODEL
    assert "is missing: run `realtime-mer setup`" in capfd.readouterr().err


def test_a_folder_of_images_needs_its_rate(place, capfd):
    (place / "folder" / "1.png").write_bytes(b"")
    assert main(["analyze", "folder", "--model", "none"]) == SOURCE
    assert "give their frame rate (--rate)" in capfd.readouterr().err


def test_analyze_refuses_a_source_without_end(place, capfd):
    with play(encoded([picture(0)] * 20)) as player:
        assert main(["analyze", player.uri, "--model", "none"]) == SOURCE
        assert f"is a live source: use `realtime-mer live {player.uri} --out DIR`" in capfd.readouterr().err
    assert not (place / "results").exists()


@pytest.mark.parametrize(
    "line",
    [
        "realtime_mer.cli live good.mp4 --quiet --model none",
        "realtime_mer.cli analyze --help",
        "train --help",
        "train datasets",
        "export --help",
    ],
)
def test_a_reader_that_has_gone_is_no_error(line):
    with subprocess.Popen(
        [sys.executable, "-m", *line.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.parametrize("command", ["realtime_mer.cli config", "train datasets", "export verify --help"])
def test_a_command_ends_quietly_when_head_has_seen_enough(command):
    piped = f"set -o pipefail; '{sys.executable}' -u -m {command} | head -1"  # -u: every line is a write of its own
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def test_a_full_disk_is_told():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "config"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == OUTPUT
    assert done.stderr == "realtime-mer: cannot write to standard output: No space left on device\n"
