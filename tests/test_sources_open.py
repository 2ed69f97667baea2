"""What a name leads to: a file or a folder that is there is what it is, and only devices are cameras."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from source_media import jpeg, write_video

from realtime_mer.errors import SourceError
from realtime_mer.sources import open_source

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX names")


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.mp4", range(0, 100, 10))


@pytest.fixture
def shared():
    folder = Path(f"/dev/shm/realtime-mer-test-{os.getpid()}")
    if not folder.parent.is_dir():
        pytest.skip("no /dev/shm here")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_a_file_in_shared_memory_is_a_file(video, shared):
    with open_source(shutil.copy(video, shared / "x.mp4")) as source:
        assert (source.info.kind, sum(1 for _ in source)) == ("file", 10)


def test_a_folder_with_a_number_for_a_name_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("006").mkdir()
    for number in range(3):
        Path(f"006/{number}.jpg").write_bytes(jpeg(number))
    with open_source("006", rate=10) as source:
        assert (source.info.kind, sum(1 for _ in source)) == ("images", 3)


def test_a_file_with_a_number_for_a_name_is_a_file(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    video.rename("5")
    with open_source("5") as source:
        assert source.info.kind == "file"
    with pytest.raises(SourceError, match="no camera 6"):
        open_source("6")


def test_standard_input_is_what_it_was_redirected_from(video):
    code = "from realtime_mer import open_source\nwith open_source('/dev/stdin') as s: print(sum(1 for _ in s))"
    with video.open() as file:
        done = subprocess.run([sys.executable, "-c", code], stdin=file, capture_output=True, text=True, timeout=60)
    assert done.stdout == "10\n", done.stderr
    done = subprocess.run([sys.executable, "-c", code], input="", capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1].endswith(
        "SourceError: /dev/stdin is a pipe or a device and cannot be read twice: save it to a file"
    )


def test_a_fifo_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "x.mp4")
    with pytest.raises(SourceError, match="is a pipe or a device"):
        open_source(tmp_path / "x.mp4")


def test_a_device_that_is_no_camera_is_one_line():
    with pytest.raises(SourceError, match="no camera /dev/null"):
        open_source("/dev/null")
    with pytest.raises(SourceError, match="no such file: /dev/nonesuch"):
        open_source("/dev/nonesuch")
    with pytest.raises(SourceError, match="no camera /dev/video99"):
        open_source("/dev/video99")


@pytest.mark.parametrize("name", ["x" * 300 + ".mp4", "nul\0.mp4"])
def test_a_name_that_no_file_can_have_is_one_line(name):
    with pytest.raises(SourceError):
        open_source(name)


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def refuse(path: Path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceError, match="cannot be read: Permission denied"):
        open_source(tmp_path, rate=10)
