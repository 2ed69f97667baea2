"""Finds the recording of a log, for formats that link to it, when logs are read elsewhere or moved."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from realtime_mer.records import SourceInfo
from realtime_mer.sinks.elan import RELATIVE
from realtime_mer.sinks.jsonl import Recording

PATH: Final = "path"  # key of the source's details: absolute path of the recording at the time
FROM_LOG: Final = (
    "from_log"  # and its path relative to the log's folder, which stays valid when both are moved together
)


def located(info: SourceInfo, folder: Path) -> SourceInfo:
    """``info`` of a recording whose log is written into ``folder``, with the paths that ``linked`` reads."""
    if info.kind != "file":
        return info
    path = Path(info.uri).absolute()
    details = {**info.details, PATH: str(path)}
    if (way := _way(path, folder.absolute())) is not None:
        details[FROM_LOG] = way
    return replace(info, details=details)


def linked(recording: Recording, log: Path, folder: Path) -> Recording:
    """The recording with its file's absolute path as the uri, and the path relative to ``folder`` in the details."""
    source = recording.header.source
    if source.kind != "file":
        return recording
    media = _find(source, log.absolute().parent)
    way = _way(media, folder.absolute()) or f"./{media.name}"
    source = replace(source, uri=str(media), details={**source.details, RELATIVE: way})
    return recording._replace(header=replace(recording.header, source=source))


def _find(source: SourceInfo, folder: Path) -> Path:
    """The recording: at the same relative path, at its absolute path, or, for logs without these, by its name."""
    way, path = source.details.get(FROM_LOG), source.details.get(PATH)
    places = [Path(os.path.normpath(folder / way))] if isinstance(way, str) else []
    if isinstance(path, str):
        places.append(Path(path))
    if not places:
        above = [base for base in (Path.cwd(), folder, *folder.parents) if not Path(source.uri).is_absolute()]
        places = [Path(os.path.normpath(base / source.uri)) for base in above] or [Path(source.uri)]
    return next((place for place in places if _is_file(place)), places[-1] if isinstance(path, str) else places[0])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _way(media: Path, folder: Path) -> str | None:
    """The relative path, with slashes; None if there is none (another drive)."""
    try:
        way = os.path.relpath(media, folder).replace(os.sep, "/")
    except ValueError:
        return None
    return way if way.startswith("../") else f"./{way}"
