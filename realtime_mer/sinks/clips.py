"""Writes a clip and three stills of every event during the run, from a small ring of frames. No other frames are
kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from realtime_mer.records import End, Event, Face, Frame, Image, Observation, Status
from realtime_mer.sinks import Sink
from realtime_mer.sinks.draw import face_crop, motion_picture, thumbnails
from realtime_mer.sinks.place import make_folder, replace_file
from realtime_mer.sinks.video import VideoFile

LONGEST: Final = (
    2.0  # s from the onset of a micro-expression to its final report, which may have to wait for the recognizer
)
BUDGET: Final = 512 * 2**20  # bytes of frames kept; with larger or more frames the pre-roll is shorter
JPEG_QUALITY: Final = 88  # of the stills: no visible blocks, 10 to 20 kB per strip


class FrameRing:
    """The frames of the last ``seconds``, as far as they fit into ``budget`` bytes, with their faces."""

    def __init__(self, seconds: float, budget: int = BUDGET) -> None:
        self._seconds, self._budget = seconds, budget
        self._items: deque[tuple[Frame, tuple[Face, ...]]] = deque()

    def push(self, frame: Frame, faces: tuple[Face, ...]) -> None:
        self._items.append((frame, faces))
        most = max(1, self._budget // (3 * frame.gray.size))  # a color frame has three bytes per pixel
        while len(self._items) > most or frame.time - self._items[0][0].time > self._seconds:
            self._items.popleft()

    def since(self, time: float) -> list[Frame]:
        """The frames from ``time`` on, oldest first."""
        return [frame for frame, _ in self._items if frame.time >= time]

    def nearest(self, time: float, track: int) -> tuple[Frame, Face] | None:
        """The frame nearest to ``time`` that shows ``track``."""
        seen = [(frame, face) for frame, faces in self._items for face in faces if face.track == track]
        return min(seen, key=lambda item: abs(item[0].time - time), default=None)


@dataclass(slots=True)
class _Open:
    file: VideoFile
    until: float  # source time, s


def clip_name(event: Event, suffix: str = ".mp4") -> str:
    """The file name of an event's clip."""
    return f"event-{event.track}-{event.movement.id}{suffix}"


def to_jpeg(image: Image) -> bytes:
    """The image as JPEG bytes."""
    encoded: bytes = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return encoded


def read_stills(folder: Path, events: Iterable[Event]) -> dict[tuple[int, int], bytes]:
    """The strips that ``Stills`` wrote to ``folder``, as JPEG; unreadable ones are left out."""
    found = {}
    for event in events:
        with suppress(OSError):
            found[event.key] = (folder / clip_name(event, ".jpg")).read_bytes()
    return found


class EventClips(Sink):
    """One video per micro-expression, ``event-FACE-ID.mp4`` in ``folder``, unannotated.

    before, after: pre-roll and post-roll, s. slow: factor of slow motion. rate: of the source, frames/s. Raises
    OutputError when the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        rate: float,
        *,
        before: float = 0.5,
        after: float = 0.5,
        slow: float = 1.0,
        suffix: str = ".mp4",
    ) -> None:
        make_folder(folder)
        self._folder, self._suffix = folder, suffix
        self._rate, self._before, self._after, self._slow = rate, before, after, slow
        self._ring = FrameRing(before + LONGEST)
        self._open: list[_Open] = []

    def write(self, observation: Observation, frame: Frame) -> None:
        self._ring.push(frame, ())
        for clip in self._open:
            clip.file.write(frame.image, frame.time * self._slow)
        for event in observation.events:
            if event.status is Status.CONFIRMED:
                self._start(event)
        for clip in [c for c in self._open if observation.time >= c.until]:
            self._open.remove(clip)
            clip.file.close()

    def end(self, end: End) -> None:
        for event in end.events:
            if event.status is Status.CONFIRMED:
                self._start(event)

    def close(self) -> None:
        while self._open:
            self._open.pop().file.close()

    def _start(self, event: Event) -> None:
        movement = event.movement
        path = self._folder / clip_name(event, self._suffix)
        end = movement.end + self._after
        file = VideoFile(path, self._rate / self._slow)
        for frame in self._ring.since(movement.onset - self._before):
            if frame.time <= end:
                file.write(frame.image, frame.time * self._slow)
        self._open.append(_Open(file, end))


class Stills(Sink):
    """Keeps a strip of images of every micro-expression: onset, apex, offset and motion.

    rejected: also of rejected movements. folder: where strips are written, ``event-FACE-ID.jpg``, for ``read_stills``
    and the report; by default they are kept in memory, in ``strips``: (track, movement id) -> uint8 BGR image. most:
    largest number of events to keep, the first ones, so that memory is bounded.
    """

    def __init__(self, *, size: int = 112, most: int = 500, rejected: bool = False, folder: Path | None = None) -> None:
        self.strips: dict[tuple[int, int], Image] = {}
        self._folder, self._kept = folder, 0
        self._size, self._most, self._rejected = size, most, rejected
        self._ring = FrameRing(LONGEST)

    def write(self, observation: Observation, frame: Frame) -> None:
        self._ring.push(frame, tuple(signal.face for signal in observation.faces))
        self._keep(observation.events)

    def end(self, end: End) -> None:
        self._keep(end.events)

    def _keep(self, events: Iterable[Event]) -> None:
        for event in events:
            wanted = event.status is Status.CONFIRMED or (self._rejected and event.status is Status.REJECTED)
            kept = self._kept if self._folder else len(self.strips)  # the app removes strips as it shows them
            if not wanted or kept >= self._most or (strip := self._strip(event)) is None:
                continue
            self._kept += 1
            if self._folder is None:
                self.strips[event.key] = strip
            else:
                make_folder(self._folder)
                replace_file(self._folder / clip_name(event, ".jpg"), to_jpeg(strip))

    def close(self) -> None:
        """Does nothing: the strips stay."""

    def _strip(self, event: Event) -> Image | None:
        movement = event.movement
        pictures: list[tuple[str, float | None, Image]] = []
        for caption, time in (("onset", movement.onset), ("apex", movement.apex), ("offset", movement.offset)):
            found = None if time is None else self._ring.nearest(time, event.track)
            if found is not None and time is not None:
                frame, face = found
                pictures.append((caption, frame.time, face_crop(frame.image, face.box, self._size)))
        onset = self._ring.nearest(movement.onset, event.track)
        if event.motion is not None and onset is not None:
            heat = cv2.resize(motion_picture(event.motion, *onset), (self._size, self._size))
            pictures.append(("motion", None, np.asarray(heat, np.uint8)))
        return thumbnails(pictures) if pictures else None
