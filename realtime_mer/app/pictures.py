"""JPEG pictures of an event for the page: the face at onset, apex and offset, and where it moved.

They are cut from the last second of frames during the run; nothing is written to disk.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

import cv2

from realtime_mer.records import End, Event, Frame, Image, Observation
from realtime_mer.sinks import Sink
from realtime_mer.sinks.clips import LONGEST, FrameRing
from realtime_mer.sinks.draw import face_crop, motion_picture

CROP: Final = 120  # px
QUALITY: Final = 85


class EventPictures(Sink):
    """Makes the pictures of every final event. made: by event key, data URIs by name; remove what was used."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, int], dict[str, str]] = {}
        self._ring = FrameRing(LONGEST)

    def write(self, observation: Observation, frame: Frame) -> None:
        self._ring.push(frame, tuple(signal.face for signal in observation.faces))
        self._make(observation.events)

    def end(self, end: End) -> None:
        self._make(end.events)

    def close(self) -> None:
        """Does nothing: the pictures stay."""

    def _make(self, events: Iterable[Event]) -> None:
        self.made.update((event.key, self._of(event)) for event in events if event.final)

    def _of(self, event: Event) -> dict[str, str]:
        """onset, apex, offset and the motion that the recognizer saw, as far as they are available."""
        movement = event.movement
        found = {}
        for name, time in (("onset", movement.onset), ("apex", movement.apex), ("offset", movement.offset)):
            near = None if time is None else self._ring.nearest(time, event.track)
            if near is not None:
                found[name] = data_uri(face_crop(near[0].image, near[1].box, CROP))
        onset = self._ring.nearest(movement.onset, event.track)
        if event.motion is not None and onset is not None:
            found["motion"] = data_uri(motion_picture(event.motion, *onset))
        return found


def jpeg(image: Image, quality: int = QUALITY) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def data_uri(image: Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(image)).decode()
