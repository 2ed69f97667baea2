"""Every demo runs, on a shorter bundled clip, and finds what was drawn into it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from target_peers import free_port, until

from realtime_mer import build, open_source
from realtime_mer.bench.clips import Clip, make
from realtime_mer.observe import Stage
from realtime_mer.run import log_header, run
from realtime_mer.synth import read_truth
from realtime_mer.targets import open_target

DEMOS = Path(__file__).resolve().parents[1] / "demos"
SHORT = Clip(fps=50.0, seconds=6.2)  # the first two micro-expressions of the bundled clip, and a blink


@pytest.fixture(scope="module", autouse=True)
def clip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The face model is taken from the real cache, the clip is made in one of our own."""
    from realtime_mer.assets import FACE_MODEL, face_model

    folder = tmp_path_factory.mktemp("cache")
    (folder / FACE_MODEL).symlink_to(face_model())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REALTIME_MER_CACHE", str(folder))
        patch.setenv("MPLBACKEND", "agg")
        yield make(SHORT)


def demo(name: str) -> dict[str, Any]:
    source = (DEMOS / name).read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "demo"}
    exec(compile(source, name, "exec"), names)
    return names


def test_video_file(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo("video_file.py")["main"](str(clip)) == 2
    said = capsys.readouterr().out
    assert "inner brow" in said
    assert "left lip corner" in said


def test_webcam_on_the_clip_played_as_a_camera(capsys: pytest.CaptureFixture[str]) -> None:
    found = demo("webcam.py")["main"]("clip", 5.9, SHORT)
    said = capsys.readouterr().out
    assert "frames/s" in said
    assert found >= 1, said  # a busy machine loses frames, and an event with them


def test_push_your_own_frames() -> None:
    assert demo("push_your_own_frames.py")["main"]() == [pytest.approx(2.14, abs=0.05)]


def test_a_source_of_your_own() -> None:
    assert demo("own_source.py")["main"]() == [pytest.approx(2.14, abs=0.05)]


def test_a_spotter_of_your_own(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = demo("own_spotter.py")["main"](str(clip))
    assert found >= 2
    assert capsys.readouterr().out.count("\n") == found  # this one reports nothing before its offset


def test_a_sink_and_an_observer_of_your_own(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spent = demo("own_sink.py")["main"](str(clip), tmp_path / "diary.txt")
    assert {*spent} == {*Stage}
    assert all(seconds > 0 for seconds in spent.values())
    lines = (tmp_path / "diary.txt").read_text().splitlines()
    apexes = [int(line.split(":")[0].removeprefix("frame ")) / SHORT.fps for line in lines]
    drawn = [truth.apex for truth in read_truth(clip.with_suffix(".truth.json")) if truth.kind == "micro"]
    assert apexes == pytest.approx(drawn, abs=0.05)
    assert "follow" in capsys.readouterr().out


def test_listen(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"ws://127.0.0.1:{free_port()}"
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(demo("listen.py")["listen"], address, 1)
        with build() as pipeline, open_target(address) as target, open_source(clip) as source:
            until(lambda: target.state.peers == 1)
            run(source, pipeline, [target.follow(log_header(source.info, pipeline))])
        assert found.result(20) == 2
    assert "end    face 1, movement 1: confirmed, apex 3.1" in capsys.readouterr().out


def test_certificate(capsys: pytest.CaptureFixture[str]) -> None:
    problems = demo("certificate.py")["main"]("clip", 2.0, Clip(fps=30.0, seconds=6.2))
    assert any("new frames/s, fewer than 50" in problem for problem in problems)
    assert "known by     judged from the beat" in capsys.readouterr().out


def test_study(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sub-01_task-rest", "sub-02_task-rest"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / "videos" / f"{name}.mp4")
    (tmp_path / "videos" / "sub-03_task-rest.mp4").write_bytes(b"no video")
    found = demo("study.py")["main"](str(tmp_path / "videos"), tmp_path / "out")
    assert {name: number for name, (number, _) in found.items()} == {"sub-01_task-rest": 2, "sub-02_task-rest": 2}
    assert (tmp_path / "out" / "dataset" / "summary.html").is_file()
    assert "is text, not a video" in capsys.readouterr().out


def test_share_without_the_face(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = demo("share_without_the_face.py")
    found = names["main"](names["results_of"](clip, tmp_path / "results"), tmp_path / "shared")
    assert found[5.0] == 2
    assert found[16.0] <= found[5.0]
    assert "2 of 2 micro-expressions survive" in capsys.readouterr().out


def test_every_demo_has_a_test() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in DEMOS.iterdir() if path.is_file() and f'"{path.name}"' not in tests] == []


def test_latency(clip: Path) -> None:
    result = demo("latency.py")["main"](str(clip))
    assert 0 < result["p50"] <= result["p95"] <= result["p99"] <= result["max"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("recorded.ipynb", "2 of 2 found, 0 false"),
        ("live.ipynb", "confirmed"),
        ("benchmark.ipynb", "provisional events"),
        ("study.ipynb", "sub-02_task-rest: "),
    ],
)
def test_notebooks_run(
    name: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Cell by cell, on a shorter clip."""
    pytest.importorskip("matplotlib", reason="the notebooks draw with matplotlib")
    monkeypatch.setattr("realtime_mer.bench.clips.Clip", lambda: SHORT)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {}
    for number, cell in enumerate(json.loads((DEMOS / name).read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), names)
    if "plt" in names:
        names["plt"].close("all")
    assert said in capsys.readouterr().out


def test_demos_stay_short() -> None:
    for path in DEMOS.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 80, path.name
