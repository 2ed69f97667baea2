"""Own clips: from a folder or a table to a model that the runtime opens, by the commands of docs/own-data.md."""

from __future__ import annotations

import csv
import re
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime_mer.cli import main as product_main
from realtime_mer.errors import DataError
from realtime_mer.synth import MOVEMENTS, Pulse, Script, portrait, render, write_video
from train.cli import main
from train.datasets import own

FPS = 60
MOVES = {"happy": "smile", "frown": "brow lower"}
PAGE = Path(__file__).parents[1] / "docs" / "own-data.md"


@pytest.fixture(scope="module")
def faces() -> dict[str, list[np.ndarray]]:
    """Each label's movement, drawn once: onset at 0.1 s, apex at 0.2 s, offset at 0.4 s."""
    drawn = {}
    for label, move in MOVES.items():
        script = Script(0.5, FPS, seed=3, pulses=(Pulse(MOVEMENTS[move], 2.0, 0.1, 0.2, 0.4),))
        drawn[label] = [cv2.resize(frame.gray, None, fx=0.5, fy=0.5) for frame in render(script, *portrait())]
    return drawn


def folders(root: Path, faces: dict[str, list[np.ndarray]], people: int, each: int) -> None:
    """LABEL/SUBJECT/CLIP: every clip has its own brightness and noise, so that no two are the same."""
    for number, (label, who, clip) in enumerate(product(faces, range(people), range(each))):
        folder = root / label / f"p{who}" / f"c{clip}"
        folder.mkdir(parents=True)
        random = np.random.default_rng(number)
        gain = random.uniform(0.8, 1.1)
        for k, face in enumerate(faces[label][:22]):
            picture = np.clip(face * gain + random.normal(0, 2, face.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"f{k:03d}.png"), picture)


