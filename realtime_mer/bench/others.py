"""Scores another program's events as ours are: a table in the format of the MEGC spotting challenge.

Frame numbers follow the challenge: a movement includes its last frame, and there are no minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from realtime_mer.bench.annotations import read_expressions
from realtime_mer.bench.spotting import Found, Row, StreamResult
from realtime_mer.errors import DataError
from realtime_mer.records import Kind
from realtime_mer.sheets import frame_number, rows
from realtime_mer.spotting.scores import Movement

_ANSWERED: Final = {"video": ("vid",), "onset": ("pred_onset",), "offset": ("pred_offset",), "type": ("type",)}
MICRO: Final = ("me", "2")


def score_others(answers: Path, name: str, sheet: Path) -> tuple[Row, list[str]]:
    """The micro-expressions of ``answers`` (vid, pred_onset, pred_offset, type) against the annotated ones.

    name: data set of ``sheet``, as in ``read_expressions``, whose names of videos vid uses. Also returns lines for what
    was left out. Raises DataError when a table cannot be read, or the two have no video in common.
    """
    expressions, wrong = read_expressions(name, sheet)
    truth = [e for e in expressions if e.kind is Kind.MICRO]
    found: dict[str, list[Found]] = {}
    unusable = 0
    for _, row in rows(answers, _ANSWERED):
        onset, offset = frame_number(row["onset"]), frame_number(row["offset"])
        if str(row["type"]).strip().lower() not in MICRO:
            continue
        if onset is None or offset is None or offset < onset:
            unusable += 1
            continue
        # half a frame on each side: from the start of the first frame to the end of the last
        times = onset - 0.5, (onset + offset) / 2, offset + 0.5
        found.setdefault(str(row["video"]).strip(), []).append(Found(*times, Kind.MICRO.value, "", 0.0, None, ()))
    videos = {e.video for e in expressions}
    if found and not videos & found.keys():
        ours, theirs = min(videos, default="none"), min(found)
        raise DataError(f"{answers} and {sheet} have no video in common ({theirs} against {ours})")
    streams = [
        StreamResult(
            *(video, video.replace("/", "_").split("_")[0], 0.0),
            tuple(Movement(video, e.onset - 0.5, e.offset + 0.5, e.apex) for e in truth if e.video == video),
            tuple(found.get(video, ())),
        )
        for video in sorted(videos | found.keys())
    ]
    notes = [f"{wrong} annotated rows are invalid and are left out"] if wrong else []
    notes += [f"{unusable} answers are not intervals and are left out"] if unusable else []
    return Row("in frames", answers.stem, streams=streams), notes
