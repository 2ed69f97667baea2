"""The commands as a user types them: on small made-up trees, and when something is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from made_megc2019 import megc2019

from train import checkpoint, checks, gather, recipe, runs
from train.cli import main

RECIPE = """
name = "tiny"
seed = 1
[data]
name = "megc2019-maps"
[input]
size = 28
[model]
name = "ststnet"
[[stage]]
epochs = 2
batch = 8
rate = 0.01
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    megc2019(tmp_path / "data")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def call(tree: Path, *words: str) -> int:
    return main([*words, "--data", str(tree / "data"), "--out", str(tree / "runs"), "--quiet"])


def test_evaluate_prints_scores_beside_the_trivial_ones_and_report_makes_a_page(tree, capsys) -> None:
    assert call(tree, "evaluate", str(tree / "tiny.toml"), "--protocol", "loso") == 0
    printed = capsys.readouterr().out
    assert "majority" in printed
    assert "95 % interval" in printed
    folder = tree / "runs" / "tiny-loso"
    run = runs.load(folder)
    assert len(run.truth) == 18
    assert len(set(run.folds)) == 3
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "confusion matrix" in page
    assert all(f"<td>{label}</td>" in page for label in run.labels)
    assert "src=" not in page  # nothing is loaded from elsewhere
    assert "<link" not in page


def test_finished_folds_are_not_trained_again(tree, capsys) -> None:
    call(tree, "evaluate", str(tree / "tiny.toml"))
    first = capsys.readouterr().out
    stamps = [p.stat().st_mtime_ns for p in sorted((tree / "runs" / "tiny-loso" / "folds").iterdir())]
    call(tree, "evaluate", str(tree / "tiny.toml"))
    assert capsys.readouterr().out == first
    assert stamps == [p.stat().st_mtime_ns for p in sorted((tree / "runs" / "tiny-loso" / "folds").iterdir())]


def test_fit_writes_a_model_file_that_opens(tree) -> None:
    assert call(tree, "fit", str(tree / "tiny.toml")) == 0
    model, spec = checkpoint.load(tree / "runs" / "tiny" / "model.pt")
    assert spec.labels == ("negative", "positive", "surprise")
    assert spec.feature == "maps-uvs/1"
    assert not model.training


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (("epochs = 2", "epochz = 2"), 2, "did you mean 'epochs'"),
        (('name = "ststnet"', 'name = "stsnet"'), 2, "unknown model"),
        (("epochs = 2", 'epochs = "two"'), 2, "must be of type int"),
        (("epochs = 2", "epochs = 0"), 2, "above 0"),
        (("rate = 0.01", "rate = 0.01\npatience = 2"), 2, "needs validation"),
        (("[model]", "validation = 0.2\n[model]"), 2, "unknown key 'validation'"),
        (("seed = 1", "seed = 1\nvalidation = 0.2"), 2, "validation has no effect without patience"),
        (("rate = 0.01", "rate = 0.01\nmomentum = 0.9"), 2, "momentum has no effect unless optimizer is sgd"),
        (("rate = 0.01", "rate = 0.01\nevery = 3"), 2, "every and factor have an effect only together"),
        (('name = "megc2019-maps"', 'name = "megc2019-maps"\ntwins = 2'), 2, "only with several data sets"),
        (
            ('name = "ststnet"', 'name = "ststnet"\nweights_know = "nobody"'),
            2,
            "applies only to weights from a file",
        ),
        (("size = 28", "size = 28\napex_moves_s = [0.1]"), 2, "apex_moves_s has no effect unless feature is"),
        (("size = 28", 'size = 28\ncrop = "face"'), 2, "crop has no effect on the feature maps-uvs/1: remove it"),
        (("size = 28", 'size = 28\napex = "middle"'), 2, "apex has no effect on the feature maps-uvs/1: remove it"),
        (("rate = 0.01", "rate = 0.01\n[none]"), 2, "[none] needs the feature"),
        (('name = "ststnet"', 'name = "ststnet"\nattention = true'), 2, "only the model hata-resnet has"),
        (("rate = 0.01", 'rate = 0.01\nloss = "arcface"'), 2, "needs model.head = 'arcface'"),
        (("rate = 0.01", "rate = 0.01\ngamma = 1.0"), 2, "gamma has no effect unless loss is focal"),
        (
            ("rate = 0.01", 'rate = 0.01\nschedule = "one-cycle"\nevery = 3\nfactor = 0.5'),
            2,
            "every has no effect unless schedule is step",
        ),
        (('"megc2019-maps"', '"megc2019-maps+megc2019-maps"'), 2, "name has a data set twice"),
        (("[data]", "[data"), 2, "cannot be read"),
        (('name = "tiny"', 'name = "../../tiny"'), 2, "name becomes a folder"),
        (('name = "megc2019-maps"', 'name = "casme2"'), 7, "is not in"),
        (('name = "megc2019-maps"', 'name = "casme9"'), 7, "unknown data set"),
    ],
)
def test_a_wrong_recipe_is_one_clear_line(tree, capsys, change, code, says) -> None:
    (tree / "tiny.toml").write_text(RECIPE.replace(*change))
    assert call(tree, "evaluate", str(tree / "tiny.toml")) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("python -m train: ")
    assert says in error
    assert "\n" not in error
    if code == 2:
        assert "tiny.toml" in error


