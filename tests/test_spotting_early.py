"""When a movement may be reported before its end: the model, what the detector tells it, and how it is fitted."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_spotting_detector import THREE, Move, Signals, play

from realtime_mer.bench import cases
from realtime_mer.config import SpotConfig
from realtime_mer.errors import DataError
from realtime_mer.records import Status
from realtime_mer.spotting.detector import MovementDetector
from realtime_mer.spotting.early import Evidence, probability
from train.cli import main
from train.commands import early
from train.commands.early import Course, RecordingDetector


def evidence(rise: float = 0.1, strength: float = 3.0, fall: float = 2.0, now: float = 1.0) -> Evidence:
    return Evidence(1, now, 0.9, rise, strength, fall)


def test_what_rose_slowly_is_less_likely_to_be_confirmed() -> None:
    chances = [probability(evidence(rise=rise)) for rise in (0.05, 0.15, 0.3, 0.6)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.9
    assert chances[-1] < 0.1


@pytest.mark.parametrize("broken", [{"strength": 0.0}, {"rise": 1e6}, {"fall": -1e6}], ids=str)
def test_a_probability_stays_one(broken: dict[str, float]) -> None:
    assert 0 <= probability(evidence(**broken)) <= 1


def reports(sure: float) -> list[tuple[float, Any]]:
    spotter = MovementDetector(SpotConfig(early=sure))
    return [(t, m) for t, m in play(THREE, spotter=spotter) if m.status is Status.PROVISIONAL]


def test_the_surer_the_fewer_and_the_later() -> None:
    bold, usual, never = reports(0.0), reports(0.75), reports(1.0)
    assert [m.id for _, m in bold] == [m.id for _, m in usual] == [1, 2, 3]
    assert all(a <= b for (a, _), (b, _) in zip(bold, usual, strict=True))
    assert never == []


def test_the_detector_tells_what_it_knows() -> None:
    """A raised cosine that rises in 0.1 s and falls in 0.2 s."""
    seen: dict[int, list[Evidence]] = {}
    move = Move("inner brow raise", 2.0, 2.1, 2.3, peak=2.0)
    found = play(Signals((move,)), spotter=RecordingDetector(SpotConfig(), into=seen))
    assert [m.status for _, m in found] == [Status.CONFIRMED]  # it reports nothing before the end
    first = seen[1][0]
    assert first.now - first.apex < 0.06
    assert first.apex == pytest.approx(2.1, abs=0.02)
    assert 0.04 < first.rise < 0.12
    assert first.strength > 3
    assert max(row.fall for row in seen[1]) > 4


def courses(people: int = 8) -> list[Course]:
    """Fast movements that are confirmed and slow ones that are not, and some of either that are neither."""
    random = np.random.default_rng(0)
    found = []
    for person in range(people):
        for number in range(20):
            confirmed = bool(number % 3)
            rise = random.uniform(0.05, 0.2) if confirmed else random.uniform(0.15, 0.5)
            seen = tuple(evidence(rise=rise, now=1.0 + 0.01 * i) for i in range(3))
            found.append(Course("made", f"p{person}", seen, confirmed, 0.95, 1.2))
    return found


def test_a_half_is_judged_by_the_other_halfs_model_and_the_model_is_calibrated() -> None:
    model, rows = early.judged(courses())
    assert model[1] < 0  # a long rise speaks against it
    assert [row.threshold for row in rows] == list(early.THRESHOLDS)
    assert [row.early for row in rows] == sorted((row.early for row in rows), reverse=True)
    every, sure = rows[0], rows[-1]
    assert every.early == 1.0
    assert every.withdrawn == pytest.approx(every.expected, abs=0.06)
    assert sure.withdrawn < every.withdrawn
    assert every.delay == pytest.approx((50.0, 50.0))
    assert every.shift == pytest.approx(50.0)


def test_a_movement_that_was_over_at_once_counts_as_not_reported_early() -> None:
    over = [replace(course, seen=()) for course in courses(2) if course.confirmed]
    _, rows = early.judged([*courses(), *over])
    assert 0.7 < rows[0].early < 0.9


def test_whole_streams_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn portraits through the whole pipeline."""
    condition, drawn = next(cases.synthetic(20.0))
    monkeypatch.setattr(early, "_trials", lambda _: [(condition, drawn[0])])
    found = early._noted(argparse.Namespace(quiet=True))
    confirmed = [course for course in found if course.confirmed]
    assert len(confirmed) >= 2
    for course in confirmed:
        assert course.unit == drawn[0].unit
        assert course.seen
        assert all(row.now < course.reported for row in course.seen)


def test_one_kind_alone_is_one_clear_line() -> None:
    with pytest.raises(DataError, match="both confirmed and rejected"):
        early.fitted([course for course in courses() if course.confirmed])


def test_the_command_reads_what_it_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen, out = tmp_path / "seen.json", tmp_path / "early.json"
    seen.write_text(json.dumps({"courses": [asdict(course) for course in courses()]}))
    words = ["early", "--casme2", "no", "no", "--seen", str(seen), "--out", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "early 100 % of" in printed
    assert len(json.loads(out.read_text())["weights"]) == 4
    seen.write_text("{}")
    assert main(words) == DataError.exit_code
