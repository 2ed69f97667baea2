"""Where outputs are put: private files, one run in a folder at a time, nothing of someone else's replaced."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from realtime_mer.errors import OutputError
from realtime_mer.sinks import lock
from realtime_mer.sinks.lines import LineFile, one_line, write_whole
from realtime_mer.sinks.lock import LOCK, Lock
from realtime_mer.sinks.place import keep_input, make_folder, new_file
from realtime_mer.sinks.video import VideoFile

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes, links and FIFOs")
WRITERS = pytest.mark.parametrize(
    "write", [lambda path: LineFile(path).close(), lambda path: write_whole(path, "new\n")], ids=["log", "whole"]
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_files_and_folders_are_for_their_owner_alone_whatever_the_umask(tmp_path):
    make_folder(tmp_path / "a" / "b")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o700, 0o700)
    LineFile(tmp_path / "log").close()
    write_whole(tmp_path / "report", "x")
    VideoFile(tmp_path / "clip.mp4", 30.0).close()
    assert {mode(tmp_path / name) for name in ("log", "report", "clip.mp4")} == {0o600}


@WRITERS
def test_a_file_that_others_could_read_becomes_private(write, tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o644)
    write(tmp_path / "file")
    assert mode(tmp_path / "file") == 0o600


def test_a_folder_that_is_there_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o750)
    make_folder(tmp_path)
    assert mode(tmp_path) == 0o750


@WRITERS
@pytest.mark.parametrize("to", ["inside", "../outside", "nowhere"])
def test_a_link_is_refused_and_what_it_leads_to_stays(write, to, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (folder / "inside", tmp_path / "outside"):
        path.write_text("someone's")
    (folder / "output").symlink_to(to)
    with pytest.raises(OutputError, match="it is a link to"):
        write(folder / "output")
    assert (folder / "output").is_symlink()
    assert (folder / "inside").read_text() == (tmp_path / "outside").read_text() == "someone's"
    assert not (folder / "nowhere").exists()


def test_a_link_where_a_part_is_written_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "report.html.part").symlink_to("mine")
    write_whole(tmp_path / "report.html", "new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "report.html").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "report.html"]


def test_a_fifo_is_written_to_and_stays_one(tmp_path):
    fifo, read = tmp_path / "fifo", []
    os.mkfifo(fifo)
    with pytest.raises(OutputError, match="nobody reads from it"):
        write_whole(fifo, "lost")
    thread = threading.Thread(target=lambda: read.append(fifo.read_text()))
    thread.start()
    until = 200
    while until:  # the reader needs a moment
        try:
            write_whole(fifo, "text\n" * 50_000)
            break
        except OutputError:
            until -= 1
            thread.join(0.01)
    thread.join(10)
    assert read == ["text\n" * 50_000]
    assert fifo.is_fifo()
    with pytest.raises(OutputError, match="not a FIFO"):
        VideoFile(fifo.rename(tmp_path / "fifo.mp4"), 30.0)


def test_a_device_is_written_to_and_stays_one():
    write_whole(Path("/dev/null"), "x")
    new_file(Path("/dev/null")).close()
    assert Path("/dev/null").is_char_device()


def test_the_input_is_no_output(tmp_path):
    (tmp_path / "clip.mp4").write_text("video")
    os.link(tmp_path / "clip.mp4", tmp_path / "other.mp4")
    for name in ("clip.mp4", "other.mp4"):
        with pytest.raises(OutputError, match="is the input"):
            keep_input([tmp_path / "absent", tmp_path / name], tmp_path / "clip.mp4")
    keep_input([tmp_path / "absent"], tmp_path / "clip.mp4")


def test_a_folder_is_held_by_one_and_says_by_whom(tmp_path):
    with Lock(tmp_path), pytest.raises(OutputError) as told:
        Lock(tmp_path)
    assert f"{tmp_path} is in use by process {os.getpid()} since 20" in str(told.value)
    assert list(tmp_path.iterdir()) == []
    Lock(tmp_path).close()


def test_a_killed_holder_holds_nothing(tmp_path):
    code = """
        import sys, time
        from pathlib import Path
        from realtime_mer.sinks.lock import Lock
        lock = Lock(Path(sys.argv[1]))
        print("held", flush=True)
        time.sleep(60)
    """
    line = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=f"in use by process {process.pid} since"):
            Lock(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert (tmp_path / LOCK).exists()  # left behind, and harmless
    with Lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()


def test_a_lock_file_that_is_removed_between_two_steps_holds_nothing(tmp_path, monkeypatch):
    """The first holder ends and a third run begins after the second has opened the lock file, before it locks it."""
    first, third, acquire = Lock(tmp_path), [], lock._acquire

    def late(descriptor):
        if not third:
            third.append(None)
            first.close()
            third[0] = Lock(tmp_path)
        return acquire(descriptor)

    monkeypatch.setattr(lock, "_acquire", late)
    with pytest.raises(OutputError, match="is in use by"):
        Lock(tmp_path)
    third[0].close()
    Lock(tmp_path).close()


@pytest.mark.parametrize(
    "text", ["a\tb", "a\nb", "a\r\n\x00b", "a\x0b\x1b\x7f\x85b", "a\u2028b", "a\udc80b", "a\uffffb"]
)
def test_control_characters_become_a_space(text):
    assert one_line(text) == "a b"
    assert one_line("Ünïcode 表情 ok") == "Ünïcode 表情 ok"
