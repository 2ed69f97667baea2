"""Readers of macro-expression data sets, used for pre-training: FER2013, FERPlus, CK+, CK+48, JAFFE, KDEF, Oulu-CASIA,
MUG.

Their annotation is in file and folder names, except FERPlus (votes in label.csv) and CK+ (small text files).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from realtime_mer.errors import DataError
from train.datasets.reading import Problem, Reading, Tree, numbered, pictures, require_folder, sequence, still
from train.datasets.sheets import EMOTIONS
from train.records import Clip

FER2013_CLASSES: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # labels 0 to 6 in the csv
FER2013_SIDE: Final = 48  # px
_USAGE: Final = {"training": "train", "publictest": "validation", "privatetest": "test"}
_FERPLUS: Final = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "not a face",
)  # fmt: skip
_FERPLUS_PARTS: Final = {"FER2013Train": "train", "FER2013Valid": "validation", "FER2013Test": "test"}
_CK: Final = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_JAFFE: Final = re.compile(r"([A-Z]{2})\.(AN|DI|FE|HA|NE|SA|SU)\d+\.\d+", re.IGNORECASE)
_JAFFE_WORDS: Final = {
    "AN": "anger", "DI": "disgust", "FE": "fear", "HA": "happiness", "NE": "neutral", "SA": "sadness", "SU": "surprise",
}  # fmt: skip
_KDEF: Final = re.compile(r"[AB]([FM]\d{2})(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)", re.IGNORECASE)
_KDEF_WORDS: Final = {**_JAFFE_WORDS, "AF": "fear"}
_TAIWANESE: Final = re.compile(r"(\d{2})\d{2}([A-G])\d{2}", re.IGNORECASE)
_TAIWANESE_WORDS: Final = {
    "A": "neutral", "B": "happiness", "C": "sadness", "D": "anger", "E": "disgust", "F": "fear", "G": "surprise",
}  # fmt: skip
_MUG_FPS: Final = 19.0
_OULU_FPS: Final = 25.0
_CK_FPS: Final = 30.0


def read_fer2013(dataset: str, root: Path, _sheets: Sequence[Path]) -> Reading:
    """Class folders at any depth (train/happy/Training_1.jpg). File name or folder gives the official part."""
    require_folder(root)
    if (root / "fer2013.csv").is_file() and not any(path.is_dir() for path in root.iterdir()):
        raise DataError(
            f"{root} holds only fer2013.csv: run `python -m train datasets --unpack-fer2013 CSV FOLDER` first"
        )
    clips: list[Clip] = []
    problems: list[Problem] = []
    for folder in Tree(root).folders():
        emotion = EMOTIONS.get(folder.name.lower())
        if emotion is None:
            problems.append(Problem(str(folder), "the folder's name is not an emotion", True))
            continue
        for path in pictures(folder):
            split = _USAGE.get(path.stem.split("_")[0].lower(), folder.parent.name.lower())
            clips.append(
                still(dataset, None, path, emotion, split if split in _USAGE.values() else "", cohort="fer2013")
            )
    return Reading(tuple(clips), tuple(problems))


def unpack_fer2013(table: Path, folder: Path) -> int:
    """Writes the images of fer2013.csv (columns emotion, pixels, Usage) as PNG files into class folders.

    Returns their number. DataError naming the row when one is not 48 x 48 gray values with a label from 0 to 6.
    """
    count = 0
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if missing := {"emotion", "pixels", "Usage"} - set(reader.fieldnames or ()):
                raise DataError(f"{table}: no column {sorted(missing)[0]!r}")
            for number, row in enumerate(reader):
                try:
                    pixels = np.array(row["pixels"].split(), np.uint8).reshape(FER2013_SIDE, FER2013_SIDE)
                    label = FER2013_CLASSES[int(row["emotion"])]
                    part = _USAGE[row["Usage"].lower()]
                except (ValueError, IndexError, KeyError, OverflowError, AttributeError, TypeError) as error:
                    raise DataError(f"{table} row {number + 2}: {error}") from None
                target = folder / ("train" if part == "train" else "test") / label
                target.mkdir(parents=True, exist_ok=True)
                # imencode, because imwrite does not report a full disk
                (target / f"{row['Usage']}_{number:07d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
                count += 1
    except (OSError, csv.Error) as error:
        raise DataError(f"fer2013 cannot be unpacked: {error}") from None
    return count


def read_ferplus(dataset: str, root: Path, _sheets: Sequence[Path]) -> Reading:
    """FERPlus' own layout: FER2013Train/label.csv and the images beside it, likewise Valid and Test.

    The label is the majority of the ten votes; ties, "unknown" and "not a face" are skipped and counted.
    """
    require_folder(root)
    clips: list[Clip] = []
    problems: list[Problem] = []
    for part, split in _FERPLUS_PARTS.items():
        table = root / part / "label.csv"
        for number, row in enumerate(_csv_rows(table), 1):
            where = f"{part}/label.csv row {number}"
            votes = row[2:12]
            if len(votes) < len(_FERPLUS) or not all(vote.strip().isdigit() for vote in votes):
                raise DataError(f"{table} row {number}: expected a name, a box and {len(_FERPLUS)} numbers of votes")
            counts = [int(vote) for vote in votes]
            winners = [word for word, count in zip(_FERPLUS, counts, strict=True) if count == max(counts)]
            path = root / part / row[0]
            if len(winners) > 1:
                problems.append(Problem(where, f"{row[0]}: a tie between {' and '.join(winners)}", True))
            elif winners[0] in ("unknown", "not a face"):
                problems.append(Problem(where, f"{row[0]}: most voters said {winners[0]}", True))
            elif not path.is_file():
                problems.append(Problem(where, f"{row[0]} is not there", True))
            else:
                clips.append(still(dataset, None, path, winners[0], split, cohort="fer2013"))
    return Reading(tuple(clips), tuple(problems))


def read_ckplus(dataset: str, root: Path, _sheets: Sequence[Path]) -> Reading:
    """cohn-kanade-images/S005/001/*.png with Emotion/S005/001/*_emotion.txt and FACS/...: neutral to apex, 593 in all.

    A sequence without an emotion file (266 of them) has no class and is skipped.
    """
    clips: list[Clip] = []
    problems: list[Problem] = []
    tree = Tree(root)
    labels, codes = _by_sequence(root, "*_emotion.txt"), _by_sequence(root, "*_facs.txt")
    for folder in tree.folders():
        subject, name = folder.parent.name, folder.name
        if not re.fullmatch(r"S\d{3}", subject) or not re.fullmatch(r"\d{3}", name):
            continue
        label = labels.get((subject, name))
        if label is None:
            problems.append(Problem(f"{subject}/{name}", "no emotion file: this sequence has no class", True))
            continue
        code = _numbers(label)
        if len(code) != 1 or not 0 <= code[0] < len(_CK):
            problems.append(Problem(str(label), f"{code} is not one label from 0 to 7", True))
            continue
        facs = codes.get((subject, name))
        units = tuple(str(int(unit)) for unit in _numbers(facs)[::2]) if facs else ()
        frames = [path for _, path in numbered(folder)]
        # Every sequence starts neutral and ends at the apex (Lucey et al., CVPRW 2010).
        clips.append(
            Clip(
                dataset,
                subject,
                f"{subject}_{name}",
                tuple(frames),
                0,
                len(frames) - 1,
                None,
                _CK_FPS,
                units,
                _CK[int(code[0])],
            )
        )
    return _something(clips, problems, root, "cohn-kanade-images/S005/001")


def read_ckplus48(dataset: str, root: Path, _sheets: Sequence[Path]) -> Reading:
    """Class folders of single frames, three from the end of each labeled CK+ sequence: anger/S010_004_00000017.png."""
    clips: list[Clip] = []
    problems: list[Problem] = []
    for folder in Tree(root).folders():
        emotion = EMOTIONS.get(folder.name.lower())
        for path in pictures(folder):
            if emotion is None or not re.fullmatch(r"S\d{3}_\d{3}_\d{8}", path.stem):
                problems.append(Problem(str(path), "neither the folder nor the name matches CK+48", True))
            else:
                clips.append(still(dataset, path.stem[:4], path, emotion, cohort="ckplus"))
    return Reading(tuple(clips), tuple(problems))


def read_jaffe(dataset: str, root: Path, _sheets: Sequence[Path]) -> Reading:
    """KA.AN1.39.tiff: subject, emotion and take, picture number."""
    return _named_stills(dataset, root, _JAFFE, _JAFFE_WORDS, "KA.AN1.39.tiff")


def read_kdef(dataset: str, root: Path, _sheets: Sequence[Path]) -> Reading:
    """AF01/AF01AFS.JPG: session, sex and number, emotion, angle. The two sessions show the same person."""
    return _named_stills(dataset, root, _KDEF, _KDEF_WORDS, "AF01/AF01AFS.JPG")


def read_taiwanese(dataset: str, root: Path, _sheets: Sequence[Path]) -> Reading:
    """2731g15.jpg: performer, two digits that are not used, emotion (a to g), number."""
    return _named_stills(dataset, root, _TAIWANESE, _TAIWANESE_WORDS, "2731g15.jpg")


def read_oulu(dataset: str, root: Path, _sheets: Sequence[Path]) -> Reading:
    """VL/Strong/P001/Anger/000.jpeg: camera (NI or VL), light, person, emotion; neutral to apex."""
    clips: list[Clip] = []
    for folder in Tree(root).folders():
        *_, camera, light, subject, word = folder.parts[-4:]
        emotion = EMOTIONS.get(word.lower())
        if emotion is None or not re.fullmatch(r"P\d{3}", subject):
            continue
        frames = [path for _, path in numbered(folder)]
        name = f"{camera}/{light}/{word}".lower()
        clips.append(sequence(dataset, subject, name, frames, emotion, _OULU_FPS, len(frames) - 1))
    return _something(clips, [], root, "VL/Strong/P001/Anger")


def read_mug(dataset: str, root: Path, _sheets: Sequence[Path]) -> Reading:
    """subjects3/001/001/anger/take000/*.jpg: person, emotion, take; neutral to apex to neutral, apex not annotated."""
    clips: list[Clip] = []
    for folder in Tree(root).folders():
        parts = folder.relative_to(root.parent).parts
        emotion = EMOTIONS.get(folder.parent.name.lower())
        subject = next((part for part in reversed(parts) if re.fullmatch(r"\d{3}", part)), None)
        if emotion is None or subject is None or not folder.name.lower().startswith("take"):
            continue
        frames = [path for _, path in numbered(folder)]
        clips.append(sequence(dataset, subject, f"{folder.parent.name}/{folder.name}", frames, emotion, _MUG_FPS))
    return _something(clips, [], root, "001/001/anger/take000")


def _named_stills(dataset: str, root: Path, pattern: re.Pattern[str], words: dict[str, str], example: str) -> Reading:
    clips: list[Clip] = []
    problems: list[Problem] = []
    for folder in Tree(root).folders():
        for path in pictures(folder):
            match = pattern.fullmatch(path.stem)
            if match is None:
                problems.append(Problem(str(path), f"the name does not match {example}", True))
            else:
                clips.append(still(dataset, match.group(1).upper(), path, words[match.group(2).upper()]))
    return _something(clips, problems, root, example)


def _something(clips: list[Clip], problems: list[Problem], root: Path, example: str) -> Reading:
    if not clips:
        raise DataError(f"{root} contains nothing named like {example}: give the folder that holds the data set")
    return Reading(tuple(clips), tuple(problems))


def _by_sequence(root: Path, pattern: str) -> dict[tuple[str, str], Path]:
    """CK+'s small text files at any depth, by person and sequence."""
    return {(path.parent.parent.name, path.parent.name): path for path in sorted(root.rglob(pattern))}


def _numbers(path: Path) -> list[float]:
    try:
        return [float(word) for word in path.read_text(encoding="utf-8").split()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as numbers ({error})") from None


def _csv_rows(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            yield from (row for row in csv.reader(stream) if row)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
