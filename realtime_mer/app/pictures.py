"""What an event looked like: the face at onset, apex and offset, and where it moved, as JPEG for a page.

Pictures are cut from the last second of frames while they stream; nothing is written anywhere.
"""

from __future__ import annotations

import base64
from typing import Final

import cv2

from realtime_mer.face.align import similarity, warp
from realtime_mer.motion.flow import flow_uvs
from realtime_mer.records import Event, Frame, Image, Observation, Status
from realtime_mer.sinks.clips import LONGEST, FrameRing
from realtime_mer.sinks.draw import face_crop, heat_map

CROP: Final = 120  # px
QUALITY: Final = 85


class EventPictures:
    """``see`` every frame with its observation, then ask for the pictures of an event reported in it."""

    def __init__(self) -> None:
        self._ring = FrameRing(LONGEST)

    def see(self, observation: Observation, frame: Frame) -> None:
        self._ring.push(frame, tuple(signal.face for signal in observation.faces))

    def of(self, event: Event) -> dict[str, str]:
        """Data URIs by name: onset, apex, offset, and motion for a micro-expression; those that can be had."""
        span = event.span
        found = {}
        for name, time in (("onset", span.onset), ("apex", span.apex), ("offset", span.offset)):
            near = None if time is None else self._ring.nearest(time, event.track)
            if near is not None:
                found[name] = data_uri(face_crop(near[0].image, near[1].box, CROP))
        if span.status is Status.CONFIRMED:
            onset, apex = (self._ring.nearest(t, event.track) for t in (span.onset, span.apex))
            if onset is not None and apex is not None:
                pair = [warp(frame.gray, similarity(face.points)) for frame, face in (onset, apex)]
                found["motion"] = data_uri(heat_map(flow_uvs(pair[:1], pair[1:]), pair[0]))
        return found


def jpeg(image: Image, quality: int = QUALITY) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def data_uri(image: Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(image)).decode()
