"""Choosing a design inside the training people: the better one is found, and whoever is tested has no say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_default import Known, tree

from realtime_mer.errors import ConfigError, DataError
from train import motion, recipe
from train.cli import main
from train.commands import choose

RECIPE = """
name = "choice"
[data]
name = "casme2"
complete = true
[input]
feature = "flow-uvs/1"
size = 128
[model]
name = "flow-default"
[[stage]]
augment = ["flip-motion"]
epochs = 80
batch = 0
optimizer = "adamw"
schedule = "one-cycle"
weight_decay = 3.0
rate = 1e-9
balance = "weights"
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("choose")
    tree(folder / "data", subjects=3, each=3)
    (folder / "choice.toml").write_text(RECIPE, encoding="utf-8")
    return folder


def call(lab: Path, *words: str) -> int:
    where = ["--data", str(lab / "data"), "--out", str(lab / "runs"), "--quiet", "--threads", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "FaceDetector", Known)
        return main(["choose", str(lab / "choice.toml"), *words, *where])


def test_the_design_that_learns_is_chosen_by_people_who_are_not_tested(lab, capsys) -> None:
    words = ("--vary", "stage.rate=1e-9,0.01", "--outer", "3", "--inner", "2")
    assert call(lab, *words) == 0
    told = capsys.readouterr().out
    assert "chosen 3 times: stage.rate = 0.01" in told
    chosen = float(told.split("own recording: UF1 ")[1].split()[0])
    itself = float(told.split("chosen inside; ")[1].split()[0])
    assert chosen > 0.9 > itself
    kept = sorted((lab / "runs" / "choice-choose").glob("*.json"))
    assert len(kept) == 3 * (2 * 2 + 2)  # for each part: two designs by two inner parts, then both tested
    before = [file.stat().st_mtime_ns for file in kept]
    assert call(lab, *words) == 0
    assert capsys.readouterr().out == told
    assert [file.stat().st_mtime_ns for file in kept] == before


def test_nobody_who_is_tested_is_trained_on(lab, monkeypatch) -> None:
    seen: list[tuple[set[int], set[int]]] = []
    plain = choose._trained

    def watched(plan, data, known, asked, *rest):
        groups = np.asarray(data.samples.groups)
        seen.append((set(groups[known].tolist()), set(groups[asked].tolist())))
        return plain(plan, data, known, asked, *rest)

    monkeypatch.setattr(choose, "_trained", watched)
    assert call(lab, "--vary", "stage.rate=1e-9,0.01", "--outer", "3", "--inner", "2") == 0
    assert len(seen) == 18
    assert not any(known & asked for known, asked in seen)


def test_variations_are_combined_and_the_recipe_itself_comes_first(lab) -> None:
    found = choose.varied(lab / "choice.toml", ["stage.rate=1e-9,0.01", "seed=0,1"])
    assert [(plan.stage[0].rate, plan.seed) for plan in found] == [(1e-9, 0), (1e-9, 1), (0.01, 0), (0.01, 1)]
    assert found[0] == recipe.load(lab / "choice.toml")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--vary", "stage.rate"], "give a key and its values"),
        (["--vary", "stage.speed=1,2"], "unknown key 'speed'"),
        (["--vary", "stage.rate=0.01", "--also", "fog"], "'fog' is no tested condition"),
    ],
)
def test_what_cannot_be_varied_is_one_clear_line(lab, capsys, words, says) -> None:
    assert call(lab, *words) == ConfigError.exit_code
    told = capsys.readouterr().err
    assert says in told


def test_weights_that_know_somebody_are_refused(lab, capsys) -> None:
    assert call(lab, "--vary", 'model.weights="default"') == DataError.exit_code
    assert "casme2/sub01" in capsys.readouterr().err
