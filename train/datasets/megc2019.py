"""Reader of the public copies of the MEGC2019 composite: one apex crop or one flow map for each of 442 clips.

The list is combined_3_class2_for_optical_flow.csv (dataset, sub, filename_o, label); images are named
<sub>_<filename_o>. Clips carry the data set that they come from, with the subject and clip names of its own reader, so
that a person is one group in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from realtime_mer.errors import DataError
from realtime_mer.sheets import frame_number, rows
from train.datasets.reading import Problem, Reading, pictures, require_folder, still
from train.datasets.smic import clip_name, subject_of
from train.records import THREE, Clip

FOLDERS: Final = {"megc2019": "combined_datasets_whole", "megc2019-maps": "STSNet_whole_norm_u_v_os"}
_COLUMNS: Final = {"dataset": ("dataset",), "subject": ("sub",), "clip": ("filename_o",), "label": ("label",)}
_SUBJECT: Final[dict[str, Callable[[str, str], str]]] = {
    "casme2": lambda subject, _: subject,
    "samm": lambda subject, _: subject.zfill(3),
    "smic": lambda subject, clip: subject_of(clip) or subject,
}


def read_megc2019(dataset: str, root: Path, sheets: Sequence[Path]) -> Reading:
    """``dataset`` is "megc2019" (apex crops) or "megc2019-maps" (flow maps: strain, v, u when read as BGR)."""
    folder = require_folder(root) / FOLDERS[dataset]
    by_name = {
        _key(*path.stem.strip().split("_", 1)): path for path in pictures(require_folder(folder)) if "_" in path.stem
    }
    clips: list[Clip] = []
    problems: list[Problem] = []
    for sheet in sheets:
        for number, values in rows(sheet, _COLUMNS):
            where = f"{sheet.name} row {number}"
            source, name = str(values["dataset"]).strip(), str(values["clip"]).strip()
            label = frame_number(values["label"])
            path = by_name.get(_key(str(values["subject"]).strip(), name))
            if source not in _SUBJECT or label is None or label >= len(THREE):
                problems.append(Problem(where, f"{source}/{name}: unknown data set or label {values['label']!r}", True))
            elif path is None:
                problems.append(Problem(where, f"{source}/{name} is not in {FOLDERS[dataset]}", True))
            else:
                subject = _SUBJECT[source](str(values["subject"]).strip(), name)
                clips.append(still(source, subject, path, THREE[label], clip=clip_name(name)))
    keys = [clip.key for clip in clips]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"the list has {twice} twice")
    return Reading(tuple(clips), tuple(problems))


def _key(subject: str, clip: str) -> tuple[str, str]:
    """SMIC's s1_ne_01 is also spelled s01_ne_01; the names of flow maps end in a space."""
    return subject, clip_name(clip)
