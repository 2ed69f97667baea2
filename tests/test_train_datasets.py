"""Readers of micro-expression data sets, on small made-up trees of the published layouts.

The sheets have the real sheets' headings; all subjects, clips and numbers here are invented.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_mer.errors import DataError, MerError
from realtime_mer.sheets import frame_number
from train.cli import main
from train.datasets import DATASETS, load_image, read
from train.datasets.micro import CODINGS
from train.datasets.reading import Reading
from train.datasets.sheets import action_units, read_sheet

PICTURE = cv2.imencode(".png", np.full((4, 4), 90, np.uint8))[1].tobytes()
CASME2_HEAD = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units"]
CASME2_HEAD += ["Estimated Emotion", "Objective Classes"]


def frames(folder: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(PICTURE)


def sheet(path: Path, rows: Sequence[Sequence[Any]], **pages: Sequence[Sequence[Any]]) -> Path:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for row in rows:
        page.append(list(row))
    for title, content in pages.items():
        other = book.create_sheet(title.replace("_", " "))
        for row in content:
            other.append(list(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def casme2_row(
    name: str, onset: Any, apex: Any, offset: Any, emotion: Any = "disgust", subject: str = "07"
) -> list[Any]:
    return [subject, name, None, onset, apex, offset, None, "4+R9", emotion, 4]


@pytest.fixture
def casme2(tmp_path: Path) -> Path:
    for name in ("EP90_01", "EP90_02f", "EP90_03"):
        frames(tmp_path / "Cropped" / "sub07" / name, [f"reg_img{i}.jpg" for i in range(8, 14)])
    return tmp_path


def test_a_clip_is_read_with_everything(casme2: Path) -> None:
    sheet(casme2 / "CASME2-coding-20990101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, 11, 13)])
    reading = read("casme2", casme2)
    (clip,) = reading.clips
    assert reading.problems == ()
    assert (clip.key, clip.group) == ("casme2/sub07/EP90_01", "casme2/sub07")
    # Sorted as numbers, not as text: 8, 9, 10, ... and positions count from the first frame there.
    assert [path.name for path in clip.frames] == [f"reg_img{i}.jpg" for i in range(8, 14)]
    assert (clip.onset, clip.apex, clip.offset, clip.fps) == (1, 3, 5, 200)
    assert (clip.action_units, clip.emotion, clip.objective) == (("4", "R9"), "disgust", "IV")
    assert [clip.label(scheme) for scheme in ("3", "5", "7")] == ["negative", "disgust", "disgust"]


def test_the_newest_sheet_is_taken_unless_one_is_given(casme2: Path) -> None:
    old = sheet(casme2 / "CASME2-coding-20980101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, 11, 13, "sadness")])
    sheet(casme2 / "CASME2-coding-20990101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, 11, 13, "surprise")])
    assert read("casme2", casme2).clips[0].emotion == "surprise"
    assert read("casme2", casme2, old).clips[0].emotion == "sadness"


@pytest.mark.parametrize(
    ("row", "skipped", "message"),
    [
        (casme2_row("EP90_02f", 9, "/", 13), False, "apex is '/'"),
        (casme2_row("EP90_02f", 9, 30, 13), False, "apex 30 lies outside"),
        (casme2_row("EP90_02f", 9, 11, 0), False, "offset is 0"),
        (casme2_row("EP90_02f", 9, 11, 15), False, "2 of 7 frames"),
        (casme2_row("EP90_02f", None, 11, 13), False, "onset is None"),
        (casme2_row("EP90_02f", 13, 11, 9), True, "onset 13 comes after offset 9"),
        (casme2_row("EP90_02f", 40, 41, 42), True, "3 of 3 frames"),
        (casme2_row("EP90_02f", 9, 11, 13, "boredom"), True, "unknown emotion 'boredom'"),
        (casme2_row("EP90_02f", 9, 11, 13, None), True, "unknown emotion"),
        (casme2_row("EP90_01", 9, 11, 13), True, "already given in .*row 2"),
        (casme2_row("EP99_99", 9, 11, 13), True, r"no folder \.\.\./sub07/EP99_99"),
        (casme2_row("", 9, 11, 13), True, "no subject or no clip name"),
    ],
)
def test_what_is_wrong_is_reported_by_row_and_never_guessed(
    casme2: Path, row: list[Any], skipped: bool, message: str
) -> None:
    path = sheet(casme2 / "CASME2-coding-20990101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, 11, 13), row])
    reading = read("casme2", casme2)
    first = reading.problems[0]
    assert first.where == f"{path.name} row 3"
    assert reading.skipped == int(skipped)
    assert any(re.search(message, problem.what) for problem in reading.problems)
    assert len(reading.clips) == (1 if skipped else 2)


def test_subjects_whose_names_differ_in_spelling_only_are_a_problem(casme2: Path, monkeypatch) -> None:
    sheet(casme2 / "CASME2-coding-20990101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, 11, 13)])
    entry = DATASETS["casme2"]

    def twice(name: str, root: Path, sheets: Sequence[Path]) -> Reading:
        found = entry.read(name, root, sheets)
        return Reading((*found.clips, dataclasses.replace(found.clips[0], subject="S7")), found.problems)

    monkeypatch.setitem(DATASETS, "casme2", dataclasses.replace(entry, read=twice))
    (problem,) = read("casme2", casme2).problems
    assert problem.what.startswith("are S7 and sub07 the same person?")
    assert not problem.skipped


def test_a_dropped_apex_is_not_replaced(casme2: Path) -> None:
    sheet(casme2 / "CASME2-coding-20990101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, "/", 13)])
    (clip,) = read("casme2", casme2).clips
    assert (clip.onset, clip.apex, clip.offset) == (1, None, 5)


def test_wrong_paths_and_broken_files_end_in_one_line(casme2: Path, tmp_path: Path) -> None:
    cases = []
    with pytest.raises(DataError, match="no CASME2-coding") as no_sheet:
        read("casme2", casme2)
    cases.append(no_sheet)
    with pytest.raises(DataError, match="is not a folder") as no_root:
        read("casme2", tmp_path / "nowhere")
    cases.append(no_root)
    with pytest.raises(DataError, match="unknown data set") as no_name:
        read("casme9", casme2)
    cases.append(no_name)
    head = [heading for heading in CASME2_HEAD if heading != "ApexFrame"]
    short = sheet(casme2 / "short.xlsx", [head, ["07", "EP90_01", None, 9, 13]])
    with pytest.raises(DataError, match="no column 'ApexFrame'") as no_column:
        read("casme2", casme2, short)
    cases.append(no_column)
    (casme2 / "broken.xlsx").write_bytes(b"PK\x03\x04 not a workbook")
    with pytest.raises(DataError, match="cannot be read as a sheet") as broken:
        read("casme2", casme2, casme2 / "broken.xlsx")
    cases.append(broken)
    (casme2 / "old.xls").write_bytes(b"x")
    with pytest.raises(DataError, match=r"save it as \.xlsx") as old:
        read("casme2", casme2, casme2 / "old.xls")
    cases.append(old)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images under") as empty:
        read("casme2", tmp_path / "empty", sheet(tmp_path / "s.xlsx", [CASME2_HEAD, casme2_row("a", 1, 2, 3)]))
    cases.append(empty)
    assert all("\n" not in str(case.value) for case in cases)


def test_two_versions_under_one_root_are_refused(casme2: Path) -> None:
    frames(casme2 / "CASME2-RAW" / "sub07" / "EP90_01", ["img9.jpg"])
    sheet(casme2 / "CASME2-coding-20990101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, 11, 13)])
    with pytest.raises(DataError, match="more than once"):
        read("casme2", casme2)
    assert len(read("casme2", casme2 / "Cropped", casme2 / "CASME2-coding-20990101.xlsx").clips) == 1


def test_damaged_pictures(casme2: Path) -> None:
    sheet(casme2 / "CASME2-coding-20990101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, 11, 13)])
    picture = casme2 / "Cropped" / "sub07" / "EP90_01" / "reg_img9.jpg"
    assert load_image(picture).shape == (4, 4, 3)
    assert load_image(picture, gray=True).shape == (4, 4)
    picture.write_bytes(b"\xff\xd8 cut off")
    with pytest.raises(DataError, match="not a readable image"):
        load_image(picture)
    picture.write_bytes(b"")
    with pytest.raises(DataError, match="empty file"):
        read("casme2", casme2)
    picture.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        load_image(picture)


def test_samm_heading_below_a_preamble(tmp_path: Path) -> None:
    head = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"]
    head += ["Action Units", "Estimated Emotion", "Objective Classes", "Notes"]
    row = ["099", "099_1_2", 1, 4998, 5000, 5002, 5, "Micro - 1/2", 12, "Other", 7, None]
    sheet(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", [["A preamble"], [None], head, row])
    frames(tmp_path / "099" / "099_1_2", [f"099_{i:05d}.jpg" for i in range(4998, 5003)])
    (clip,) = read("samm", tmp_path).clips
    assert (clip.key, clip.apex, clip.emotion, clip.objective) == ("samm/099/099_1_2", 2, "others", "VII")
    assert clip.action_units == ("12",)


def test_casme(tmp_path: Path) -> None:
    head = [
        "Subject",
        "Filename",
        None,
        "OnsetF",
        "ApexF1",
        "ApexF2",
        "OffsetF",
        None,
        "Onset",
        "Total",
        "AU",
        "Emotion",
    ]
    row = [3, "EP90_12", None, 73, 74, "\\", 75, None, 33.0, 50.0, "4+17", "tense"]
    sheet(tmp_path / "CASME-coded-20990101.xlsx", [head, row])
    frames(tmp_path / "Cropped" / "sub03" / "EP90_12", [f"reg_EP90_12-{i}.jpg" for i in (73, 74, 75)])
    (clip,) = read("casme", tmp_path).clips
    assert (clip.key, clip.apex, clip.fps, clip.emotion) == ("casme/sub03/EP90_12", 1, 60, "tense")
    assert clip.label("3") is None


def test_casme3_has_several_expressions_in_one_recording(tmp_path: Path) -> None:
    head = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    rows = [
        ["spNO.999", "a", "5", "6", "7", "R12", "I", "happy"],
        ["spNO.999", "a", "9", "9", "0", "4", "III", "Others"],
    ]
    sheet(tmp_path / "annotation" / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [head, *rows])
    for onset in (5, 9):
        folder = tmp_path / "Part_A_ME_clip" / "frame" / f"spNO.999_A_{onset}"
        frames(folder, [f"{i}.jpg" for i in range(onset, onset + 3)])
        frames(tmp_path / "Part_A_ME_clip" / "depth" / folder.name, [f"{onset}.png"])
    reading = read("casme3", tmp_path)
    first, second = reading.clips
    assert (first.emotion, first.objective, first.apex) == ("happiness", "I", 1)
    assert (second.emotion, second.onset, second.offset) == ("others", 0, None)
    assert [problem.skipped for problem in reading.problems] == [False]


def test_mmew(tmp_path: Path) -> None:
    head = [
        "Subject",
        "Filename",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "Action Units",
        "Estimated Emotion",
        "remarks",
    ]
    sheet(tmp_path / "MMEW_Micro_Exp.xlsx", [head, [4, "S04-99-001", 1, 10, 11, "4", "anger", None]])
    frames(tmp_path / "Micro_Expression" / "anger" / "S04-99-001", [f"{i}.jpg" for i in range(1, 12)])
    (clip,) = read("mmew", tmp_path).clips
    assert (clip.key, clip.apex, clip.fps) == ("mmew/S04/S04-99-001", 9, 90)


def test_dfme_takes_its_split_and_rate_from_its_sheets(tmp_path: Path) -> None:
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU"]
    for part, subject in (("training", "sub9001"), ("testA", "sub9002")):
        sheet(
            tmp_path / f"{part}_full_with_AU.xlsx", [head, [subject, f"{subject}_01", 0, 1, 2, "fear", 3, 500, "L12"]]
        )
        frames(tmp_path / subject / f"{subject}_01", ["0.png", "1.png", "2.png"])
    clips = {clip.subject: clip for clip in read("dfme", tmp_path).clips}
    assert (clips["sub9001"].split, clips["sub9002"].split, clips["sub9001"].fps) == ("train", "test", 500)


@pytest.mark.parametrize(
    ("name", "part", "fps"), [("smic", "HS", 100), ("smic-vis", "VIS", 25), ("smic-nir", "NIR", 25)]
)
def test_smic_parts_share_their_people(tmp_path: Path, name: str, part: str, fps: int) -> None:
    for one in ("HS", "VIS", "NIR"):
        frames(
            tmp_path / "SMIC_all_raw" / one / "s3" / "micro" / "positive" / "s3_po_01",
            [f"image{i}.jpg" for i in range(98, 103)],
        )
        frames(tmp_path / "SMIC_all_raw" / one / "s3" / "non_micro" / "s3_non_01", ["image1.jpg"])
    (clip,) = read(name, tmp_path).clips
    assert (clip.dataset, clip.group, clip.clip, clip.fps) == (name, "smic/s03", "s3_po_01", fps)
    assert (clip.onset, clip.apex, clip.offset, clip.emotion) == (0, None, 4, "positive")
    assert part in clip.frames[0].parts
    assert read(name, tmp_path / "SMIC_all_raw" / part).clips == (clip,)


def test_smic_raw_and_cropped_together_are_refused(tmp_path: Path) -> None:
    for version in ("SMIC_all_raw", "SMIC_all_cropped"):
        frames(tmp_path / version / "HS" / "s3" / "micro" / "positive" / "s3_po_01", ["image1.jpg"])
    with pytest.raises(DataError, match="more than once"):
        read("smic", tmp_path)
    assert len(read("smic", tmp_path / "SMIC_all_raw").clips) == 1


def test_smic_sheet_adds_the_apex(tmp_path: Path) -> None:
    frames(tmp_path / "s3_sur_01", [f"image{i}.jpg" for i in range(98, 103)])
    head = ["data", "subject", "clip", "label", "onset_frame", "apex_frame", "offset_frame"]
    rows = [["smic", 3, "s3_sur_01", 2, 98, 100, None], ["smic", 3, "s3_sur_02", 2, 1, 2, 3]]
    path = sheet(tmp_path / "smic_apex.xlsx", [head, *rows])
    reading = read("smic", tmp_path, path)
    (clip,) = reading.clips
    assert (clip.onset, clip.apex, clip.offset) == (0, 2, None)
    assert [(problem.skipped, problem.where) for problem in reading.problems] == [
        (False, "smic_apex.xlsx row 2"),
        (True, "smic_apex.xlsx row 3"),
    ]


def casmesq_tree(root: Path, rows: Sequence[Sequence[Any]]) -> Path:
    frames(root / "rawpic" / "s77" / "77_0999somefilm", [f"img{i}.jpg" for i in range(1, 41)])
    rule1, rule2 = [["s77", 77, 9]], [["0999", "anger9"]]
    return sheet(root / "CAS(ME)^2code_final.xlsx", rows, naming_rule1=rule1, naming_rule2=rule2)


def test_casmesq_is_cut_from_long_videos(tmp_path: Path) -> None:
    micro = [9, "anger9_1", 10, 12, 15, "4+10", "negative", "micro-expression", "anger"]
    macro = [9, "anger9_2", 20, 25, 39, "12", "positive", "macro-expression", "happiness"]
    unending = [9, "anger9_3", 20, 25, 0, "12", "positive", "micro-expression", "happiness"]
    unknown = [8, "anger9_1", 10, 12, 15, "4", "negative", "micro-expression", "anger"]
    casmesq_tree(tmp_path, [micro, macro, unending, unknown])
    reading = read("casmesq", tmp_path)
    (clip,) = reading.clips
    assert [path.name for path in clip.frames] == [f"img{i}.jpg" for i in range(10, 16)]
    assert (clip.key, clip.onset, clip.apex, clip.offset) == ("casmesq/s77/anger9_1", 0, 2, 5)
    assert (clip.label("3"), clip.fps) == ("negative", 30)
    assert reading.skipped == 2
    (other,) = read("casmesq-macro", tmp_path).clips
    assert (other.clip, other.group) == ("anger9_2", clip.group)


def test_megc2019_people_are_those_of_the_data_sets(tmp_path: Path) -> None:
    table = tmp_path / "combined_3_class2_for_optical_flow.csv"
    table.write_text(
        "dataset,sub,filename_o,label,apex,imagename,sub_filename\n"
        "casme2,sub07,EP90_01,0,,sub07_EP90_01.jpg,\nsamm,099,099_1_2,1,,099_099_1_2.jpg,\n"
        "smic,s03,s03_sur_01,2,,s03_s3_sur_01.jpg,\nsmic,s03,s03_sur_02,2,,s03_s3_sur_02.jpg,\ncasme2,sub07,EP90_02,5,,x.jpg,\n"
    )
    frames(tmp_path / "combined_datasets_whole", ["sub07_EP90_01.jpg", "099_099_1_2.jpg", "s03_s3_sur_01.jpg"])
    maps = ["sub07_EP90_01 .png", "099_099_1_2 .png", "s03_s03_sur_01 .png"]
    frames(tmp_path / "STSNet_whole_norm_u_v_os", maps)
    for name in ("megc2019", "megc2019-maps"):
        reading = read(name, tmp_path)
        assert [clip.key for clip in reading.clips] == [
            "casme2/sub07/EP90_01",
            "samm/099/099_1_2",
            "smic/s03/s3_sur_01",
        ]
        assert [clip.label("3") for clip in reading.clips] == ["negative", "positive", "surprise"]
        assert [problem.skipped for problem in reading.problems] == [True, True]


def test_cells() -> None:
    cells = [5, 5.0, " 7 ", "007", 5.5, "/", None, -1, "", True, "\u00b2"]
    assert [frame_number(cell) for cell in cells] == [5, 5, 7, 7, None, None, None, None, None, None, None]
    assert action_units("4+R12 + AU7B") == ("4", "R12", "7B")
    assert [action_units(cell) for cell in (12, 12.0, None, " ")] == [("12",), ("12",), (), ()]


cell = st.one_of(st.none(), st.integers(-5, 40), st.floats(), st.text(max_size=6), st.booleans(), st.dates())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(cell, max_size=12), max_size=6), st.booleans())
def test_any_cells_give_annotations_or_one_clear_error(tmp_path: Path, rows: list[list[Any]], headed: bool) -> None:
    path = tmp_path / "any.csv"
    lines = [CASME2_HEAD, *rows] if headed else rows
    text = "\n".join(",".join(f'"{str(c or "").replace(chr(34), "")}"' for c in row) for row in lines)
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        found, _ = read_sheet(path, CODINGS["casme2"])
    except MerError:
        return
    for annotation in found:
        if annotation.onset is not None and annotation.offset is not None:
            assert annotation.onset <= annotation.offset
            assert annotation.apex is None or annotation.onset <= annotation.apex <= annotation.offset


def command(*words: str) -> int:
    return main(["datasets", *words])


def test_the_command_describes_and_inspects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command() == 0
    text = capsys.readouterr().out
    assert all(f"{name}: " in text for name in DATASETS)
    root = tmp_path / "CASME2"
    frames(root / "Cropped" / "sub07" / "EP90_01", [f"reg_img{i}.jpg" for i in range(9, 14)])
    sheet(root / "CASME2-coding-20990101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, "/", 13)])
    assert command("--data", str(tmp_path), "--problems", "--verify", "casme2", "samm") == 0
    text = capsys.readouterr().out
    assert "1 of 255" in text
    assert "disgust 1" in text
    assert "row 2: sub07/EP90_01: apex is '/'" in text
    assert "samm           not here" in text
    (root / "Cropped" / "sub07" / "EP90_01" / "reg_img9.jpg").write_bytes(b"junk")
    assert command("--data", str(tmp_path), "--verify", "casme2") == 1
    assert "not a readable image" in capsys.readouterr().out
    assert command("--data", str(tmp_path / "nowhere")) == DataError.exit_code
    assert "is not a folder" in capsys.readouterr().err
    assert command("casme9") == DataError.exit_code
    assert "unknown data set" in capsys.readouterr().err


def test_the_command_reports_a_lone_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet(tmp_path / "sheets" / "CASME2-coding-20990101.xlsx", [CASME2_HEAD, casme2_row("EP90_01", 9, 11, 13)])
    assert command("--data", str(tmp_path), "casme2") == 0
    assert "only CASME2-coding-20990101.xlsx: 1 clips, 1 subjects; disgust 1" in capsys.readouterr().out


def test_the_documentation_lists_every_data_set() -> None:
    text = (Path(__file__).parents[1] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for name, entry in DATASETS.items():
        assert f"| `{name}` |" in text
        assert f"`{entry.layout}`" in text