@pytest.mark.parametrize("command", ["evaluate", "fit"])
def test_weights_that_name_nobody_are_refused_before_anything_is_trained(tree, capsys, monkeypatch, command) -> None:
    torch.save({"a": torch.zeros(1)}, tree / "plain.pth")
    weights = f'name = "ststnet"\nweights = "{tree / "plain.pth"}"'
    (tree / "tiny.toml").write_text(RECIPE.replace('name = "ststnet"', weights))
    monkeypatch.setattr("train.fit.fit", None)
    monkeypatch.setattr("train.inputs.prepare", None)
    assert call(tree, command, str(tree / "tiny.toml")) == 2
    assert "does not say who it was trained on" in capsys.readouterr().err


def test_two_spellings_of_a_subject_are_warned_of(tree, capsys, monkeypatch) -> None:
    read = gather.one

    def alike(name, folder):
        clips = read(name, folder)
        return [*clips, dataclasses.replace(clips[0], subject="S" + clips[0].subject.removeprefix("sub"))]

    monkeypatch.setattr(gather, "one", alike)
    assert call(tree, "fit", str(tree / "tiny.toml")) == 0
    assert "S01 and sub01 the same person" in capsys.readouterr().err


def test_every_recipe_that_ships_loads_and_fits_its_network() -> None:
    files = sorted(Path(recipe.__file__).with_name("recipes").glob("*.toml"))
    assert len(files) > 10
    for file in files:
        assert checks.completed(recipe.load(file), file.name).input.size


def test_wrong_places_are_one_clear_line(tree, capsys) -> None:
    recipe = str(tree / "tiny.toml")
    assert call(tree, "evaluate", str(tree / "none.toml")) == 2
    assert main(["evaluate", recipe, "--data", str(tree / "nowhere"), "--out", str(tree / "runs")]) == 7
    assert main(["report", str(tree / "nowhere")]) == 7
    assert main(["report", str(tree)]) == 7
    assert call(tree, "evaluate", recipe, "--device", "cuda:9") == 5
    assert capsys.readouterr().err.count("\n") == 5
    for words in (["dance"], []):
        with pytest.raises(SystemExit) as done:  # argparse's own way out
            main(words)
        assert done.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_column_and_a_corrupt_picture_are_named(tree, capsys) -> None:
    recipe = str(tree / "tiny.toml")
    root = tree / "data" / "megc2019"
    bad = root / "STSNet_whole_norm_u_v_os" / "sub02_EP03.png"
    bad.write_bytes(b"not a picture")
    assert call(tree, "evaluate", recipe) == 7
    assert bad.name in capsys.readouterr().err
    sheet = root / "combined_3_class2_for_optical_flow.csv"
    sheet.write_text(sheet.read_text().replace("label", "lable", 1))
    assert call(tree, "evaluate", recipe) == 7
    assert "label" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_done_and_says_so(tree, capsys, monkeypatch) -> None:
    from train import fit

    real, count = fit.predict, 0

    def interrupted(*args):
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(fit, "predict", interrupted)
    assert call(tree, "evaluate", str(tree / "tiny.toml")) == 130
    assert "finished folds are kept" in capsys.readouterr().err
    assert [p.name for p in (tree / "runs" / "tiny-loso" / "folds").glob("*.json")] == ["000.json"]
    monkeypatch.setattr(fit, "predict", real)
    assert call(tree, "evaluate", str(tree / "tiny.toml")) == 0


def test_a_run_is_plain_json(tree) -> None:
    call(tree, "evaluate", str(tree / "tiny.toml"))
    text = (tree / "runs" / "tiny-loso" / "run.json").read_text()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads(text, parse_constant=refuse)
