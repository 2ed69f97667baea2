"""The two files of a shared recording that hold numbers: motion.npz and flow.npz. Written by numpy, read with care.

A shared folder comes from someone else: nothing in it is unpickled, and anything in these files that docs/sharing.md
does not describe is a SourceError of one line.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import SourceError, first_line
from realtime_mer.face.regions import NAMES
from realtime_mer.records import Event, Floats
from realtime_mer.share.tape import DISPLACEMENT, EYES, FIT, HEAD, NOISE, WIDTH, R, Tape, Tapes
from realtime_mer.sinks.place import replace_file

MOTION: Final = "motion.npz"
FLOW: Final = "flow.npz"
FORMAT: Final = 1  # increased when an array changes its meaning
# px: about a thousandth, a tenth of the least noise ever measured; a power of two, which compresses well
STEP: Final = 2.0**-10
MOST_BYTES: Final = 1 << 33  # unpacked; about 45 hours at 200 frames/s

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Every frame of the recording: index, time in s, frames lost before it, and whether it repeats the previous
    one."""

    index: NDArray[np.int64]
    time: NDArray[np.float64]
    lost: NDArray[np.int64]
    repeated: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """The motion of one event from onset to apex, the input of the recognizer: float32 (3, S, S). Times in s."""

    track: int
    onset: float
    apex: float
    offset: float
    motion: Floats


def write_motion(path: Path, tapes: Tapes) -> None:
    """All tapes of a run, rounded to STEP. Raises OutputError."""
    kept = [tape for tape in tapes.tapes if tape.time]
    table = np.concatenate([np.zeros((0, WIDTH), np.float32), *(tape.table for tape in kept)])
    table = np.rint(table / STEP) * np.float32(STEP)
    breaks = [(number, at, reason) for number, tape in enumerate(kept) for at, reason in tape.breaks]
    arrays: Mapping[str, Any] = {
        "format": np.int64(FORMAT),
        "regions": np.array(NAMES),
        "frame_index": np.array(tapes.index, np.int64),
        "frame_time": np.array(tapes.time, np.float64),
        "frame_lost": np.array(tapes.lost, np.int64),
        "frame_repeated": np.array(tapes.repeated, np.bool_),
        "watch": np.array([(t.track, t.first_id, len(t.time)) for t in kept], np.int64).reshape(-1, 3),
        "index": np.concatenate([np.zeros(0, np.int64), *(np.array(t.index, np.int64) for t in kept)]),
        "time": np.concatenate([np.zeros(0), *(np.array(t.time) for t in kept)]),
        "displacement": table[:, DISPLACEMENT].reshape(-1, R, 2),
        "noise": table[:, NOISE],
        "head": table[:, HEAD],
        "eyes": table[:, EYES],
        "fit": table[:, FIT],
        "break_at": np.array([(number, at) for number, at, _ in breaks], np.int64).reshape(-1, 2),
        "break_reason": np.array([reason for *_, reason in breaks], np.str_),
    }
    _write(path, arrays)


def write_flow(path: Path, events: Sequence[Event], feature: str) -> None:
    """Writes the motion of the events that have one, as float16. feature: how it was computed, e.g. "flow-uvs/1".

    Raises OutputError.
    """
    seen = [(e.track, e.movement, e.motion) for e in events if e.motion is not None]
    arrays: Mapping[str, Any] = {
        "format": np.int64(FORMAT),
        "feature": np.array(feature),
        "track": np.array([track for track, *_ in seen], np.int64),
        "times": np.array([(m.onset, m.apex, m.end) for _, m, _ in seen], np.float64).reshape(-1, 3),
        "motion": np.array([m for *_, m in seen], np.float16) if seen else np.zeros((0, 3, 0, 0), np.float16),
    }
    _write(path, arrays)


