"""How a command ends when something outside ends it: signals at any moment, streams that are closed, a reader that
leaves, no home, libraries that are missing. One line each, whole files, and the exit code that shells expect."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_media import COMMAND, encoded, play, start
from source_media import picture, write_video

from realtime_mer.sinks.jsonl import read_jsonl

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SIGNALS = pytest.mark.parametrize("number", EXIT_CODES, ids=lambda number: number.name)
NOTHING = "realtime-mer: interrupted; nothing was written\n"
COMPLETE = "realtime-mer: interrupted; everything written so far is complete\n"  # just after loading

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="POSIX signals, /proc")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("recording") / "video.mp4", range(0, 20_000, 10))


def handled(process: subprocess.Popen, number: int) -> bool:
    """Whether the process has a handler for the signal by now: before that, Python itself is starting."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


def wait_for(process: subprocess.Popen, condition) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """The line in bash, where $MER is the command."""
    env = {**os.environ, "MER": " ".join(COMMAND), **environment}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, timeout=120, cwd=folder, env=env
    )


@SIGNALS
@pytest.mark.parametrize("command", ["analyze", "live"])
@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.3])
def test_a_signal_while_the_command_still_loads(command, number, after_s, video, tmp_path):
    out = tmp_path / "out"
    with start(command, video, "--out", out) as process:
        wait_for(process, lambda: handled(process, signal.SIGHUP))
        time.sleep(after_s)
        process.send_signal(number)
        said, err = process.communicate(timeout=60)
    if not out.exists():  # on a fast machine it has begun by then, which the next tests are about
        assert (process.returncode, said) == (EXIT_CODES[number], "")
        assert err in (NOTHING, COMPLETE)
    assert "Traceback" not in err


@SIGNALS
def test_a_signal_while_a_recording_is_analyzed(number, video, tmp_path):
    other = write_video(tmp_path / "other.mp4", range(0, 100, 10))
    folder = tmp_path / "out" / "video"
    with start("analyze", video, other, "--out", tmp_path / "out", "--model", "none") as process:
        wait_for(process, lambda: (folder / "events.jsonl").is_file() and (folder / "events.jsonl").stat().st_size)
        process.send_signal(number)
        said, err = process.communicate(timeout=60)
    assert (process.returncode, said) == (EXIT_CODES[number], "")
    assert err.splitlines()[1:] == [
        f"realtime-mer: interrupted; {folder} holds what was analyzed so far, "
        f"and the same command analyzes {video} again"
    ]
    summary = read_jsonl(folder / "events.jsonl").summary
    assert summary.stopped == number.name
    assert 0 < summary.frames < 2000
    assert (folder / "signals.csv").read_text().count("\n") == summary.frames + 1
    assert not (tmp_path / "out" / "other").exists()
    done = shell(f"$MER analyze '{video}' '{other}' --out out --model none", tmp_path)
    assert (done.returncode, done.stdout.count("micro-expressions")) == (0, 2)
    assert read_jsonl(folder / "events.jsonl").summary.frames == 2000


@SIGNALS
def test_a_signal_ends_a_live_run_in_order(number, tmp_path):
    """Ctrl-C is the usual end of a live run: 0. The others come from outside, and whoever sent them sees that."""
    with (
        play(encoded([picture(0)] * 3000), 50.0) as player,
        start("live", player.uri, "--out", tmp_path, "--model", "none") as process,
    ):
        assert json.loads(process.stdout.readline())["type"] == "header"
        process.send_signal(number)
        said, err = process.communicate(timeout=60)
    assert process.returncode == (0 if number == signal.SIGINT else EXIT_CODES[number])
    assert json.loads(said.splitlines()[-1])["type"] == "summary"
    assert read_jsonl(tmp_path / "events.jsonl").summary.stopped == number.name
    last = err.splitlines()[-1]
    assert (
        " captured, " in last if number == signal.SIGINT else last.startswith(f"realtime-mer: ended by {number.name}")
    )


