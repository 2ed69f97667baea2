"""The result of ``bench spotting`` as a file to share: scores, settings and times of movements, no images.

The recipient can score it again, compare it with another and pool two halves; the scores in the file are for reading
and are never used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from realtime_mer.bench.results import machine, save_json, versions
from realtime_mer.bench.spotting import HALVES, Row, StreamResult, worst_tails
from realtime_mer.config import Config
from realtime_mer.errors import ConfigError, DataError, SourceError
from realtime_mer.typed import convert, from_json

KIND: Final = "spotting"
FORMAT: Final = 2  # 1 had no streams
ID: Final = 16  # hex digits of the settings' hash
COPIED: Final = ("settings", "model", "half", "versions")  # of each file, kept in a pooled one


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """rows: with every stream. about: metadata: settings, model, versions, half, seed."""

    rows: tuple[Row, ...]
    about: dict[str, Any]


def describe(config: Config, seed: int, half: str = "", **more: Any) -> dict[str, Any]:
    """The metadata of a file: when, with what and on what. Paths are reduced to file names."""
    from realtime_mer.recognize import find

    settings = asdict(config)
    name = config.classify.model
    sha = "" if name == "none" else hashlib.sha256(find(name).read_bytes()).hexdigest()
    settings["classify"]["model"] = Path(name).name
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "settings": hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:ID],
        "config": settings,
        "model": {"name": Path(name).name, "sha256": sha},
        "seed": seed,
        "half": half,
        **more,
    }


def save(rows: Iterable[Row], about: Mapping[str, Any], path: Path) -> None:
    """Writes the file. Its ``results`` hold the worst tail of each condition with several. Raises OutputError."""
    rows = list(rows)
    short = [
        {key: value for key, value in row.to_dict().items() if key not in ("streams", "rejected", "failed")}
        for row in worst_tails(rows)
    ]
    values = {"kind": KIND, "format": FORMAT, **about, "results": short, "rows": [row.to_dict() for row in rows]}
    save_json(values, path)


def is_score_file(path: Path) -> bool:
    """Whether this is a result of ``bench spotting``. Raises SourceError when it cannot be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError:
        return False
    return isinstance(values, dict) and values.get("kind") == KIND


def read(path: Path) -> ScoreFile:
    """What ``save`` wrote. Raises SourceError."""
    try:
        values = from_json(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("kind") != KIND:
            raise ValueError("it is a different kind of file")
        if values.get("format") != FORMAT:
            raise ValueError(f"format {values.get('format')}, this version reads {FORMAT}")
        rows = tuple(_row(entry) for entry in values.pop("rows"))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, DataError) as error:
        raise SourceError(f"{path} is not a score file of this version: {error}") from None
    return ScoreFile(rows, {key: value for key, value in values.items() if key not in ("kind", "format", "results")})


def _row(entry: Mapping[str, Any]) -> Row:
    streams = convert(entry["streams"], list[StreamResult])
    condition, data, tail = (convert(entry[name], str) for name in ("condition", "data", "tail"))
    return Row(condition, data, tail, convert(entry["negatives"], bool), streams)


def pool(files: Sequence[ScoreFile]) -> ScoreFile:
    """One file of the rows that all files have, each with the streams of all.

    Raises ConfigError when two files share a person in a row, because halves share nobody.
    """
    rows = []
    for first in files[0].rows:
        same = [row for file in files for row in file.rows if row.key == first.key]
        if len(same) < len(files):
            continue
        people = [stream_subject for row in same for stream_subject in {stream.subject for stream in row.streams}]
        if twice := sorted({name for name in people if people.count(name) > 1}):
            raise ConfigError(f"{twice[0]} is in both files: only halves without common people can be pooled (--half)")
        streams = [stream for row in same for stream in row.streams]
        rows.append(Row(first.condition, first.data, first.tail, first.negatives, streams))
    if not rows:
        raise ConfigError("the files have no condition in common")
    pooled = [{key: file.about.get(key) for key in COPIED} for file in files]
    halves = [file.about.get("half") for file in files]
    return ScoreFile(tuple(rows), {"pooled": pooled, "half": "both" if sorted(map(str, halves)) == [*HALVES] else ""})
