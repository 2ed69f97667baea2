"""Pages whose tables are drawn from data: they show what is in it."""

import importlib
import importlib.util
import json
from pathlib import Path

import pytest

from realtime_mer.bench.results import Result, series
from realtime_mer.spotting.early import WEIGHTS

DOCS = Path(__file__).parents[1] / "docs"


def script(name, monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["papers", "speed", "early", "backends"])
def test_a_page_shows_what_is_in_its_data(name, monkeypatch):
    drawing = script(name, monkeypatch)
    text = drawing.PAGE.read_text(encoding="utf-8")
    assert drawing.page(text) == text, f"run python docs/{name}.py"


def test_the_shipped_weights_are_those_that_were_fitted():
    fitted = json.loads((DOCS / "data" / "early.json").read_text())["weights"]
    assert pytest.approx(fitted, rel=2e-3) == WEIGHTS


def test_a_measured_speed_is_added_and_takes_the_place_of_its_namesake(tmp_path, monkeypatch):
    speed = script("speed", monkeypatch)
    monkeypatch.setattr(speed, "DATA", tmp_path / "speed.json")
    monkeypatch.setattr(speed, "PAGE", tmp_path / "page.md")
    begin, end = importlib.import_module("drawn").marks(speed.SCRIPT)
    (tmp_path / "page.md").write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    for rate in (100.0, 200.0):
        lines = [
            series(f"clip: {name}", "", "", [value])
            for name, value in (
                ("pipeline", rate), ("floor", 400.0), ("pipeline, processor", 2.0), ("floor, processor", 1.0),
            )
        ]  # fmt: skip
        facts = {"clip": {"ratio to the floor": rate / 400, "frames per core-second": 90, "cores used": 1.5}}
        day = f"2026-01-0{rate / 100:.0f}T12:00:00+00:00"
        made = Result("throughput", {}, facts, tuple(lines), {"cpu": "made", "cores": 2}, created=day)
        made.save(tmp_path / "r.json")
        assert speed.main(["--add", str(tmp_path / "r.json"), "once" if rate < 150 else "twice"]) == 0
    assert speed.main(["--add", str(tmp_path / "r.json"), "twice"]) == 0
    assert [entry["what"] for entry in json.loads((tmp_path / "speed.json").read_text())] == ["once", "twice"]
    text = (tmp_path / "page.md").read_text()
    assert "ratio on 2026-01-01 |" in text
    assert "| clip | 200 | 0.5 | 2.0 | 1.5 | 0.25 |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