def read_motion(path: Path) -> tuple[Frames, list[Tape]]:
    """Reads what ``write_motion`` wrote. Raises SourceError."""
    got = _read(
        path,
        {
            "frame_index": ("i", (-1,)), "frame_time": ("f", (-1,)), "frame_lost": ("i", (-1,)),
            "frame_repeated": ("b", (-1,)), "watch": ("i", (-1, 3)), "index": ("i", (-1,)), "time": ("f", (-1,)),
            "displacement": ("f", (-1, R, 2)), "noise": ("f", (-1, R)), "head": ("f", (-1,)), "eyes": ("f", (-1,)),
            "fit": ("f", (-1,)), "break_at": ("i", (-1, 2)), "break_reason": ("U", (-1,)), "regions": ("U", (R,)),
        },
    )  # fmt: skip
    frames = Frames(*(got[f"frame_{name}"] for name in ("index", "time", "lost", "repeated")))
    rows = len(got["time"])
    lengths = [len(got[name]) for name in ("index", "displacement", "noise", "head", "eyes", "fit")]
    watch, at = got["watch"], got["break_at"]
    if tuple(got["regions"].tolist()) != NAMES:
        raise SourceError(f"{path} has other regions of the face than this version measures")
    if set(lengths) != {rows} or (watch < 0).any() or watch[:, 2].sum() != rows or len({*map(len, _of(frames))}) > 1:
        raise SourceError(f"{path} is damaged: its arrays do not match")
    if len(at) != len(got["break_reason"]) or ((at < 0) | (at >= [[max(len(watch), 1), rows + 1]])).any():
        raise SourceError(f"{path} is damaged: it has a break before any measurement")
    table, tapes, begin = np.empty((rows, WIDTH), np.float32), [], 0
    table[:, DISPLACEMENT], table[:, NOISE] = got["displacement"].reshape(-1, 2 * R), got["noise"]
    table[:, HEAD], table[:, EYES], table[:, FIT] = got["head"], got["eyes"], got["fit"]
    for number, (track, first_id, length) in enumerate(watch.tolist()):
        part = slice(begin, begin + length)
        tape = Tape(first_id, track)
        tape.index.extend(got["index"][part].tolist())
        tape.time.extend(got["time"][part].tolist())
        tape.values.frombytes(table[part].tobytes())
        mine = at[:, 0] == number
        tape.breaks = list(zip(at[mine, 1].tolist(), got["break_reason"][mine].tolist(), strict=True))
        if (np.diff(got["time"][part]) <= 0).any():
            raise SourceError(f"{path} is damaged: its times do not increase")
        tapes.append(tape)
        begin += length
    return frames, tapes


def read_flow(path: Path) -> tuple[str, list[Flow]]:
    """Reads what ``write_flow`` wrote: the feature, and the motion of each event. Raises SourceError."""
    got = _read(
        path, {"feature": ("U", ()), "track": ("i", (-1,)), "times": ("f", (-1, 3)), "motion": ("f", (-1, 3, -1, -1))}
    )
    if not len(got["track"]) == len(got["times"]) == len(got["motion"]):
        raise SourceError(f"{path} is damaged: its arrays do not match")
    motions = got["motion"].astype(np.float32)
    rows = zip(got["track"].tolist(), got["times"].tolist(), motions, strict=True)
    return str(got["feature"]), [Flow(track, on, apex, off, motion) for track, (on, apex, off), motion in rows]


def _of(frames: Frames) -> tuple[NDArray[Any], ...]:
    return frames.index, frames.time, frames.lost, frames.repeated


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    replace_file(path, packed.getvalue())


def _read(path: Path, wanted: Mapping[str, tuple[str, tuple[int, ...]]]) -> Arrays:
    """The arrays of ``wanted``: name -> (kind of its dtype, shape; -1 for any length)."""
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(part.file_size for part in packed.infolist()) > MOST_BYTES:
                raise ValueError(f"it unpacks to more than {MOST_BYTES >> 30} GB")
        with np.load(path, allow_pickle=False) as stored:
            if (version := int(stored["format"])) != FORMAT:
                raise ValueError(f"it is of format {version}, and this version reads {FORMAT}")
            got = {name: np.asarray(stored[name]) for name in wanted}
    except (OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        why = f"it has no array {error}" if isinstance(error, KeyError) else first_line(error)
        raise SourceError(f"{path} cannot be read: {why}") from None
    for name, (kind, shape) in wanted.items():
        array = got[name]
        fits = array.dtype.kind == kind and array.ndim == len(shape)
        if not fits or any(want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)):
            raise SourceError(
                f"{path}: {name} is {array.dtype} {array.shape}, which is not the expected type and shape"
            )
        if kind == "f" and not np.isfinite(array).all():
            raise SourceError(f"{path}: {name} has a value that is not a finite number")
    return got
