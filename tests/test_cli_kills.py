"""A killed ``analyze`` loses nothing: the same command once more leaves exactly what an undisturbed run leaves.

REALTIME_MER_KILLS says how many random moments are tried (12; `make kills` tries 60).
"""

import json
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

# Runs the command and kills it just before, in the middle of, or just after its Nth write to a file, from the back:
# -1 is the last one of an undisturbed run. Every output but the videos is written through these two functions.
AT_A_WRITE = """
import os, signal, sys
from realtime_mer.sinks import lines, place

number, when = int(sys.argv.pop(1)), sys.argv.pop(1)
count = 0

def counted(write, half):
    def wrapped(*arguments):
        global count
        count += 1
        here = count == number
        if here and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if here and when == "within":
            half(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        write(*arguments)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
    return wrapped

def half_a_line(self, text):
    self._file.write(text.encode()[: len(text) // 2])

def half_a_part(path, content):
    path.with_name(path.name + ".part").write_bytes(content[: len(content) // 2])

lines.LineFile.write = counted(lines.LineFile.write, half_a_line)
place.replace_file = lines.replace_file = counted(place.replace_file, half_a_part)
from realtime_mer.sinks import clips
clips.replace_file = lines.replace_file
from realtime_mer.cli import main
code = main(sys.argv[1:])
print("WRITES", count)
sys.exit(code)
"""

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
    """The results, how long they took, and how many writes to files."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    subprocess.run([*COMMAND, "analyze", str(clip), *OPTIONS], cwd=folder, check=True, capture_output=True, timeout=120)
    took = time.monotonic() - began
    expected = results(folder)
    assert {"events.jsonl", "report.html", "annotated.mp4", "events.eaf", "events_events.tsv"} <= set(expected)
    assert any(name.startswith("clips/") for name in expected)
    assert any(name.startswith("stills/") for name in expected)
    counting = tmp_path_factory.mktemp("undisturbed")
    writes = int(at_a_write(clip, counting, 0, "before").stdout.rpartition("WRITES")[2])
    assert results(counting) == expected  # one run is as the other
    return expected, took, writes


def results(folder: Path) -> dict[str, bytes]:
    """Every file of the recording but the lock; without the time of day at which they were made, and without the way to
    the clip, which each test's folder has its own of."""
    place = folder / "out" / "face"
    created = json.loads((place / "events.jsonl").read_text().partition("\n")[0])["created"].encode()
    found = {}
    for path in place.rglob("*"):
        if path.is_file() and path.name != LOCK:
            content = path.read_bytes().replace(created, b"CREATED")
            found[str(path.relative_to(place))] = re.sub(rb'(?<=[": ])(\.\./)+[^"]*face\.mp4', b"WAY", content)
    return found


def at_a_write(clip: Path, folder: Path, number: int, when: str) -> subprocess.CompletedProcess:
    line = [sys.executable, "-c", AT_A_WRITE, str(number), when, "analyze", str(clip), *OPTIONS]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120)


def again(clip: Path, folder: Path) -> str:
    """The same command once more; what it says on standard error."""
    done = subprocess.run(
        [*COMMAND, "analyze", str(clip), *OPTIONS], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_kill_at_a_random_moment(clip, undisturbed, tmp_path):
    expected, took, _ = undisturbed
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


# from the back: the report, BIDS's sidecar and table, ELAN, the log's summary, the signals' last rows; and further on
@pytest.mark.parametrize("when", ["before", "within", "after"])
@pytest.mark.parametrize("number", [1, 4, -7, -6, -5, -4, -3, -2, -1])
def test_a_kill_at_a_write(number, when, clip, undisturbed, tmp_path):
    expected, _, writes = undisturbed
    chosen = number if number > 0 else writes + 1 + number
    assert at_a_write(clip, tmp_path, chosen, when).returncode == -9
    log = tmp_path / "out" / "face" / "events.jsonl"
    complete = log.is_file() and '"type": "summary"' in log.read_text() and log.read_text().endswith("\n")
    said = again(clip, tmp_path)
    assert results(tmp_path) == expected
    # what follows from a complete log is made without analyzing again
    assert ("already analyzed" in said) == complete
    if number >= -3:
        assert complete or number > 0
