"""Long annotated videos on small made-up trees, with sheets written as the published ones are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import pytest

from realtime_mer.bench.annotations import read_expressions
from realtime_mer.bench.long_videos import long_videos
from realtime_mer.errors import DataError
from realtime_mer.records import Kind

SAMM_HEAD = ["Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type", "Action Units"]


def pictures(folder: Path, numbers: Sequence[int], name: str = "img{}.jpg") -> None:
    folder.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(folder / name.format(number)), np.full((6, 4, 3), number % 250, np.uint8))


def book(path: Path, pages: dict[str, list[list[Any]]]) -> Path:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for title, rows in pages.items():
        page = made.create_sheet(title)
        for row in rows:
            page.append(row)
    made.save(path)
    return path


def samm(folder: Path) -> Path:
    """The published workbook has nine rows of text above its headings."""
    preamble: list[list[Any]] = [["SAMM Long Videos"], *([[]] * 8)]
    rows = [
        ["006", "006_1_1", 1, 110, 130, 150, 41, "Micro - 1/2", "4"],
        ["006", "006_1_2", 1, 160, 170, 190, 31, "Macro", "12"],
        ["006", "006_1_3", 1, 195, 199, 0, 0, "Micro - 1/2", "12"],
        ["007", "007_3_1", 1, 10, 20, 30, 21, "Micro - 1/2", "12"],
        ["008", "008_2_1", 1, 900, 910, 930, 21, "Micro - 1/2", "12"],
    ]
    return book(folder / "SAMM_LongVideos_V3_Release.xlsx", {"MICRO": [*preamble, SAMM_HEAD, *rows]})


def test_samm_long_videos(tmp_path: Path) -> None:
    pictures(tmp_path / "SAMM_longvideos" / "006_1", range(100, 200), "006_1_{:04d}.jpg")
    pictures(tmp_path / "SAMM_longvideos" / "008_2", range(1, 20), "008_2_{:04d}.jpg")
    pictures(tmp_path / "SAMM_longvideos" / "009_9", range(1, 5), "009_9_{:04d}.jpg")
    read = long_videos("samm-lv", tmp_path, samm(tmp_path))
    assert [(case.name, case.unit, len(case.truth)) for case in read.cases] == [
        ("006_1", "006", 2),
        ("008_2", "008", 0),
        ("009_9", "009", 0),  # nothing annotated: every event in it is a false alarm
    ]
    micro, macro = read.cases[0].truth
    assert (micro.kind, macro.kind) == (Kind.MICRO, Kind.MACRO)
    assert (micro.onset, micro.apex, micro.offset) == pytest.approx((0.05, 0.15, 0.25))  # from frame 100, at 200/s
    assert len(read.notes) == 3
    assert "007_3" in read.notes[1]
    frames = list(read.cases[0].frames())
    assert len(frames) == 100
    assert frames[30].time == pytest.approx(micro.apex)
    assert frames[30].gray[0, 0] == pytest.approx(130, abs=2)


def test_casme_sq_and_missing_pictures(tmp_path: Path) -> None:
    pictures(tmp_path / "rawpic" / "s15" / "15_0401girlcrashing", [*range(1, 21), *range(31, 61)])
    sheet = book(
        tmp_path / "CAS(ME)^2code_final.xlsx",
        {
            "Sheet1": [
                [1, "girlcrashing_1", 12, 15, 18, "4", "negative", "micro-expression"],
                [1, "girlcrashing_1", 12, 15, 18, "4", "negative", "micro-expression"],
                [1, "girlcrashing_2", 40, 45, 50, "4", "negative", "macro-expression"],
                [9, "girlcrashing_2", 40, 45, 50, "4", "negative", "micro-expression"],
            ],
            "naming rule1": [["", "s15", 1], ["", "s16", 2]],
            "naming rule2": [["0401", "girlcrashing"]],
        },
    )
    read = long_videos("casme-sq", tmp_path, sheet)
    (case,) = read.cases
    assert (case.name, case.unit) == ("15_0401", "15")
    assert [t.kind for t in case.truth] == [Kind.MICRO, Kind.MACRO]  # the same interval twice is one
    frames = list(case.frames())
    assert [frames[0].time, frames[-1].time] == pytest.approx([0, 59 / 30])
    assert frames[20].lost == 10
    assert frames[20].time == pytest.approx(1.0)


def test_casme3(tmp_path: Path) -> None:
    for kind in ("color", "depth"):
        pictures(tmp_path / "part_A" / "spNO.1" / "a" / kind, range(0, 40), "{}.jpg")
    rows: list[list[Any]] = [
        ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"],
        ["spNO.1", "a", "5", "9", "15", "5", "II", "surprise"],
    ]
    read = long_videos("casme3", tmp_path, book(tmp_path / "casme3_table.xlsx", {"label": rows}))
    (case,) = read.cases
    assert (case.name, case.unit) == ("spNO.1/a", "spNO.1")
    assert (case.truth[0].onset, case.truth[0].label) == (pytest.approx(5 / 30), "surprise")
    assert len(list(case.frames())) == 40


def test_a_list_of_intervals_names_the_same_folders(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "subject,video_name,start_frame,apex_frame,end_frame,type_idx,au\n"
        "casme_015,casme_015_0401,557,572,608,1,4+10\n"
        "samm_006,samm_006_1,445,448,453,2,4+7\n"
        "casme_015,casme_015_0402,2155,2163,0,1,4\n"
    )
    found, wrong = read_expressions("samm-lv", path)
    assert [(e.video, e.kind, e.onset, e.offset) for e in found] == [
        ("15_0401", Kind.MACRO, 557, 608),
        ("006_1", Kind.MICRO, 445, 453),
    ]
    assert wrong == 1


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    sheet = samm(tmp_path)
    for name, root, table in (
        ("samm-lv", tmp_path, sheet),
        ("samm-lv", tmp_path / "none", sheet),
        ("casme3", tmp_path, sheet),
        ("casme-sq", tmp_path, sheet),
        ("samm-lv", tmp_path, tmp_path / "none.xlsx"),
    ):
        with pytest.raises(DataError) as caught:
            long_videos(name, root, table)
        assert "\n" not in str(caught.value)
