"""The known data sets: what each is, where to request it, its layout on disk, and its reader.

Nothing is downloaded: all are available from their makers on request, under their own terms.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from realtime_mer.errors import DataError
from train.datasets.casmesq import KIND, casmesq_annotations, read_casmesq
from train.datasets.macro import (
    read_ckplus,
    read_ckplus48,
    read_fer2013,
    read_ferplus,
    read_jaffe,
    read_kdef,
    read_mug,
    read_oulu,
    read_taiwanese,
)
from train.datasets.megc2019 import read_megc2019
from train.datasets.micro import CODINGS, read_micro
from train.datasets.reading import Problem, Reading
from train.datasets.sheets import Annotation, read_sheet
from train.datasets.smic import CODING as SMIC_CODING
from train.datasets.smic import read_smic
from train.protocols import doubts


@dataclass(frozen=True, slots=True)
class Dataset:
    """One entry of the catalog.

    what:    one line. ask: where to request it. paper: its reference. layout: path of one clip below the root.
    folders: usual names of the root. sheets: patterns of the annotation sheet's file name, none if not needed.
    scheme:  classes to count. clips: usable clips in a complete copy, None if copies differ.
    read:    (name, root, sheets) -> Reading.
    all_sheets: use every matching sheet; otherwise the last by name (the newest version).
    sheet_optional: the folders already give the class.
    """

    what: str
    ask: str
    paper: str
    layout: str
    folders: tuple[str, ...]
    sheets: tuple[str, ...]
    scheme: str
    clips: int | None
    read: Callable[[str, Path, Sequence[Path]], Reading]
    all_sheets: bool = False
    sheet_optional: bool = False


_CASME_PAGE: Final = "http://casme.psych.ac.cn/casme/ (Institute of Psychology, Chinese Academy of Sciences)"
_OULU_PAGE: Final = (
    "Center for Machine Vision and Signal Analysis, University of Oulu (https://www.oulu.fi/cmvs/node/41319)"
)
_SMIC_PAPER: Final = "Li et al., FG 2013"

DATASETS: Final[dict[str, Dataset]] = {
    "casme": Dataset(
        "CASME: micro-expressions at 60 fps, 19 subjects",
        _CASME_PAGE, "Yan et al., FG 2013",
        "Cropped/sub01/EP01_12/*-73.jpg (frame number last in the name)",
        ("CASME", "CASME1", "casme"), ("CASME-cod*.xlsx",), "emotion", None, read_micro,
    ),
    "casme2": Dataset(
        "CASME II: micro-expressions at 200 fps, 26 subjects",
        _CASME_PAGE, "Yan et al., PLoS ONE 2014",
        "Cropped/sub01/EP02_01f/reg_img46.jpg (or CASME2-RAW/.../img46.jpg)",
        ("CASME2", "CASMEII", "CASME II", "casme2"), ("CASME2-coding*.xlsx",), "5", 255, read_micro,
    ),
    "casmesq": Dataset(
        "CAS(ME)^2, micro-expressions in long videos at 30 fps, 22 subjects",
        _CASME_PAGE, "Qu et al., IEEE Trans. Affective Computing 2018",
        "rawpic/s15/15_0401girlcrashing/img1.jpg",
        ("CAS(ME)^2", "CASME_sq", "CAS(ME)2", "casmesq"), ("CAS(ME)^2code_final*.xlsx", "code_final*.xlsx"), "3", 57,
        read_casmesq,
    ),
    "casmesq-macro": Dataset(
        "CAS(ME)^2, macro-expressions of the same videos",
        _CASME_PAGE, "Qu et al., IEEE Trans. Affective Computing 2018",
        "rawpic/s15/15_0401girlcrashing/img1.jpg",
        ("CAS(ME)^2", "CASME_sq", "CAS(ME)2", "casmesq"), ("CAS(ME)^2code_final*.xlsx", "code_final*.xlsx"), "3", None,
        read_casmesq,
    ),
    "casme3": Dataset(
        "CAS(ME)^3 part A: micro-expressions with depth at 30 fps, 94 of 100 subjects",
        _CASME_PAGE, "Li et al., IEEE Trans. PAMI 2023",
        "Part_A_ME_clip/frame/spNO.1_a_355/355.jpg",
        ("CAS(ME)^3", "CASME3", "casme3"), ("cas(me)3_part_A_ME_label*.xlsx", "casme3_table.xlsx"), "7", 860,
        read_micro,
    ),
    "samm": Dataset(
        "SAMM: micro-movements at 200 fps, 32 subjects of 13 ethnicities (29 with a clip)",
        "http://www2.docm.mmu.ac.uk/STAFF/M.Yap/dataset.php (Manchester Metropolitan University)",
        "Davison et al., IEEE Trans. Affective Computing 2018",
        "006/006_1_2/006_05562.jpg",
        ("SAMM", "samm"), ("SAMM*.xlsx",), "7", 159, read_micro,
    ),
    "smic": Dataset(
        "SMIC-HS: high-speed camera, 100 fps, 16 subjects", _OULU_PAGE, _SMIC_PAPER,
        "HS/s1/micro/negative/s1_ne_01/image1.jpg", ("SMIC", "smic"), ("smic_apex*.xlsx", "SMIC-HS-E_annotation*.xlsx"),
        "3", 164, read_smic, sheet_optional=True,
    ),
    "smic-vis": Dataset(
        "SMIC-VIS: visible light, 25 fps, 8 of the HS subjects", _OULU_PAGE, _SMIC_PAPER,
        "VIS/s11/micro/negative/s11_ne_01/image1.jpg", ("SMIC", "smic"), (), "3", 71, read_smic, sheet_optional=True,
    ),
    "smic-nir": Dataset(
        "SMIC-NIR: near infrared, 25 fps, the VIS subjects", _OULU_PAGE, _SMIC_PAPER,
        "NIR/s11/micro/negative/s11_ne_01/image1.jpg", ("SMIC", "smic"), (), "3", 71, read_smic, sheet_optional=True,
    ),
    "mmew": Dataset(
        "MMEW: micro-expressions at 90 fps and macro-expressions of the same 36 subjects",
        "http://www.dpailab.com/database.html",
        "Ben et al., IEEE Trans. PAMI 2022",
        "Micro_Expression/anger/S01-07-001/1.jpg",
        ("MMEW_Final", "MMEW", "mmew"), ("MMEW_Micro_Exp*.xlsx",), "7", 300, read_micro,
    ),
    "dfme": Dataset(
        "DFME: micro-expressions at 200 to 500 fps; 2,629 clips annotated in the sheets here",
        "ask its authors (arXiv 2301.00985)", "Zhao et al., IEEE Trans. Affective Computing 2023",
        "sub0003/sub0003_01/109.png (any depth; frame number last in the name)",
        ("DFME", "dfme"), ("*_full_with_AU.xlsx",), "7", None, read_micro, all_sheets=True,
    ),
    "megc2019": Dataset(
        "MEGC2019 composite: apex face crops, 224 px, of SMIC, CASME II and SAMM, 68 subjects",
        "the three data sets' makers; https://facial-micro-expressiongc.github.io/MEGC2019/", "See et al., FG 2019",
        "combined_datasets_whole/sub01_EP02_01f.jpg",
        ("megc2019", "MEGC2019"), ("combined_3_class2_for_optical_flow.csv",), "3", 442, read_megc2019,
    ),
    "megc2019-maps": Dataset(
        "MEGC2019 composite: optical flow maps onset to apex, 28 px, as used for STSTNet",
        "the three data sets' makers; https://facial-micro-expressiongc.github.io/MEGC2019/", "Liong et al., FG 2019",
        "STSNet_whole_norm_u_v_os/sub01_EP02_01f .png",
        ("megc2019", "MEGC2019"), ("combined_3_class2_for_optical_flow.csv",), "3", 442, read_megc2019,
    ),
    "fer2013": Dataset(
        "FER2013: 35,887 faces from the web, 48 px, 7 classes",
        "Kaggle, Challenges in Representation Learning: Facial Expression Recognition",
        "Goodfellow et al., ICONIP 2013",
        "train/happy/Training_1.jpg, test/happy/PublicTest_1.jpg (from fer2013.csv: --unpack-fer2013)",
        ("fer2013", "FER2013"), (), "7", 35887, read_fer2013,
    ),
    "ferplus": Dataset(
        "FERPlus: FER2013 relabeled by ten voters, 8 classes",
        "https://github.com/microsoft/FERPlus (labels; images from FER2013)", "Barsoum et al., ICMI 2016",
        "FER2013Train/label.csv and FER2013Train/fer0000000.png; FER2013Valid; FER2013Test",
        ("FERPlus", "ferplus"), (), "emotion", None, read_ferplus,
    ),
    "ckplus": Dataset(
        "CK+: 593 posed sequences of 123 subjects, 327 with an emotion",
        "http://www.jeffcohn.net/Resources/ (University of Pittsburgh)", "Lucey et al., CVPRW 2010",
        "cohn-kanade-images/S005/001/S005_001_00000001.png, Emotion/S005/001/*_emotion.txt, FACS/S005/001/*_facs.txt",
        ("CK+", "CKplus", "ckplus"), (), "7", 327, read_ckplus,
    ),
    "ckplus48": Dataset(
        "CK+48: the last three frames of the labeled CK+ sequences as 48 px faces, 118 subjects",
        "derived from CK+ (ask there)", "Lucey et al., CVPRW 2010",
        "anger/S010_004_00000017.png", ("ckplus48", "CK+48"), (), "7", 981, read_ckplus48,
    ),
    "jaffe": Dataset(
        "JAFFE: 213 posed stills of 10 Japanese women",
        "https://zenodo.org/records/3451524", "Lyons et al., FG 1998",
        "KA.AN1.39.tiff", ("jaffe", "JAFFE"), (), "7", 213, read_jaffe,
    ),
    "kdef": Dataset(
        "KDEF: 4,900 posed stills of 70 people, 7 expressions, 5 angles",
        "https://kdef.se (Karolinska Institutet)", "Lundqvist et al., 1998",
        "KDEF/AF01/AF01AFS.JPG", ("KDEF", "kdef"), (), "7", 4900, read_kdef,
    ),
    "taiwanese": Dataset(
        "1,232 posed color stills of 29 Taiwanese performers, 7 expressions",
        "public copies state neither author nor license: for research only",
        "not named by the public copies",
        "faces_256x256/2731g15.jpg", ("taiwanese", "Taiwanese"), (), "7", None, read_taiwanese,
    ),
    "oulu": Dataset(
        "Oulu-CASIA NIR&VIS: 80 subjects, 6 expressions, 2 cameras, 3 lights",
        _OULU_PAGE, "Zhao et al., Image and Vision Computing 2011",
        "OriginalImg/VL/Strong/P001/Anger/000.jpeg",
        ("Oulu_CASIA_NIR_VIS", "OuluCASIA", "Oulu-CASIA", "oulu"), (), "emotion", 2880, read_oulu,
    ),
    "mug": Dataset(
        "MUG: posed sequences at 19 fps; 52 of 86 subjects are given out",
        "https://mug.ee.auth.gr/fed/ (Aristotle University of Thessaloniki)", "Aifanti et al., WIAMIS 2010",
        "subjects3/001/001/anger/take000/img_0000.jpg", ("MUG", "mug"), (), "7", None, read_mug,
    ),
}  # fmt: skip


# Data sets with a separate annotation sheet.
CODED: Final = frozenset((*CODINGS, *KIND, "smic"))


def read(name: str, root: Path | str, sheet: Path | str | Sequence[Path] | None = None) -> Reading:
    """Reads a data set below its root. Without ``sheet`` the sheet is searched for below the root.

    Problems of single rows are in ``Reading.problems``. DataError for an unknown name, a wrong path, a missing column,
    a corrupt file, or when nothing usable was found.
    """
    entry, root = _entry(name), Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: give the folder that holds {name}")
    if sheet is None:
        sheets = find_sheets(name, root)
    else:
        sheets = [Path(sheet)] if isinstance(sheet, str | Path) else list(sheet)
    if entry.sheets and not sheets and not entry.sheet_optional:
        raise DataError(f"no {' or '.join(entry.sheets)} below {root}: give the annotation sheet of {name}")
    reading = entry.read(name, root, sheets)
    if not reading.clips:
        first = f" (first problem: {reading.problems[0].where}: {reading.problems[0].what})" if reading.problems else ""
        raise DataError(f"no usable clip of {name} below {root}; expected {entry.layout}{first}")
    alike = tuple(Problem(name, doubt, False) for doubt in doubts(reading.clips))
    return Reading(reading.clips, (*reading.problems, *alike))


def read_below(name: str, data: Path) -> Reading | None:
    """``read`` for a data set in a folder with one of its usual names below ``data``, and its sheet anywhere in
    ``data``.

    None when there is no such folder. Raises as ``read``.
    """
    root = find_root(name, data)
    if root is None:
        return None
    return read(name, root, find_sheets(name, root) or find_sheets(name, data) or None)


def read_sheets(name: str, sheets: Sequence[Path]) -> tuple[list[Annotation], list[Problem]]:
    """The annotation sheets of a data set, without its images. DataError when it has none or one is corrupt."""
    _entry(name)
    if name in KIND:
        pairs = [casmesq_annotations(sheet, name) for sheet in sheets]
        return [a for found, _ in pairs for a, _video in found], [p for _, faults in pairs for p in faults]
    coding = SMIC_CODING if name == "smic" else CODINGS.get(name)
    if coding is None:
        raise DataError(f"{name} has no annotation sheet")
    read_ones = [read_sheet(sheet, coding) for sheet in sheets]
    return [a for found, _ in read_ones for a in found], [p for _, faults in read_ones for p in faults]


def find_sheets(name: str, root: Path) -> list[Path]:
    """The data set's annotation sheets below a folder: all of them, or the newest version by name."""
    entry = _entry(name)
    for pattern in entry.sheets:  # in order of preference
        hits = sorted(
            (path for path in _sheet_files(root) if fnmatch(path.name.lower(), _literal(pattern.lower()))),
            key=lambda path: path.name.lower(),
        )
        if hits:
            return hits if entry.all_sheets else hits[-1:]
    return []


def find_root(name: str, data: Path) -> Path | None:
    """The data set's folder directly below ``data``, by its usual names; None when there is none."""
    return next((data / folder for folder in _entry(name).folders if (data / folder).is_dir()), None)


def _entry(name: str) -> Dataset:
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}: use one of {', '.join(DATASETS)}")
    return DATASETS[name]


def _literal(pattern: str) -> str:
    """Escapes brackets: only * is a wildcard in our patterns."""
    return pattern.replace("[", "[[]")


def _sheet_files(root: Path) -> tuple[Path, ...]:
    return tuple(
        Path(folder) / name
        for folder, _, names in os.walk(root)
        for name in names
        if name.lower().endswith((".xlsx", ".csv")) and not name.startswith(("~", "."))
    )
