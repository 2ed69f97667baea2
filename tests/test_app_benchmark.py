"""The Benchmark tab: its process gives a result or one line, and is gone with all its children when it is stopped."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_server import until

from realtime_mer.app import benchmark
from realtime_mer.app.process import GRACE, Subprocess
from realtime_mer.bench.results import Result, machine, series
from realtime_mer.config import Config, merge
from realtime_mer.errors import MerError

SLEEPERS = {
    "ends when interrupted": "sleep 300 & echo $! > $TMPDIR/pids; wait",
    "ignores interrupts, as do its children": "trap '' INT; sleep 300 & echo $! $$ > $TMPDIR/pids; sleep 300",
}


@pytest.fixture
def benches() -> Iterator[benchmark.Benches]:
    made = benchmark.Benches()
    yield made
    made.close()


def running(pid: int) -> bool:
    """Whether a process lives; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def beside(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """``work`` in a thread, and the list that its result comes into."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("script", SLEEPERS.values(), ids=SLEEPERS.keys())
def test_what_is_stopped_is_gone_with_its_children(script: str, tmp_path: Path) -> None:
    child, file = Subprocess(), tmp_path / "pids"
    thread, results = beside(lambda: child.run(["bash", "-c", script], tmp_path))
    until(lambda: file.exists() and file.read_text().endswith("\n"), 20)
    pids = [int(pid) for pid in file.read_text().split()]
    assert all(running(pid) for pid in pids)
    began = time.monotonic()
    child.stop()
    assert time.monotonic() - began < GRACE + 10
    thread.join(10)
    assert results == [None]
    assert not child.busy
    until(lambda: not any(running(pid) for pid in pids), 5)  # orphans are cleared away by the system, not by us


def test_a_child_runs_again_after_a_stop_and_never_after_close(tmp_path: Path) -> None:
    child = Subprocess()
    child.stop()  # nothing runs: nothing happens
    done = child.run([sys.executable, "-c", "import sys; sys.exit('no')"], tmp_path)
    assert done is not None
    assert (done.returncode, done.stderr.strip()) == (1, "no")
    child.close()
    assert child.run([sys.executable, "-c", ""], tmp_path) is None


@pytest.mark.parametrize("by", ["the button", "leaving the page"])
def test_the_benchmark_itself_can_be_stopped_and_leaves_nothing(benches: benchmark.Benches, by: str) -> None:
    child = benches.of("viewer")
    thread, results = beside(lambda: benchmark.measure(30, 60, Config(), child))
    until(lambda: benches.busy, 10)
    time.sleep(1)  # its imports are under way
    assert child.busy
    child.stop() if by == "the button" else benches.leave("viewer")
    thread.join(10)
    assert results == [None]
    assert not benches.busy


def test_what_the_command_complains_of_is_told(benches: benchmark.Benches) -> None:
    config = merge(Config(), {"classify": {"model": "nonesuch"}})
    with pytest.raises(MerError, match=r"^no model 'nonesuch'"):
        benchmark.measure(30, 5, config, benches.of("viewer"))


def test_the_result_and_the_settings_travel(
    benches: benchmark.Benches, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A command in place of the benchmark, which takes minutes: it says what it was asked for."""
    made = Result("latency", {}, {}, (series("frame", "ms", "made up", [1.0, 2.0]),), machine())
    made.save(tmp_path / "made.json")
    script = f"""
import shutil, sys, pathlib
from realtime_mer.commands.bench import add
import argparse
parser = argparse.ArgumentParser()
add(parser.add_subparsers())
asked = parser.parse_args(["bench", "latency", *sys.argv[1:]])
from realtime_mer.commands.options import settings
assert (asked.fps, asked.seconds, settings(asked).spot.onset_noise) == (60.0, 5.0, 7.5), asked
shutil.copy({str(tmp_path / "made.json")!r}, asked.out)
"""
    monkeypatch.setattr(benchmark, "COMMAND", (sys.executable, "-c", script))
    config = merge(Config(), {"spot": {"onset_noise": 7.5}})
    assert benchmark.measure(60, 5, config, benches.of("viewer")) == made
