"""The folders of jobs on disk: finding kept jobs, removing those of a killed server, unpacking results from a .zip."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from realtime_mer.app.job import CODING, UPLOAD, Job, Options, State
from realtime_mer.errors import OutputError, SourceError
from realtime_mer.review.decisions import PREFIX
from realtime_mer.sinks import CLIPS, EVENTS_CSV, LOG, RECORDED, REPORT, SIGNALS_CSV, STILLS, VIDEO
from realtime_mer.sinks.lines import write_whole
from realtime_mer.sinks.lock import Lock
from realtime_mer.typed import Count, convert, from_json

NOTE: Final = ".job.json"  # in the folder of a finished job: what it is, and whose
FOLDER: Final = "realtime-mer-app-"  # prefix of the server's folder in the temporary folder
UNPACKED_BYTES: Final = 4 << 30  # of a .zip
_NAMES: Final = re.compile(
    rf"({re.escape(LOG)}|{re.escape(SIGNALS_CSV)}|{re.escape(VIDEO)}"
    rf"|{re.escape(RECORDED)}|{PREFIX}[A-Za-z0-9_-]+\.jsonl|{CODING}[A-Za-z0-9_-]+\.(eaf|csv|tsv)"
    rf"|{STILLS}/event-\d+-\d+\.jpg|{CLIPS}/event-\d+-\d+\.mp4)"
)  # files unpacked from a folder of results; the rest is made again


@dataclass(frozen=True, slots=True)
class _Note:
    """Written beside the files of a job, so that it is found after a restart."""

    id: str
    owner: str
    name: str
    private: bool
    frames: Count
    found: Count


def note(job: Job) -> None:
    """Marks a job as one to find after a restart. Raises OutputError."""
    note = _Note(job.id, job.owner, job.name, job.options.private, job.frames, job.found)
    write_whole(job.folder / NOTE, json.dumps(asdict(note)) + "\n")


def kept(root: Path) -> list[Job]:
    """The finished jobs in a folder that is kept, oldest first; unfinished ones are removed."""
    found = []
    for folder in sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime):
        if not re.fullmatch(r".+-[A-Za-z0-9_-]{8}", folder.name) or folder.is_symlink():
            continue  # not of this program
        try:
            note = convert(from_json((folder / NOTE).read_text(encoding="utf-8")), _Note)
            if not (folder / LOG).is_file():
                raise ValueError("it has no log")
        except (OSError, ValueError):
            if _is_unfinished(folder):
                shutil.rmtree(folder, ignore_errors=True)
            continue
        job = Job(note.id, note.owner, note.name, folder, 0, Options(private=note.private), State.DONE)
        job.frames, job.found = note.frames, note.found
        found.append(job)
    return found


def _is_unfinished(folder: Path) -> bool:
    """Whether a folder holds nothing but an upload and what an analysis had begun."""
    names = {path.name for path in folder.iterdir()}
    begun = {LOG, SIGNALS_CSV, EVENTS_CSV, REPORT, VIDEO, STILLS}
    return NOTE not in names and all(name in begun or name.startswith(f"{UPLOAD}.") for name in names)


def remove_stale() -> None:
    """Removes the folders of servers that were killed or lost power."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError, OutputError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            Lock(folder).close()  # OutputError: its server is running
            shutil.rmtree(folder, ignore_errors=True)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a folder of results from a .zip, known names only. Raises SourceError."""
    try:
        with zipfile.ZipFile(archive) as file:
            members = {}
            for member in file.infolist():
                # without an enclosing folder
                name = re.sub(r"^[^/.][^/]*/(?=[^/]*$|stills/|clips/)", "", member.filename)
                if _NAMES.fullmatch(name):
                    members[name] = member
            if LOG not in members:
                raise SourceError(f"{archive.name} contains no {LOG}: choose a .zip of results")
            if sum(member.file_size for member in members.values()) > UNPACKED_BYTES:
                raise SourceError(f"{archive.name} is too large when unpacked")
            for name, member in members.items():
                target = folder / name
                target.parent.mkdir(mode=0o700, exist_ok=True)
                with file.open(member) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise SourceError(f"{archive.name} is not a readable .zip: {type(error).__name__}") from None


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.path.getsize(os.path.join(where, name))
    return total
