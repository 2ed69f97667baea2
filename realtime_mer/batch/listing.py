"""Finds the recordings: files, folders, patterns and lists, and the results folder of each."""

from __future__ import annotations

import csv
import glob
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from realtime_mer.errors import ConfigError
from realtime_mer.sinks import LOG
from realtime_mer.sources.images import SUFFIXES as PICTURES

VIDEOS: Final = frozenset(
    (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".mjpeg", ".mjpg", ".ts", ".mts", ".wmv", ".flv")
)
LISTS: Final = (".csv", ".tsv", ".txt")
COLUMNS: Final = ("path", "rate", "name")


@dataclass(frozen=True, slots=True)
class Item:
    """A recording. folder: of its results. rate: frames/s, None: the file's own, or that of --rate."""

    path: str
    folder: Path
    rate: float | None = None

    def __str__(self) -> str:
        return self.path


def find(words: Sequence[str], out: Path, rate: float | None = None) -> list[Item]:
    """The recordings that ``words`` name, in order, each with a folder of its own below ``out``.

    A word is a file; a folder of images, where it holds no videos; a folder, all of whose videos are taken, and whose
    inner folders stay as they are below ``out``; a pattern with * or ?, where ** goes down; or a list (.csv, .tsv,
    .txt) with a column "path" and, where wanted, "rate" and "name". Results of earlier runs are left out.

    Raises ConfigError when a word names nothing, or two recordings would be written to one folder.
    """
    found: list[tuple[str, str | None, float | None]] = []  # path, name of its results, rate
    for word in words:
        path = Path(word)
        if path.suffix.lower() in LISTS and path.is_file():
            found += _listed(path, rate)
        elif path.is_dir():
            found += [(p, name, rate) for p, name in _below(path, out)]
        elif glob.has_magic(word) and not path.exists():
            matches = sorted(Path(p) for p in glob.glob(word, recursive=True))
            taken = [p for p in matches if _is_recording(p, out)]
            if not taken:
                raise ConfigError(f"no video matches {word}")
            found += [(str(p), None, rate) for p in taken]
        else:
            found.append((word, None, rate))
    return [Item(path, out / name, own) for (path, _, own), name in zip(found, _names(found, out), strict=True)]


def share(items: Sequence[Item], part: int, parts: int) -> list[Item]:
    """Every ``parts``-th item, starting with number ``part`` (from 1), so that neighbors, which are often alike, are
    spread."""
    return list(items[part - 1 :: parts])


def _below(folder: Path, out: Path) -> Iterable[tuple[str, str | None]]:
    """The videos below a folder, or else the folders of images below it, including itself."""
    inside = [p for p in sorted(folder.rglob("*")) if _is_recording(p, out) and p.is_file()]
    if inside:
        names = [p.relative_to(folder).with_suffix("") for p in inside]
        often = Counter(names)  # take.mp4 and take.avi
        return [
            (str(p), str(name if often[name] == 1 else p.relative_to(folder)))
            for p, name in zip(inside, names, strict=True)
        ]
    pictures = {p.parent for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.is_file()}
    if folder in pictures or not pictures:
        return [(str(folder), None)]
    return [(str(p), str(p.relative_to(folder))) for p in sorted(pictures)]


def _is_recording(path: Path, out: Path) -> bool:
    """A video, or a folder, that no run has written."""
    if any(part.startswith(".") for part in path.parts if part not in (".", "..")):
        return False
    if path.is_file() and path.suffix.lower() not in VIDEOS:
        return False
    own = path.resolve()
    return out.resolve() not in own.parents and not any((p / LOG).is_file() for p in (own, *own.parents[:2]))


def _listed(path: Path, rate: float | None) -> list[tuple[str, str | None, float | None]]:
    """The rows of a list. A file without a header has one path per line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    if not lines or "path" not in [cell.strip().lower() for cell in lines[0].split(delimiter)]:
        rows = [{"path": line.strip()} for line in lines]
    else:
        lines[0] = lines[0].lower()
        table = csv.DictReader(lines, delimiter=delimiter)
        rows = [{k.strip(): (v or "").strip() for k, v in row.items() if k} for row in table]
    found: list[tuple[str, str | None, float | None]] = []
    for number, row in enumerate(rows, 1):
        try:
            own = float(row["rate"]) if row.get("rate") else rate
        except ValueError:
            raise ConfigError(f"{path}, recording {number}: '{row['rate']}' is not a rate") from None
        if not row["path"]:
            raise ConfigError(f"{path}, recording {number}: the path is missing")
        found.append((str(path.parent / row["path"]), row.get("name") or None, own))
    if not found:
        raise ConfigError(f"{path} lists no recordings")
    return found


def _names(found: Sequence[tuple[str, str | None, float | None]], out: Path) -> list[str]:
    """Names of result folders: as given, otherwise from the recording, with its parent if two share a name."""
    stems = Counter(Path(path).stem for path, name, _ in found if name is None)
    names = []
    for path, name, _ in found:
        own = Path(path)
        names.append(name or (own.stem if stems[own.stem] == 1 else f"{own.resolve().parent.name}-{own.name}"))
    for (path, _, _), name in zip(found, names, strict=True):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigError(f"the results of {path} would be outside the results folder: {name}")
    if again := [name for name, number in Counter(names).items() if number > 1]:
        raise ConfigError(
            f"two recordings would be written to {out / again[0]}: analyze them separately, or name them in a list"
        )
    return names
