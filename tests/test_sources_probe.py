"""The probe: what is reported of a known recording, and when it warns."""

from __future__ import annotations

import html
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from source_media import MjpegServer

from realtime_mer.cli import main
from realtime_mer.errors import SourceError
from realtime_mer.records import Frame
from realtime_mer.sinks.jsonl import read_jsonl
from realtime_mer.sources import ArraySource, open_source, probe
from realtime_mer.sources.delivery import Deliveries
from realtime_mer.synth import write_video

BLACK = np.zeros((48, 64), np.uint8)


def source(times: list[float]) -> ArraySource:
    return ArraySource([BLACK] * len(times), times)


def test_rate_and_jitter_come_from_the_times() -> None:
    times = [index * 0.005 for index in range(101)]
    times[50] += 0.002
    report = probe(source(times), seconds=60)
    assert report.delivery.achieved_fps == pytest.approx(200)
    assert (report.delivery.median_ms, report.delivery.max_ms) == (pytest.approx(5), pytest.approx(7))
    assert report.warnings == ()
    assert json.loads(json.dumps(report.to_dict()))["size"] == [64, 48]
    assert "200.00 frames/s achieved" in report.text()


@pytest.mark.parametrize(("fps", "says"), [(15, "cannot resolve"), (30, "coarsely")])
def test_it_warns_when_micro_expressions_cannot_be_resolved(fps: int, says: str) -> None:
    report = probe(source([index / fps for index in range(60)]))
    assert says in report.warnings[0]
    assert says in report.text()


@pytest.mark.parametrize("doubled", [1, 2])
def test_quantiles_are_those_of_all_intervals(doubled: int) -> None:
    random = np.random.default_rng(doubled)
    times = np.cumsum(random.gamma(4.0, 0.002, 3000)).round(5)
    seen = probe(source(times.tolist()), 60).delivery
    found = [seen.median_ms, seen.p95_ms, seen.p99_ms]
    assert found == pytest.approx(np.quantile(np.diff(times) * 1000, (0.5, 0.95, 0.99)).tolist(), abs=0.011)


def test_short_movements_are_resolved_where_new_frames_come_often_enough() -> None:
    def resolved(times: list[float], doubled: int = 1) -> tuple[float, str]:
        seen = Deliveries()
        for index, time in enumerate(times):
            seen.push(Frame(index, time, BLACK, repeated=index % doubled != 0))
        result = seen.result(source(times).info, None)
        assert result is not None
        return result.resolved, result.verdict

    steady = [index * 0.01 for index in range(301)]
    assert resolved(steady)[0] == pytest.approx(1)
    assert "can be resolved: 100 %" in resolved(steady)[1]
    share, says = resolved([t for t in steady if not 1.0 < t < 1.6])  # a hole of 0.6 s in 3 s
    assert share == pytest.approx(0.8, abs=0.001)
    assert "can only in part be resolved" in says
    assert resolved([index / 30 for index in range(90)])[0] == 0
    assert resolved(steady, 2)[0] == pytest.approx(1)  # 50 new frames/s are enough
    share, says = resolved(steady, 4)
    assert share == 0
    assert "cannot be resolved" in says


def test_the_certificate_the_log_and_the_report_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.mp4"
    pictures = [np.full((96, 128, 3), 40 + 3 * (i % 50), np.uint8) for i in range(101)]
    write_video([Frame(i, i / 50, p[:, :, 0], lambda p=p: p) for i, p in enumerate(pictures)], clip)
    kept, plain = tmp_path / "kept.json", tmp_path / "kept.txt"
    assert main(["probe", str(clip), "--for", "60", "--certificate", str(kept)]) == 0
    assert main(["probe", str(clip), "--for", "60", "--certificate", str(plain)]) == 0
    assert main(["analyze", str(clip), "--out", str(tmp_path), "--model", "none", "--no-video"]) == 0
    capsys.readouterr()
    certificate = json.loads(kept.read_text())
    log = read_jsonl(tmp_path / "clip" / "events.jsonl")
    assert log.summary is not None
    assert log.summary.delivery is not None
    values = {key: value for key, value in asdict(log.summary.delivery).items() if key not in ("missed", "losses")}
    assert values == {key: certificate[key] for key in values}
    assert certificate["verdict"] == log.summary.delivery.verdict
    assert certificate["achieved_fps"] == pytest.approx(50)
    text = plain.read_text()
    assert text.startswith("Drop certificate")
    assert "50.00 frames/s achieved" in text
    assert "known by     as far as the recording shows them" in text
    page = html.unescape((tmp_path / "clip" / "report.html").read_text())
    assert log.summary.delivery.line in page


def test_it_stops_after_the_seconds_asked_for() -> None:
    assert probe(source([index * 0.01 for index in range(1000)]), seconds=2).delivery.seconds == pytest.approx(2)


def test_one_frame_has_no_rate() -> None:
    with pytest.raises(SourceError, match="at least two"):
        probe(source([0.0]))


def test_a_stream_is_measured_live() -> None:
    with MjpegServer(100) as server, open_source(server.uri) as stream:
        report = probe(stream, seconds=1)
    assert report.delivery.achieved_fps == pytest.approx(100, rel=0.1)
    assert report.delivery.dropped == 0
    assert report.delivery.timestamp == "taken when the frame had arrived"
