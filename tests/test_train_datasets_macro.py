"""Readers of macro-expression data sets, on small made-up trees of the published layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime_mer.errors import DataError
from train.cli import main
from train.datasets import load_image, read
from train.protocols import official_split

PICTURE = cv2.imencode(".png", np.full((4, 4), 90, np.uint8))[1].tobytes()


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(PICTURE)


def test_fer2013_folders(tmp_path: Path) -> None:
    pictures(tmp_path / "train" / "happy", "Training_1.jpg")
    pictures(tmp_path / "test" / "sad", "PublicTest_2.jpg", "PrivateTest_3.jpg")
    pictures(tmp_path / "test" / "unsorted", "PrivateTest_4.jpg")
    reading = read("fer2013", tmp_path)
    assert [(clip.emotion, clip.split) for clip in reading.clips] == [
        ("sadness", "test"),
        ("sadness", "validation"),
        ("happiness", "train"),
    ]
    assert all(clip.subject is None and clip.apex == 0 for clip in reading.clips)
    assert len({clip.group for clip in reading.clips}) == 3
    assert [problem.what for problem in reading.problems] == ["the folder's name is not an emotion"]
    (fold,) = official_split(reading.clips)
    assert (fold.train, fold.test) == ((2,), (0,))


def test_fer2013_csv_is_unpacked_to_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "csv" / "fer2013.csv"
    table.parent.mkdir()
    values = np.arange(48 * 48) % 256
    pixels = " ".join(map(str, values))
    table.write_text(f"emotion,pixels,Usage\n3,{pixels},Training\n6,{pixels},PrivateTest\n")
    with pytest.raises(DataError, match="unpack-fer2013"):
        read("fer2013", table.parent)
    assert main(["datasets", "--unpack-fer2013", str(table), str(tmp_path / "out")]) == 0
    assert "2 images" in capsys.readouterr().out
    clips = read("fer2013", tmp_path / "out").clips
    assert {(clip.emotion, clip.split) for clip in clips} == {("happiness", "train"), ("neutral", "test")}
    np.testing.assert_array_equal(load_image(clips[0].frames[0], gray=True), values.reshape(48, 48))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emotion,pixels\n3,1\n", "no column 'Usage'"),
        ("emotion,pixels,Usage\n3,1 2 3,Training\n", "row 2"),
        ("emotion,pixels,Usage\n9,{pixels},Training\n", "row 2"),
        ("emotion,pixels,Usage\n3,{pixels},Training\n3,{pixels},Lunch\n", "row 3"),
        ("emotion,pixels,Usage\n3\n", "row 2"),
    ],
)
def test_a_damaged_csv_names_the_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    table = tmp_path / "fer2013.csv"
    table.write_text(text.replace("{pixels}", " ".join(["7"] * 2304)))
    assert main(["datasets", "--unpack-fer2013", str(table), str(tmp_path / "out")]) == DataError.exit_code
    assert message in capsys.readouterr().err


def test_ferplus_takes_the_majority_of_the_voters(tmp_path: Path) -> None:
    rows = {
        "FER2013Train": [
            "fer1.png,box,1,8,0,0,0,0,0,1,0,0",
            "fer2.png,box,5,5,0,0,0,0,0,0,0,0",
            "fer9.png,box,9,1,0,0,0,0,0,0,0,0",
        ],
        "FER2013Valid": ["fer3.png,box,1,0,0,0,0,0,0,0,9,0"],
        "FER2013Test": ["fer4.png,box,0,0,0,0,0,0,0,9,1,0"],
    }
    for part, lines in rows.items():
        pictures(tmp_path / part, *(line.split(",")[0] for line in lines if "fer9" not in line))
        (tmp_path / part / "label.csv").write_text("\n".join(lines).replace("box", '"(0, 0, 48, 48)"') + "\n")
    reading = read("ferplus", tmp_path)
    assert [(clip.clip, clip.emotion, clip.split) for clip in reading.clips] == [
        ("fer1", "happiness", "train"),
        ("fer4", "contempt", "test"),
    ]
    assert [problem.what.split(": ")[-1] for problem in reading.problems] == [
        "a tie between neutral and happiness",
        "fer9.png is not there",
        "most voters said unknown",
    ]
    (tmp_path / "FER2013Test" / "label.csv").write_text("fer4.png,box,many\n")
    with pytest.raises(DataError, match=r"label\.csv row 1"):
        read("ferplus", tmp_path)


def test_ckplus_sequences(tmp_path: Path) -> None:
    pictures(tmp_path / "cohn-kanade-images" / "S901" / "001", *(f"S901_001_{i:08d}.png" for i in range(1, 12)))
    pictures(tmp_path / "cohn-kanade-images" / "S901" / "002", "S901_002_00000001.png")
    for kind, suffix, text in (("Emotion", "emotion", "   3.0000000e+00\n"), ("FACS", "facs", " 9.0 4.0\n 17.0 0.0\n")):
        folder = tmp_path / f"{kind}_labels" / kind / "S901" / "001"
        folder.mkdir(parents=True)
        (folder / f"S901_001_00000011_{suffix}.txt").write_text(text)
    reading = read("ckplus", tmp_path)
    (clip,) = reading.clips
    assert (clip.group, clip.emotion, clip.action_units) == ("ckplus/S901", "disgust", ("9", "17"))
    assert (clip.onset, clip.apex, clip.frames[10].name) == (0, 10, "S901_001_00000011.png")
    assert (reading.problems[0].where, reading.skipped) == ("S901/002", 1)
    (tmp_path / "Emotion_labels" / "Emotion" / "S901" / "001" / "S901_001_00000011_emotion.txt").write_text("none")
    with pytest.raises(DataError, match="cannot be read as numbers"):
        read("ckplus", tmp_path)


def test_ckplus48_people_are_those_of_ckplus(tmp_path: Path) -> None:
    pictures(tmp_path / "CK+48" / "anger", "S901_004_00000017.png", "notes.png")
    reading = read("ckplus48", tmp_path)
    assert [(clip.group, clip.emotion) for clip in reading.clips] == [("ckplus/S901", "anger")]
    assert reading.skipped == 1


def test_jaffe_and_kdef_names(tmp_path: Path) -> None:
    pictures(tmp_path / "jaffe", "KX.AN1.39.tiff", "KX.SU2.40.tiff", "readme.png")
    reading = read("jaffe", tmp_path / "jaffe")
    assert [(clip.subject, clip.emotion) for clip in reading.clips] == [("KX", "anger"), ("KX", "surprise")]
    assert reading.skipped == 1
    for session in "AB":
        pictures(tmp_path / "KDEF" / f"{session}F99", f"{session}F99AFS.JPG", f"{session}F99HAFL.JPG")
    clips = read("kdef", tmp_path / "KDEF").clips
    assert sorted(clip.emotion for clip in clips) == ["fear", "fear", "happiness", "happiness"]
    assert {clip.group for clip in clips} == {"kdef/F99"}  # both sessions show the same person
    assert len({clip.key for clip in clips}) == 4


def test_oulu_and_mug_sequences(tmp_path: Path) -> None:
    pictures(tmp_path / "oulu" / "VL" / "Strong" / "P901" / "Anger", "000.jpeg", "001.jpeg", "002.jpeg")
    pictures(tmp_path / "oulu" / "NI" / "Dark" / "P901" / "Anger", "000.jpeg")
    clips = read("oulu", tmp_path / "oulu").clips
    assert [(clip.clip, clip.apex, clip.emotion) for clip in clips] == [
        ("ni/dark/anger", 0, "anger"),
        ("vl/strong/anger", 2, "anger"),
    ]
    pictures(tmp_path / "mug" / "subjects3" / "901" / "901" / "fear" / "take000", "img_0000.jpg", "img_0001.jpg")
    (clip,) = read("mug", tmp_path / "mug").clips
    assert (clip.subject, clip.emotion, clip.apex, clip.fps, len(clip.frames)) == ("901", "fear", None, 19, 2)


def test_taiwanese_names(tmp_path: Path) -> None:
    pictures(tmp_path / "taiwanese" / "faces_256x256", "2731g15.jpg", "2111c11.jpg", "0312a01.jpg", "readme.png")
    reading = read("taiwanese", tmp_path / "taiwanese")
    assert {(clip.subject, clip.label("7")) for clip in reading.clips} == {
        ("27", "surprise"), ("21", "sadness"), ("03", "neutral"),
    }  # fmt: skip
    assert len(reading.problems) == 1


@pytest.mark.parametrize("name", ["jaffe", "kdef", "taiwanese", "oulu", "mug", "ckplus", "ckplus48", "fer2013"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    pictures(tmp_path / "holiday", "beach.png")
    with pytest.raises(DataError) as error:
        read(name, tmp_path)
    assert "\n" not in str(error.value)
