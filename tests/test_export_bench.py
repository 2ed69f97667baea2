"""Networks on every back end: the command measures, compares with torch, and says what it could not run."""

import pytest

from export.__main__ import main
from export.bench import measure


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(measure, "BATCHES", (1, 2))
    monkeypatch.setattr(measure, "ROUNDS", 3)


@pytest.mark.usefixtures("quick")
def test_each_back_end_is_timed_and_compared_with_torch(tmp_path, capsys):
    out = tmp_path / "a" / "table.md"
    assert main(["bench", "--networks", "ststnet", "--seconds", "0", "--out", str(out)]) == 0
    text = out.read_text()
    assert text == capsys.readouterr().out
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith(("| ststnet", "| default"))]
    ran = {(row[0].strip(), row[1].strip(), int(row[2])) for row in rows}
    # the shipped model is an ONNX file: torch does not run it
    for network, names in (
        ("ststnet", (measure.TORCH, measure.ORT, measure.OURS)),
        ("default (shipped)", (measure.ORT, measure.OURS)),
    ):
        assert {(network, name, batch) for name in names for batch in measure.BATCHES} <= ran
    for row in rows:
        if row[1].strip() in (measure.ORT, measure.OURS):
            assert float(row[9]) < 1e-4
            assert row[10].strip() == "100.0%"
    assert "Random weights, noise as input." in text
    assert "no NVIDIA GPU was available" in text or "TensorRT" in text


def test_an_unknown_network_is_one_line(tmp_path, capsys):
    assert main(["bench", "--networks", "none", "--out", str(tmp_path / "t.md")]) == 2
    assert "unknown model 'none'" in capsys.readouterr().err
