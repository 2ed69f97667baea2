"""Progress: a bar on a terminal, lines elsewhere, nothing when asked to be quiet; bars may stand inside one another."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from realtime_mer import progress

NESTED = """
from realtime_mer.progress import bar, tracked
with bar(3, "folds", "epochs") as outer:
    for _ in range(3):
        for _ in tracked([1, 2], "inputs [not markup]"):
            pass
        outer.advance(note="loss 0.5")
"""


def on_a_terminal(code: str) -> str:
    """What a program writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # it has ended
                break
        assert process.wait(30) == 0
    os.close(ours)
    return seen.decode()


def test_bars_on_a_terminal_show_what_is_done_and_leave_nothing() -> None:
    seen = on_a_terminal(NESTED)
    assert "folds" in seen
    assert "inputs [not markup]" in seen
    assert "loss 0.5" in seen
    assert re.search(r"3/3.*epochs", seen)
    assert seen.rstrip().endswith("\x1b[2K") or "\x1b[2K" in seen[-40:]  # the last line is cleared


def test_what_is_printed_beside_a_bar_stays_on_standard_output() -> None:
    ours, theirs = pty.openpty()
    code = "from realtime_mer.progress import bar\nwith bar(1, 'x') as b: print('a result'); b.advance()"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=30)
    os.close(theirs)
    os.close(ours)
    assert done.stdout == "a result\n"


def test_work_goes_on_when_its_terminal_is_closed() -> None:
    ours, theirs = pty.openpty()
    work = "with bar(2, 'x') as b:\n time.sleep(1); b.advance(2)\nprint('done')"
    code = f"import time\nfrom realtime_mer.progress import bar\n{work}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    os.read(ours, 1)  # the bar is there
    os.close(ours)
    assert process.communicate(timeout=30) == ("done\n", None)
    assert process.returncode == 0


def test_elsewhere_a_line_tells_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    with progress.bar(4, "folds", "epochs", done=1) as shown:
        shown.advance(note="loss 0.5")
        shown.reach(2)  # is there already
        shown.reach(4)
    assert capsys.readouterr().err.splitlines() == ["folds: 2 of 4 (epochs), loss 0.5", "folds: 4 of 4 (epochs)"]
    assert shown.done == 4


def test_short_work_says_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.tracked([1, 2], "clips")) == [1, 2]
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    assert list(progress.tracked([1, 2], "clips", quiet=True)) == [1, 2]
    assert capsys.readouterr().err == ""


def test_an_error_is_red_on_a_terminal_and_says_what_it_is_told() -> None:
    code = "from realtime_mer.console import report_error; report_error('realtime-mer', 'no [bold]file\\nhere')"
    assert "\x1b[31mrealtime-mer: no [bold]file here" in on_a_terminal(code)
