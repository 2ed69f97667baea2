"""The probe: what is reported of a known recording, and when it warns."""

from __future__ import annotations

import json

import numpy as np
import pytest
from source_media import MjpegServer

from realtime_mer.errors import SourceError
from realtime_mer.sources import ArraySource, open_source, probe

BLACK = np.zeros((48, 64), np.uint8)


def source(times: list[float]) -> ArraySource:
    return ArraySource([BLACK] * len(times), times)


def test_rate_and_jitter_come_from_the_times() -> None:
    times = [index * 0.005 for index in range(101)]
    times[50] += 0.002
    report = probe(source(times), seconds=60)
    assert report.achieved_fps == pytest.approx(200)
    assert (report.median_ms, report.max_ms) == (pytest.approx(5), pytest.approx(7))
    assert report.warnings == ()
    assert json.loads(json.dumps(report.to_dict()))["size"] == [64, 48]
    assert "200.00 frames/s achieved" in report.text()


@pytest.mark.parametrize(("fps", "says"), [(15, "cannot resolve"), (30, "coarsely")])
def test_it_warns_when_micro_expressions_cannot_be_resolved(fps: int, says: str) -> None:
    report = probe(source([index / fps for index in range(60)]))
    assert says in report.warnings[0]
    assert says in report.text()


def test_it_stops_after_the_seconds_asked_for() -> None:
    assert probe(source([index * 0.01 for index in range(1000)]), seconds=2).seconds == pytest.approx(2)


def test_one_frame_has_no_rate() -> None:
    with pytest.raises(SourceError, match="at least two"):
        probe(source([0.0]))


def test_a_stream_is_measured_live() -> None:
    with MjpegServer(100) as server, open_source(server.uri) as stream:
        report = probe(stream, seconds=1)
    assert report.achieved_fps == pytest.approx(100, rel=0.1)
    assert report.dropped == 0
    assert report.timestamp == "taken when the picture had arrived"
