"""The papers' modules: their arithmetic, their leaks rebuilt, their recipes, a whole command on a made-up tree."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from made_megc2019 import megc2019

from train import protocols, recipe
from train.cli import main
from train.evaluate import Run, merged
from train.models import MODELS
from train.records import THREE, Clip
from train.reproduce import PAPERS, abrazak2023, common, hata2025, ho2023, peng2018


def clip(dataset: str, subject: str, name: str, file: str = "x.jpg", emotion: str = "disgust") -> Clip:
    return Clip(dataset, subject, name, (Path(file),), None, 0, None, 0.0, (), emotion)


def test_pengs_scores_follow_exactly_from_his_matrices() -> None:
    first, second = peng2018.recomputed("2"), peng2018.recomputed("3")
    assert (round(first.accuracy, 3), round(first.uar, 3)) == (0.544, 0.440)
    assert (round(second.accuracy, 3), round(second.uar, 3)) == (0.578, 0.337)
    assert first.counts.tolist() == [24, 13, 20, 8, 3]
    assert second.counts.tolist() == [25, 15, 99, 26, 20]
    assert round((first.accuracy + second.accuracy) / 2, 3) == 0.561


def test_hos_averages_are_recomputed_and_the_wrong_ones_named() -> None:
    table = ho2023._summary()
    assert any("alexnet" in note and "99.64" in note for note in table.notes)
    assert len(table.notes) == 2


def test_a_frame_split_puts_neighbours_on_both_sides() -> None:
    frames = [clip("casme2", f"sub{s}", f"EP{c}@{i}") for s in range(4) for c in range(2) for i in range(60)]
    share = ho2023.neighbours(frames, protocols.frame_split(frames)[0], within=2)
    assert share > 0.97
    clean = ho2023.neighbours(frames, protocols.subject_split(frames)[0], within=2)
    assert clean == 0


def test_substring_folds_test_more_people_than_one() -> None:
    clips = [clip("smic", f"s{n:02d}", "po_01", f"s{n:02d}_s{n}_po_01.jpg") for n in (1, 2, 11, 12)]
    folds = {fold.name: fold.test for fold in abrazak2023.substring_folds(clips)}
    assert folds["s1"] == (0, 2, 3)  # s1, s11 and s12
    assert folds["s11"] == (2,)
    assert folds["s2"] == (1,)


def test_their_way_of_counting_exceeds_one_where_a_real_uar_cannot() -> None:
    truth = np.array([0, 1, 2, 0, 1])  # clips 0 and 1 are tested twice, all right
    logits = np.eye(3, dtype=np.float32)[truth]
    run = Run(
        "r", "p", THREE, truth, logits, None, ("k",) * 5, ("g",) * 5, ("f",) * 5, (), 0.0, {}, np.ones(5, bool), {}
    )
    _, uar = abrazak2023.printed_way(run, [1, 1, 1])
    assert uar == pytest.approx(5 / 3)
    assert run.scores.uar == 1.0


def test_merged_folds_still_test_everybody_once_and_nobody_on_both_sides() -> None:
    clips = [clip("casme2", f"sub{s:02d}", f"c{k}") for s in range(9) for k in range(s + 1)]
    folds = merged(protocols.loso(clips), 4)
    protocols.check(folds, clips)
    assert len(folds) == 4


def test_ckplus_pictures_are_joined_to_sequences_of_three() -> None:
    stills = [clip("ckplus48", "S010", f"n{i}", f"S010_004_000000{i}.png") for i in (19, 17, 18)]
    (joined,) = hata2025.sequences([*stills, clip("ckplus48", "S010", "x", "S010_006_00000011.png")])
    assert [p.stem[-2:] for p in joined.frames] == ["17", "18", "19"]
    assert (joined.onset, joined.apex) == (0, 2)


@pytest.mark.parametrize("file", sorted(common.RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_every_recipe_reads(file: Path) -> None:
    plan = recipe.load(file)
    assert plan.name == ("flow-default" if file.stem == "default" else file.stem)  # a model's name is the recipe's
    assert plan.model.name in MODELS
    assert plan.about


@pytest.mark.parametrize("paper", PAPERS)
def test_every_paper_has_its_module_and_both_scales(paper: str) -> None:
    module = importlib.import_module(f"train.reproduce.{paper}")
    assert paper == module.PAPER
    assert module.TABLES
    for scale in ("", "-quick"):
        assert (common.RECIPES / f"{paper}{scale}.toml").is_file()


def test_a_quick_recipe_says_what_was_cut() -> None:
    for paper in ("abrazak2023", "ho2023", "ibrahim2020", "hata2025", "peng2018"):
        assert "cut down" in (common.RECIPES / f"{paper}-quick.toml").read_text()
    setting = common.Setting(Path("d"), Path("o"), "quick", True, "")
    for module in (abrazak2023, ho2023, hata2025, peng2018):
        scale = getattr(module, "scale", None) or module._scale
        assert scale(setting).startswith("QUICK, not the paper's")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    megc2019(tmp_path / "data")
    return tmp_path


def test_reproduce_prints_the_leak_beside_the_clean_figure_and_stores_the_run(tree, capsys) -> None:
    words = ["reproduce", "selection", "--data", str(tree / "data"), "--out", str(tree / "runs"), "--quiet"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "QUICK" in printed
    assert "leak:" in printed
    assert "0.860" in printed
    folder = tree / "runs" / "selection-quick"
    stored = json.loads((folder / "tables.json").read_text())
    assert len(stored["1"]["rows"]) == 4
    assert (folder / "labels" / "run.json").is_file()
    assert main(words) == 0
    assert capsys.readouterr().out == printed  # taken from the finished folds
    assert main(["report", str(folder)]) == 0
    assert "epoch chosen on the test fold (a leak)" in (folder / "report.html").read_text()


def test_an_unknown_table_is_one_clear_line(capsys) -> None:
    assert main(["reproduce", "peng2018", "--table", "9"]) == 2
    assert "choose from" in capsys.readouterr().err
