"""A killed ``analyze`` loses nothing: the same command once more leaves exactly what an undisturbed run leaves.

REALTIME_MER_KILLS says how many random moments are tried (12; `make kills` tries 60).
"""

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_media import COMMAND

from realtime_mer.sinks.place import LOCK
from realtime_mer.synth import write_video

KILLS = int(os.environ.get("REALTIME_MER_KILLS", "12"))
OPTIONS = ("--model", "none", "--clips", "--formats", "elan,bids", "--out", "out")

# Runs the command and kills it in the middle of a write to the file of that name, or just after it: the first one that
# holds the words. Every output but the videos is written through these two functions.
AT_A_WRITE = """
import os, signal, sys
from realtime_mer.sinks import lines, place

name, words, when = sys.argv.pop(1), sys.argv.pop(1), sys.argv.pop(1)

def watched(write, half, path_of):
    def wrapped(where, content):
        here = path_of(where).name == name and (words in content if isinstance(content, str) else True)
        if here and when == "within":
            half(where, content)
            os.kill(os.getpid(), signal.SIGKILL)
        write(where, content)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
    return wrapped

def half_a_line(file, text):
    file._file.write(text.encode()[: len(text) // 2])

def half_a_part(path, content):
    path.with_name(path.name + ".part").write_bytes(content[: len(content) // 2])

lines.LineFile.write = watched(lines.LineFile.write, half_a_line, lambda file: file.path)
lines.replace_file = place.replace_file = watched(place.replace_file, half_a_part, lambda path: path)
from realtime_mer.cli import main
sys.exit(main(sys.argv[1:]))
"""
# In the order of writing; and whether the analysis is complete by then, so that the rest follows from the log.
WRITES = {
    "events.jsonl: header": False,
    "signals.csv: frame,time": False,
    "event-1-1.jpg": False,
    "events.jsonl: summary": False,
    "events.eaf": True,
    "events_events.json": True,
    "events_events.tsv": True,
    "report.html": True,
}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]


@pytest.fixture(scope="module")
def clip(recording, tmp_path_factory):
    """1.9 s with a micro-expression."""
    path = tmp_path_factory.mktemp("clip") / "face.mp4"
    first = recording.frames[80].time
    write_video([_shifted(frame, first) for frame in recording.frames[80:270]], path)
    return path


def _shifted(frame, first):
    return type(frame)(frame.index, frame.time - first, frame.gray, frame.to_bgr)


@pytest.fixture(scope="module")
def undisturbed(clip, tmp_path_factory):
    """The results, and how long they took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    subprocess.run([*COMMAND, "analyze", str(clip), *OPTIONS], cwd=folder, check=True, capture_output=True, timeout=120)
    took = time.monotonic() - began
    expected = results(folder)
    assert {"events.jsonl", "report.html", "annotated.mp4", "events.eaf", "events_events.tsv"} <= set(expected)
    assert any(name.startswith("clips/") for name in expected)
    assert "stills/event-1-1.jpg" in expected
    return expected, took


def results(folder: Path) -> dict[str, bytes]:
    """Every file of the recording but the lock; without the time of day at which they were made, and without the way to
    the clip, which each test's folder has its own of."""
    place = folder / "out" / "face"
    head = (place / "events.jsonl").read_text().partition('"created": "')[2].partition('"')[0]
    created = (head or "no header").encode()
    found = {}
    for path in place.rglob("*"):
        if path.is_file() and path.name != LOCK:
            content = path.read_bytes().replace(created, b"CREATED")
            found[str(path.relative_to(place))] = re.sub(rb'(?<=[": ])(\.\./)+[^"]*face\.mp4', b"WAY", content)
    return found


def again(clip: Path, folder: Path) -> str:
    """The same command once more; what it says on standard error."""
    done = subprocess.run(
        [*COMMAND, "analyze", str(clip), *OPTIONS], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.timeout(60 + 30 * KILLS)
def test_a_kill_at_a_random_moment(clip, undisturbed, tmp_path):
    expected, took = undisturbed
    moments = random.Random(0)
    for number in range(KILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        # the first third is spent on imports, when there is nothing to harm
        moment = moments.uniform(0.25, 1.1) * took
        with subprocess.Popen(
            [*COMMAND, "analyze", str(clip), *OPTIONS], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.kill()
        said = again(clip, folder)
        assert results(folder) == expected, f"killed after {moment:.3f} s; then: {said}"


@pytest.mark.parametrize("when", ["within", "after"])
@pytest.mark.parametrize("write", WRITES)
def test_a_kill_at_a_write(write, when, clip, undisturbed, tmp_path):
    expected, _ = undisturbed
    name, _, words = write.partition(": ")
    line = [sys.executable, "-c", AT_A_WRITE, name, words, when, "analyze", str(clip), *OPTIONS]
    assert subprocess.run(line, cwd=tmp_path, capture_output=True, timeout=120).returncode == -9
    complete = WRITES[write] or (write, when) == ("events.jsonl: summary", "after")
    assert results(tmp_path) != expected or write == "report.html"  # the report is the last
    said = again(clip, tmp_path)
    assert results(tmp_path) == expected
    assert ("already analyzed" in said) == complete