def test_a_signal_that_was_ignored_stays_so(video, tmp_path):
    """nohup."""
    done = shell(
        f"trap '' HUP; $MER analyze '{video}' --out out --model none --no-video & sleep 1; kill -HUP $!; wait $!",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert read_jsonl(tmp_path / "out" / "video" / "events.jsonl").summary.frames == 2000


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_harm_the_files(closed, tmp_path):
    """What is opened next would get the number of a closed stream, and what libraries print would land in it."""
    write_video(tmp_path / "video.mp4", range(0, 500, 10))
    done = shell(f"$MER analyze video.mp4 --out out --model none {closed}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    folder = tmp_path / "out" / "video"
    assert read_jsonl(folder / "events.jsonl").summary.frames == 50
    assert (folder / "signals.csv").read_text().count("\n") == 51
    assert (folder / "report.html").is_file()


def test_a_closed_standard_output_is_told_by_commands_that_only_print(tmp_path):
    write_video(tmp_path / "video.mp4", range(0, 500, 10))
    done = shell("$MER config >&-", tmp_path)
    assert (done.returncode, done.stderr) == (
        6, "realtime-mer: cannot write to standard output: Bad file descriptor\n",
    )  # fmt: skip
    done = shell("$MER live video.mp4 --model none >&-", tmp_path)
    assert done.returncode == 6
    assert done.stderr == (
        "realtime-mer: standard output, which would get the events, is closed: redirect it, or add --out DIR\n"
    )
    done = shell("$MER live video.mp4 --model none --out out >&-", tmp_path)
    assert done.returncode == 0
    assert read_jsonl(tmp_path / "out" / "events.jsonl").summary.frames == 50


def test_a_live_run_ends_in_order_when_the_reader_of_its_output_leaves(tmp_path):
    write_video(tmp_path / "video.mp4", range(0, 500, 10))
    done = shell("$MER live video.mp4 --model none --out out --quiet | head -1", tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["type"] == "header"
    assert done.stderr == "realtime-mer: the reader of standard output has left; out is complete to that moment\n"
    assert read_jsonl(tmp_path / "out" / "events.jsonl").summary is not None


def test_recordings_are_analyzed_whether_or_not_anyone_reads_their_summaries(tmp_path):
    for name in ("a", "b", "c"):
        write_video(tmp_path / f"{name}.mp4", range(0, 200, 10))
    done = shell("$MER analyze a.mp4 b.mp4 c.mp4 --out out --model none | head -1", tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("a.mp4: 20 frames")
    assert all((tmp_path / "out" / name / "report.html").is_file() for name in ("a", "b", "c"))
    done = shell("$MER analyze a.mp4 b.mp4 --out out --model none > /dev/full", tmp_path)
    assert done.returncode == 6
    assert "cannot write to standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("home", [None, "/nonexistent", "/dev/null"])
def test_without_a_home_the_models_are_found_where_it_is_said(home, tmp_path):
    write_video(tmp_path / "video.mp4", range(0, 200, 10))
    from realtime_mer.assets import cache_dir

    environment = {"REALTIME_MER_CACHE": str(cache_dir()), **({} if home is None else {"HOME": home})}
    done = shell(f"{'unset HOME; ' if home is None else ''}$MER analyze video.mp4 --out out", tmp_path, **environment)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr


def test_no_home_at_all_is_one_line(monkeypatch):
    from realtime_mer import assets
    from realtime_mer.errors import OutputError

    def unknown(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("REALTIME_MER_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(OutputError, match="set REALTIME_MER_CACHE to a folder"):
        assets.cache_dir()


@pytest.fixture
def no_opencv(tmp_path):
    """An environment in which OpenCV cannot be imported, as on a server without display libraries."""
    (tmp_path / "fake" / "cv2").mkdir(parents=True)
    why = "libGL.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "fake" / "cv2" / "__init__.py").write_text(f"raise ImportError({why!r})\n")
    here = str(Path(__file__).parent.parent)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path / "fake"), here])}


def test_doctor_explains_what_opencv_needs(no_opencv, tmp_path):
    done = shell("$MER doctor", tmp_path, **no_opencv)
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("!!  OpenCV"))
    assert "libGL.so.1" in line
    assert "apt-get install libgl1 libglib2.0-0" in line
    assert "ok  face model" in done.stdout


def test_other_commands_lead_to_doctor_when_opencv_cannot_be_loaded(no_opencv, tmp_path):
    done = shell("$MER analyze video.mp4", tmp_path, **no_opencv)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("realtime-mer: libGL.so.1: ")
    assert "`realtime-mer doctor` says what is missing" in done.stderr
    done = shell("$MER --help", tmp_path, **no_opencv)
    assert done.returncode == 0
    assert "Not available here" in done.stdout
    assert shell("$MER --version", tmp_path, **no_opencv).returncode == 0
