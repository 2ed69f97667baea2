"""The papers' modules: their arithmetic, their leaks rebuilt, their recipes, a whole command on a made-up tree."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from made_megc2019 import megc2019

from realtime_mer.errors import ConfigError, DataError, ModelError
from train import models, protocols, recipe, recipe_toml
from train.cli import main
from train.evaluate import Run, merged
from train.models import MODELS
from train.records import THREE, Clip
from train.reproduce import (
    PAPERS,
    abrazak2023,
    common,
    descriptors,
    feature_maps,
    hata2025,
    ho2023,
    ibrahim2020,
    peng2018,
)


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


def test_a_frame_split_puts_neighbors_on_both_sides() -> None:
    frames = [clip("casme2", f"sub{s}", f"EP{c}@{i}") for s in range(4) for c in range(2) for i in range(60)]
    share = ho2023.neighbors(frames, protocols.frame_split(frames)[0], within=2)
    assert share > 0.97
    clean = ho2023.neighbors(frames, protocols.subject_split(frames)[0], within=2)
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


@pytest.mark.parametrize("file", sorted(common.RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_a_recipe_that_is_printed_reads_as_the_same(file: Path) -> None:
    plan = recipe.load(file)
    assert recipe.from_table(tomllib.loads(recipe_toml.text(plan))) == plan


def test_recipes_of_the_rows_are_printed_and_nothing_is_trained(tree, capsys) -> None:
    words = ["reproduce", "selection", "--recipe", "--data", str(tree / "data"), "--out", str(tree / "runs"), "--quiet"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    plan = recipe.from_table(tomllib.loads(printed))
    assert plan.name == "selection-quick-labels"
    assert plan.model.name == "ststnet"
    assert not list((tree / "runs").glob("**/run.json"))


def test_tables_that_cannot_be_made_are_named_and_the_others_are_made(tmp_path: Path, capsys) -> None:
    """No data at all: what is arithmetic is printed, what needs data says so."""
    words = ["reproduce", "peng2018", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "runs"), "--quiet"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "peng2018, table 2:" in told.out
    assert "peng2018, table 3:" in told.out
    for number in "14567":
        assert f"peng2018, table {number}: not run: " in told.err
    assert main([*words, "--table", "4"]) == DataError.exit_code
    assert main(["reproduce", "ho2023", *words[2:], "--table", "6", "--table", "components", "--table", "5"]) == 0


@pytest.mark.realtime
def test_freezing_is_timed_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ho2023, "ROWS", {"squeezenet": "squeezenet"})
    setting = common.Setting(tmp_path, tmp_path, "quick", True, "")
    (row,) = ho2023._time(setting).rows
    assert row[0] == "squeezenet"
    assert all(0 < float(cell) < 2 for cell in row[2:])


def test_data_sets_that_are_there_are_used(tmp_path: Path) -> None:
    def setting() -> common.Setting:
        return common.Setting(tmp_path, tmp_path, "full", True, "")

    def ibrahim() -> tuple[recipe.Recipe, tuple[str, ...]]:
        return ibrahim2020.on_what_is_there(common.load("ibrahim2020", setting()), setting())

    def peng() -> recipe.Recipe:
        return peng2018.on_what_is_there(common.load("peng2018", setting()), setting())

    assert (ibrahim()[0].data.name, len(ibrahim()[1])) == ("casme2", 5)
    assert peng().pretrain.data.name == "ckplus48"
    for name in ("CASME2", "SAMM", "JAFFE", "MUG"):
        (tmp_path / name).mkdir()
    assert (ibrahim()[0].data.name, len(ibrahim()[1])) == ("casme2+samm", 6)
    assert peng().pretrain.data.name == "ckplus48+jaffe+mug"
    (tmp_path / "CK+").mkdir()
    assert peng().pretrain.data.name == "ckplus+jaffe+mug"
    assert peng().pretrain.data.only == ("anger", "disgust", "happiness", "sadness", "surprise")


def test_a_row_without_its_weights_does_not_end_the_table() -> None:
    assert common.attempt(lambda: 3) == 3

    def missing() -> int:
        raise ModelError("ImageNet weights of alexnet are not here")

    assert common.attempt(missing) == "not run: ImageNet weights of alexnet are not here"


def test_an_unknown_table_is_one_clear_line(capsys) -> None:
    assert main(["reproduce", "peng2018", "--table", "9"]) == 2
    assert "choose from" in capsys.readouterr().err


def moving(direction: int, frames: int = 12) -> np.ndarray:
    """Speckle that drifts by a pixel in two frames, to the right (1) or to the left (-1)."""
    speckle = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (80, 160)), (0, 0), 2)
    speckle = (255 * (speckle - speckle.min()) / np.ptp(speckle)).astype(np.uint8)
    shift = (np.arange(frames) * direction) // 2
    return np.stack([speckle[:, 40 - s : 120 - s] for s in shift])


@pytest.mark.parametrize("name", descriptors.DESCRIPTORS)
def test_a_descriptor_tells_movements_apart_and_not_brightness(name: str) -> None:
    """Each block's histogram is a share, so that contrast does not count; where something moves to, does."""
    describe = descriptors.DESCRIPTORS[name]
    right, left, dim = describe(moving(1)), describe(moving(-1)), describe(moving(1) // 2)
    assert right.shape[0] % 25 == 0
    assert np.abs(right - left).sum() > 3 * np.abs(right - dim).sum()
    assert describe(moving(1, frames=1)).shape == right.shape


def test_the_flow_histogram_points_where_the_picture_goes() -> None:
    right = descriptors.hoof(moving(1)).reshape(5, 5, descriptors.TURNS)[2, 2]
    left = descriptors.hoof(moving(-1)).reshape(5, 5, descriptors.TURNS)[2, 2]
    assert right[0] + right[-1] > 0.9  # beside 0 degrees
    assert left[3] + left[4] > 0.9  # beside 180 degrees


def test_feature_maps_are_of_the_printed_size_and_drawn(tmp_path: Path) -> None:
    for name, (_, side, channels, shown) in abrazak2023.FIGURES.items():
        model = models.create(name, 3, size=224)
        maps = feature_maps.of(model, np.zeros((3, 224, 224), np.uint8), "cpu")
        assert maps.shape == (channels, side, side)
        feature_maps.draw(maps, shown, tmp_path / "maps.png")
        height, width = cv2.imread(str(tmp_path / "maps.png"), 0).shape
        assert height // feature_maps.TILE == -(-shown // feature_maps.COLUMNS)
        assert width // feature_maps.TILE == feature_maps.COLUMNS


def test_a_scale_that_a_paper_does_not_have_is_named(capsys) -> None:
    assert main(["reproduce", "ho2023", "--scale", "cpu"]) == ConfigError.exit_code
    assert "ho2023 has no scale cpu: choose from quick, full" in capsys.readouterr().err


@pytest.mark.parametrize("paper", ["abrazak2023", "ibrahim2020", "peng2018"])
def test_the_cpu_scale_says_how_it_differs(paper: str) -> None:
    module = importlib.import_module(f"train.reproduce.{paper}")
    setting = common.Setting(Path("d"), Path("o"), "cpu", True, "")
    scale = module._scale(common.load(paper, setting), setting) if paper == "ibrahim2020" else None
    scale = scale or (getattr(module, "scale", None) or module._scale)(setting)
    assert scale.startswith("CPU: ")
    assert common.load(paper, setting).input.size == (112 if paper == "abrazak2023" else 224)


@pytest.mark.parametrize("paper", ["ibrahim2020", "peng2018"])
def test_the_folds_of_the_cpu_scale_keep_what_they_promise(paper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the guard would check before an hour of training."""
    words = ("happiness", "surprise", "disgust", "repression", "others")
    clips = [
        dataclasses.replace(clip(dataset, f"sub{s:02}", f"EP{i}", emotion=word), objective=kind)
        for dataset in ("casme2", "samm")
        for s in range(8)
        for i, (word, kind) in enumerate(zip(words, peng2018.MEGC2018, strict=True))
    ]
    seen = []

    def row(_plan, data, folds, *_, clean=True, once=True, **_others):
        protocols.check(folds, data.clips, subject_disjoint=clean, once=once)
        seen.append(len(folds))
        raise DataError("nothing is trained here")

    monkeypatch.setattr(common, "row", row)
    monkeypatch.setattr(common, "inputs", lambda clips, *_: taking(clips))
    monkeypatch.setattr(common, "macro_start", lambda *_: None)
    setting = common.Setting(Path("d"), Path("o"), "cpu", True, "")
    one = taking([clip for clip in clips if clip.dataset == "casme2"])
    run = {
        "peng2018": lambda: peng2018._holdout(clips, setting),
        "ibrahim2020": lambda: ibrahim2020._runs(common.load(paper, setting), one, setting, "subjects"),
    }[paper]
    with pytest.raises(DataError, match="nothing is trained"):
        run()
    assert seen == [1]


def taking(clips):
    """Stands for prepared inputs: the clips, and a part of them."""
    return SimpleNamespace(clips=clips, take=lambda chosen: taking([clips[i] for i in chosen]))


@pytest.fixture
def page_of_papers(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "docs")
    spec = importlib.util.spec_from_file_location("papers", Path(__file__).parents[1] / "docs" / "papers.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_run_takes_the_place_of_the_tables_it_made_anew(page_of_papers, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(page_of_papers, "DATA", tmp_path)
    run = tmp_path / "runs" / "peng2018-quick" / "tables.json"
    run.parent.mkdir(parents=True)
    table = {"number": "4", "title": "t", "columns": ["a"], "rows": [["1|2"]], "notes": ["n"], "scale": "s"}
    for cell in ("first", "1|2"):
        run.write_text(json.dumps({"4": {**table, "rows": [[cell]], "runs": ["/here"]}, "components": table}))
        page_of_papers.take(run)
    assert json.loads((tmp_path / "peng2018-quick.json").read_text()) == {"4": {**table, "runs": []}}
    assert "| 1\\|2 |" in page_of_papers.drawn()
