"""Observations and events as the small JSON that the page draws from. docs/app.md describes the fields."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from realtime_mer.face.align import similarity
from realtime_mer.face.regions import REGIONS
from realtime_mer.records import Event, FaceSignal, SourceInfo
from realtime_mer.sinks.event_json import to_json
from realtime_mer.sinks.text import event_line, event_words

PLACES: Final = [list(region.points) for region in REGIONS]


def face(signal: FaceSignal) -> dict[str, Any]:
    """One face: box and regions in px of the frame, and the displacement of each region (px of the frame)."""
    points = signal.face.points
    regions: list[list[float]] = []
    if signal.activity is not None:
        to_picture = np.linalg.inv(similarity(points)[:, :2])
        moves = signal.activity.displacement @ to_picture.T
        size = np.hypot(*signal.activity.displacement.T)  # px of the aligned face; sets how strongly it is drawn
        for place, (dx, dy), moved in zip(PLACES, moves, size, strict=True):
            x, y = points[place].mean(axis=0)
            regions.append([round(float(v), 2) for v in (x, y, dx, dy, moved)])
    return {
        "track": signal.face.track,
        "box": [round(v, 1) for v in signal.face.box],
        "note": signal.note,
        "regions": regions,
    }


def event(found: Event, pictures: dict[str, str]) -> dict[str, Any]:
    """One event as in the log, plus its text. pictures: data URIs by name."""
    return {
        **to_json(found),
        "words": event_words(found),
        "line": event_line(found),
        "coded": found.coded,
        "key": f"{found.track}-{found.movement.id}",
        "pictures": pictures,
    }


def started(info: SourceInfo, model: str, provider: str, why: str) -> dict[str, Any]:
    return {
        "type": "started",
        "source": info.uri,
        "kind": info.kind,
        "size": list(info.size),
        "clock": info.clock,
        "model": model,
        "provider": provider,
        "why": why,
    }
