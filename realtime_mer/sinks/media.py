"""Where the recording of a log is now, for formats that link to it: logs are read in other folders, and are moved."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from realtime_mer.records import SourceInfo
from realtime_mer.sinks.elan import RELATIVE
from realtime_mer.sinks.jsonl import Recording

PATH: Final = "path"  # in the source's details: where the recording was, absolute
FROM_LOG: Final = "from_log"  # and the way to it from the folder of the log, which holds when both are moved together


def located(info: SourceInfo, folder: Path) -> SourceInfo:
    """``info`` of a recording whose log is written into ``folder``, with the places that ``linked`` reads."""
    if info.kind != "file":
        return info
    path = Path(info.uri).absolute()
    details = {**info.details, PATH: str(path)}
    if (way := _way(path, folder.absolute())) is not None:
        details[FROM_LOG] = way
    return replace(info, details=details)


def linked(recording: Recording, log: Path, folder: Path) -> Recording:
    """The recording with its file's absolute path as the uri, and in the details the way to it from ``folder``."""
    source = recording.header.source
    if source.kind != "file":
        return recording
    media = _find(source, log.absolute().parent)
    way = _way(media, folder.absolute()) or f"./{media.name}"
    source = replace(source, uri=str(media), details={**source.details, RELATIVE: way})
    return recording._replace(header=replace(recording.header, source=source))


def _find(source: SourceInfo, folder: Path) -> Path:
    """The recording: beside the log as it was, where it was, or, of logs without these, where its name leads to."""
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
