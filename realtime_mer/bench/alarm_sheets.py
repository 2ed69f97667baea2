"""Writes a contact sheet of each false alarm: the aligned face from before the onset to after the offset.

Written only on request, because the sheets show people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from realtime_mer.bench.spotting import Case, Found, StreamResult
from realtime_mer.errors import OutputError
from realtime_mer.face.align import alignable, similarity
from realtime_mer.face.detect import FaceDetector
from realtime_mer.face.regions import SIZE
from realtime_mer.records import Frame, Image

BEFORE_S: Final = 0.2
AFTER_S: Final = 0.2
PICTURES: Final = 8
ZOOM: Final = 2  # of the aligned face
CAPTION: Final = 20  # px, height of a line of text
QUALITY: Final = 90


def draw_alarms(case: Case, result: StreamResult, folder: Path) -> None:
    """Writes ``folder``/NAME-ONSET.jpg for every alarm of ``result``, unless it is there. Raises OutputError."""
    wanted = {folder / f"{_plain(result.name)}-{alarm.onset:08.3f}s.jpg": alarm for alarm in result.alarms()}
    wanted = {path: alarm for path, alarm in wanted.items() if not path.exists()}
    if not wanted:
        return
    times = {path: _times(alarm) for path, alarm in wanted.items()}
    frames = _nearest(case.frames(), sorted({time for of_one in times.values() for time in of_one}))
    with FaceDetector(max_faces=1) as detector:
        for path, alarm in wanted.items():
            shown = [(time, frames[time]) for time in times[path] if time in frames]
            _save(path, _sheet(alarm, result.name, shown, detector))


def _times(alarm: Found) -> list[float]:
    """Evenly spaced times, s, with the apex in place of the nearest."""
    times = np.linspace(max(alarm.onset - BEFORE_S, 0.0), alarm.offset + AFTER_S, PICTURES)
    times[int(np.abs(times - alarm.apex).argmin())] = alarm.apex
    return [float(time) for time in times]


def _nearest(frames: Iterable[Frame], times: Sequence[float]) -> dict[float, Frame]:
    """The first frame at or after each time (ascending); the last frame for those past the end."""
    found: dict[float, Frame] = {}
    waiting: Iterator[float] = iter(times)
    time = next(waiting, None)
    frame = None
    for frame in frames:
        while time is not None and frame.time >= time - 1e-6:
            found[time] = frame
            time = next(waiting, None)
        if time is None:
            return found
    while time is not None and frame is not None:
        found[time] = frame
        time = next(waiting, None)
    return found


def _sheet(alarm: Found, name: str, shown: Sequence[tuple[float, Frame]], detector: FaceDetector) -> Image:
    """One row of faces, all aligned as in the first frame with a face, with the times below and a line of text
    above."""
    transform = None
    for _, frame in shown:
        faces = detector.detect(frame)
        if faces and alignable(faces[0].points):
            transform = similarity(faces[0].points) * ZOOM
            break
    side = SIZE * ZOOM
    cells = []
    for time, frame in shown:
        if transform is None:
            cell = cv2.resize(frame.image, (side, side), interpolation=cv2.INTER_AREA)
        else:
            cell = cv2.warpAffine(frame.image, transform, (side, side), borderMode=cv2.BORDER_REPLICATE)
        words = f"{time:.3f} s" + (" apex" if time == alarm.apex else "")
        cells.append(np.vstack([cell, _text(words, side)]))
    row = np.hstack(cells) if cells else np.zeros((side, side, 3), np.uint8)
    title = (
        f"{name}: {alarm.onset:.3f} - {alarm.apex:.3f} - {alarm.offset:.3f} s, {alarm.strength:.2f} px, "
        f"{alarm.label or 'no label'}; {', '.join(alarm.cues) or 'no cues'}"
    )
    return np.asarray(np.vstack([_text(title, row.shape[1]), row]), np.uint8)


def _text(words: str, width: int) -> Image:
    line = np.zeros((CAPTION, width, 3), np.uint8)
    plain = words.encode("ascii", "replace").decode()
    cv2.putText(line, plain, (4, CAPTION - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return line


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def _save(path: Path, image: Image) -> None:
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes() if ok else b"")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