def filled_in(table: Path, **cells: str) -> None:
    """Writes cells into every row, as someone would who knows when each clip begins."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    write(table, [{**row, **cells} for row in rows])


def write(table: Path, rows: list[dict[str, str]]) -> None:
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, own.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def test_sixty_clips_become_a_model_that_the_runtime_opens(tmp_path, monkeypatch, capsys, faces, recording) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(recording.frames[:300:2], tmp_path / "video.mp4", "h264", 18)
    folders(tmp_path / "recordings", faces, people=5, each=6)
    steps = re.findall(r"^\$ (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(steps) == 7
    for step in steps:
        program, *words = step.replace("VIDEO", "video.mp4").split()
        if words[:3] == ["-m", "train", "check"]:
            filled_in(Path("lab/clips.csv"), onset="6", apex="12", offset="21", unit="frames")
        if program == "realtime-mer":
            assert product_main(words) == 0, step
        elif words[1] == "export":
            from export.__main__ import main as export_main

            assert export_main(words[2:]) == 0, step
        else:
            assert main([*words[2:], *(["--quiet"] if words[2] in ("evaluate", "fit") else [])]) == 0, step
    said = capsys.readouterr().out
    assert "60 clips of 5 people: frown 30, happy 30; 0 rows left out" in said
    assert "own/1" in said
    assert re.search(r"people +own 5", said)
    card = re.search(r"^  UF1 +(\d\.\d+)", said, re.MULTILINE)
    assert card is not None
    assert float(card[1]) > 0.8  # two movements that nobody could mix up


def test_a_check_tells_every_fault_by_row(tmp_path, capsys, faces) -> None:
    folders(tmp_path, {"happy": faces["happy"]}, people=1, each=1)
    good = {"path": "happy/p0/c0", "subject": "p0", "label": "happy", "unit": "frames", "fps": "60"}
    keys = {"onset": "6", "apex": "12", "offset": "21"}
    wrong = (
        ({**good, **keys}, ""),
        ({**good, **keys}, "the same clip as clips.csv row 2"),
        ({**good, **keys, "path": "gone.mp4"}, "gone.mp4 does not exist"),
        ({**good, **keys, "label": ""}, "no label"),
        ({**good, **keys, "onset": "15"}, "onset < apex <= offset does not hold"),
        ({**good, **keys, "apex": ""}, "apex is empty"),
        ({**good, **keys, "offset": "99"}, "is after the last frame"),
        ({**good, **keys, "unit": "ms"}, "unit must be s or frames, not 'ms'"),
        ({**good, **keys, "fps": ""}, "a folder of images needs fps"),
        ({**good, **keys, "fps": "fast"}, "fps is not a number: 'fast'"),
    )
    write(tmp_path / "clips.csv", [row for row, _ in wrong])
    assert main(["check", str(tmp_path / "clips.csv")]) == 1
    lines = capsys.readouterr().out.splitlines()
    for number, (_, fault) in enumerate(wrong[1:], 3):
        assert any(line.startswith(f"clips.csv row {number}: ") and fault in line for line in lines), fault
    assert lines[-1] == "1 clips of 1 people: happy 1; 9 rows left out"
    write(tmp_path / "clips.csv", [])
    assert main(["check", str(tmp_path / "clips.csv")]) == 1
    (tmp_path / "clips.csv").write_text("path,label\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column 'subject'"):
        own.read_table(tmp_path / "clips.csv")


def test_names_that_differ_in_spelling_and_lonely_classes_are_told(tmp_path, faces) -> None:
    folders(tmp_path, faces, people=1, each=2)
    keys = {"onset": "6", "apex": "12", "offset": "21", "unit": "frames", "fps": "60"}
    people = {"happy": ("sub1", "sub01"), "frown": ("anna", "anna")}
    rows = [
        {"path": f"{label}/p0/c{k}", "subject": people[label][k], "label": label, **keys}
        for label in people
        for k in (0, 1)
    ]
    write(tmp_path / "clips.csv", rows)
    told = [problem.what for problem in own.read_table(tmp_path / "clips.csv").problems]
    assert any("sub01 and sub1 the same person" in what for what in told)
    assert any(what.startswith("'frown' is shown by only one person") for what in told)


def test_one_name_is_one_person_in_all_own_tables(tmp_path, faces) -> None:
    folders(tmp_path, faces, people=1, each=1)
    for name, label in (("first.csv", "happy"), ("second.csv", "frown")):
        keys = {"onset": "6", "apex": "12", "offset": "21", "unit": "frames", "fps": "60"}
        write(tmp_path / name, [{"path": f"{label}/p0/c0", "subject": "p0", "label": label, **keys}])
    first, second = (own.read_table(tmp_path / name).clips[0] for name in ("first.csv", "second.csv"))
    assert first.key != second.key
    assert first.group == second.group


def test_key_frames_of_a_video_are_proposed_and_kept(tmp_path) -> None:
    script = Script(4, 60, seed=5, pulses=(Pulse(MOVEMENTS["smile"], 2.5, 2.5, 2.65, 2.85),))
    write_video(render(script, *portrait()), tmp_path / "a.mp4", "h264", 18)
    base = {"path": "a.mp4", "subject": "p0", "label": "happy"}
    write(tmp_path / "clips.csv", [base])
    reading = own.read_table(tmp_path / "clips.csv")
    (clip,) = reading.clips
    assert "key frames proposed by the spotter" in reading.problems[0].what
    assert clip.onset is not None
    assert clip.apex is not None
    start = float(clip.clip.partition("@")[2])
    assert abs(start - 2.5) < 0.06
    assert abs((clip.apex - clip.onset) / clip.fps - 0.15) < 0.06
    assert clip.fps == pytest.approx(60, rel=0.01)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "clips-frames").rglob("*.png")}
    assert own.read_table(tmp_path / "clips.csv") == reading
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "clips-frames").rglob("*.png")}

    write(tmp_path / "clips.csv", [{**base, "onset": "150", "apex": "159", "offset": "170", "unit": "frames"}])
    (given,) = own.read_table(tmp_path / "clips.csv").clips
    assert float(given.clip.partition("@")[2]) == pytest.approx(2.5, abs=0.01)
    write(tmp_path / "clips.csv", [{**base, "onset": "150", "apex": "159", "offset": "999", "unit": "frames"}])
    assert "is not among the 240 frames" in own.read_table(tmp_path / "clips.csv").problems[0].what


def test_confirmed_events_of_a_log_become_rows(tmp_path, recording, capsys) -> None:
    video = tmp_path / "video.mp4"
    write_video(recording.frames, video, "h264", 18)
    assert product_main(["analyze", str(video), "--out", str(tmp_path / "out"), "--model", "none"]) == 0
    (log,) = (tmp_path / "out").rglob("*.jsonl")
    assert main(["init", str(tmp_path / "lab"), "--from", str(log)]) == 0
    with (tmp_path / "lab" / "clips.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all((tmp_path / "lab" / row["path"]).resolve() == video.resolve() for row in rows)
    assert all(float(row["onset"]) < float(row["apex"]) <= float(row["offset"]) for row in rows)
    assert main(["init", str(tmp_path / "lab")]) == 6
    assert "already exists" in capsys.readouterr().err
