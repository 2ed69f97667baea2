"""The default recognizer by the general stack: from a tree of data to a file that the runtime opens, and its card."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from made_default import Known, tree

from export.__main__ import main as export
from realtime_mer import recognize
from realtime_mer.errors import ConfigError
from train import capture, checkpoint, gather, heads, models, motion, none, recipe, runs
from train.cli import main
from train.commands import default
from train.models.flow_default import CELLS, SCALE, cell_means, describe, mirrored
from train.recipe import Head

PLAN = recipe.load(default.RECIPE)


def call(out: Path, *words: str) -> int:
    return main([*words, "--data", str(out / "data"), "--out", str(out / "runs"), "--quiet", "--threads", "1"])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with the made-up data and all that ``train default`` made of it, with fewer steps and inner splits."""
    out = tmp_path_factory.mktemp("default")
    tree(out / "data")
    text = default.RECIPE.read_text(encoding="utf-8")
    short_for = {"epochs = 150": "epochs = 80", "inner = 10": "inner = 2", "outer = 8": "outer = 2"} | {
        "least = 9": "least = 3"
    }
    for long, short in short_for.items():
        assert long in text
        text = text.replace(long, short)
    (out / "default.toml").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "FaceDetector", Known)
        patch.setattr(default, "RECIPE", out / "default.toml")
        patch.setattr(default, "SHUFFLES", (1,))
        patch.setattr(default, "CONTROL", 2)
        assert call(out, "default") == 0
        assert call(out, "fit", str(out / "default.toml"), "--leave-out", "sub02,smic/s01") == 0
    assert export(["onnx", str(out / "runs" / "flow-default" / "model.pt")]) == 0
    return out


def test_the_file_opens_in_the_runtime_and_says_how_it_was_measured(made) -> None:
    opened = recognize.load(made / "runs" / "flow-default" / "model.onnx", device="cpu")
    spec, run = opened.spec, runs.load(made / "runs" / "flow-default-loso")
    assert spec.id == f"flow-default/{PLAN.version}"
    assert spec.training_data.startswith(
        "18 clips of 6 subjects: casme2 9 (3 negative, 3 positive, 3 surprise); smic 9"
    )
    assert spec.protocol.startswith("leave one subject out, pooled; temperature and threshold nested")
    assert spec.scores["UF1"]["value"] > 0.9  # of own motion: each class moves a place of its own
    assert {"UAR", "all UF1", "all UAR", "ECE", "coverage", "parameters"} <= set(spec.scores)
    assert spec.temperature != 1.0
    assert 0.5 <= spec.abstain_below < 1
    assert spec.license == PLAN.license
    network, same = checkpoint.load(made / "runs" / "flow-default" / "model.pt")
    assert same == spec
    x = np.random.default_rng(0).normal(0, 0.5, (5, 3, 128, 128)).astype(np.float32)
    with torch.no_grad():
        some = torch.softmax(network(torch.from_numpy(x)) / spec.temperature, 1)
        none = torch.sigmoid(network.network.gate(torch.from_numpy(x)))[:, None]
        heads = [head(torch.from_numpy(x)) for head in network.heads.values()]
        wanted = torch.cat([(1 - none) * some, none, *heads], 1).numpy()
    assert spec.labels == ("negative", "positive", "surprise", "none")
    assert spec.none == "none"
    assert np.allclose(opened.classify(x), wanted, atol=1e-5)
    rest, strong = (recognize.answer(opened.classify(x[:1] * size)[0], spec) for size in (0.001, 1))
    assert rest.prediction.label is None
    assert rest.prediction.probabilities["none"] > 0.9 > 0.1 > strong.prediction.probabilities["none"]
    assert (rest.objective, rest.action_units) == (None, None)  # what did not happen has no action units
    assert strong.objective is not None
    assert sum(strong.objective.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert set(strong.action_units) == {"AU1", "AU2", "AU4", "AU12"}
    assert run.calibrated is not None
    assert run.calibrated.answered.any()


def test_the_heads_tell_objective_classes_and_action_units_of_people_they_did_not_know(made) -> None:
    spec = recognize.load(made / "runs" / "flow-default" / "model.onnx", device="cpu").spec
    objective, units = spec.heads
    assert (objective.name, objective.labels) == ("objective", ("I", "II", "III"))
    assert objective.scores["UF1"]["value"] > 0.9  # each class moves a place of its own
    assert units.each
    assert units.scores["AP"]["value"] > 0.9 > 0.5 > units.scores["AP of chance"]["value"]
    assert units.training_data == "9 clips of 3 subjects of casme2"
    tested = {one.name: one for one in heads.measured(made / "runs" / "flow-default-loso")}
    rows = {row.unit: row for row in heads.units(tested["action_units"])}
    assert (rows["AU4"].clips, rows["AU12"].clips) == (3, 3)
    assert rows["AU4"].brier < rows["AU4"].base
    _, without = checkpoint.load(made / "runs" / "flow-default-without-sub02-smic-s01" / "model.pt")
    assert without.heads[1].training_data == "6 clips of 2 subjects of casme2"
    assert not without.heads[1].scores


def test_a_head_answers_also_where_nobody_or_everybody_shows_a_thing(made) -> None:
    how = Head("action_units", "casme2", least=1)
    taught = heads.prepare(how, PLAN.input, made / "data", made / "runs" / "cache", quiet=True)
    one_class = [i for i, clip in enumerate(taught.clips) if clip.units == {4}]
    with torch.no_grad():
        answer = heads.fit(taught, one_class)(torch.from_numpy(taught.x))
    there = dict(zip(taught.labels, answer.T, strict=True))
    assert there["AU4"].min() > 0.99
    assert there["AU12"].max() < 0.01


def test_still_pairs_of_people_who_are_not_known_are_not_answered_and_movements_are(made) -> None:
    run = runs.load(made / "runs" / "flow-default-loso")
    rows = none.rows(run)
    assert run.pairs is not None
    assert set(run.pairs.keys) == {key for key, own in zip(run.keys, run.own, strict=True) if own}
    assert {row.kind.split(",")[0] for row in rows} == {"10 ms", "100 ms", "300 ms", "onset to apex"}
    # these made-up faces, unlike real ones, are half-way at 10 ms; 30 frames/s and a codec leave little of that
    slow = [row for row in rows if "0 ms, raw" in row.kind[1:] or row.kind.startswith("onset to apex, raw")]
    slow = [row for row in slow if not row.kind.startswith("10 ms") and not row.kind.endswith("30 fps")]
    assert max(row.answered for row in slow if row.still) <= 0.25  # of nine
    assert min(row.none for row in slow if row.still) > max(row.none for row in slow if not row.still)
    assert run.answers.shape == (18, 4)
    assert np.allclose(run.answers.sum(axis=1), 1)
    assert not run.answers[~run.own, 3].any()  # a map has no length in px


def test_what_is_left_out_is_named_and_its_map_is_not_taken_instead(made) -> None:
    run = runs.load(made / "runs" / "flow-default-loso")
    assert sorted(reason.split(": ")[0] for reason in run.about["skipped"]) == [
        "casme2/sub01/EP90",
        "casme2/sub01/EP91",
    ]
    assert not {"casme2/sub01/EP90", "casme2/sub01/EP91"} & set(run.keys)
    assert run.own.sum() == 9
    assert len(run.moved) == 3 + len(capture.TESTED)


def test_the_card_has_the_numbers_of_the_run_and_of_its_controls(made) -> None:
    text = (made / "runs" / "flow-default" / "card.md").read_text(encoding="utf-8")
    _, spec = checkpoint.load(made / "runs" / "flow-default" / "model.pt")
    for expected in (
        "# Model card: flow-default/", f"{spec.scores['all UF1']['value']:.3f} (", f"{spec.abstain_below:.2f}",
        "trained without public maps", "leave one dataset out", "permuted labels, shuffle 1",
        "onset +20 ms, apex +15 ms",
        "## Where nothing moves", "300 ms, H.264 crf 23, head drift 5 px/s",
        "casme2/sub01/EP91: not in casme2", "research only", "2 groups", default.COMMAND, "## Limits",
    ):  # fmt: skip
        assert expected in text, expected
    out = made / "other.md"
    assert main(["card", str(made / "runs" / "flow-default-loso"), "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == text


def test_a_model_without_some_people_takes_over_no_scores(made, capsys) -> None:
    _, spec = checkpoint.load(made / "runs" / "flow-default-without-sub02-smic-s01" / "model.pt")
    assert spec.training_data.startswith("12 clips of 4 subjects")
    assert not spec.scores
    assert spec.protocol == "not measured, not calibrated"
    recipe_file = str(made / "default.toml")
    assert call(made, "fit", recipe_file, "--leave-out", "sub77") == 7
    assert "no clips of sub77" in capsys.readouterr().err


def test_two_data_sets_with_the_same_clip_are_refused_unless_they_are_joined(made) -> None:
    plain = recipe.Data("casme2+megc2019-maps")
    with pytest.raises(Exception, match=r"10 clips are in two of the data sets, e\.g\. casme2/sub01"):
        gather.gather(plain, made / "data")
    with pytest.raises(Exception, match=r"9 clips are in two of the data sets, e\.g\. casme2/sub01"):
        gather.joined(dataclasses.replace(plain, complete=True), made / "data")
    found = gather.joined(dataclasses.replace(plain, twins=2), made / "data")
    keys = [clip.key for clip in found.clips]
    assert len(keys) == len(set(keys))
    assert len(found.twins) == 10
    assert "casme2/sub01/EP91" in keys  # only in the list: without `listed` its map is a sample


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weights": [1.0]}, "a number above 0 for each"),
        ({"listed": "samm"}, "listed must be one of"),
        ({"twins": -1}, "must not be negative"),
        ({"samples": "frames"}, "need samples"),
    ],
)
def test_a_data_table_that_contradicts_itself_is_refused(change, says) -> None:
    table = {"name": "x", "model": {"name": "flow-default"}, "stage": [{"epochs": 1}]}
    with pytest.raises(ConfigError, match=says):
        recipe.from_table(table | {"data": {"name": "casme2+megc2019-maps", "complete": True} | change})


def network(classes: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return models.create("flow-default", classes).eval()


def feature(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, (count, 3, 128, 128)).astype(np.float32)


def test_what_the_network_sees_is_what_training_keeps() -> None:
    x = feature(4)
    with torch.no_grad():
        assert torch.equal(network()(torch.from_numpy(x)), network()(torch.from_numpy(cell_means(x))))


def test_a_mirrored_face_gets_the_same_logits() -> None:
    x = torch.from_numpy(feature(4))
    twin = x.flip(3) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    with torch.no_grad():
        assert torch.allclose(network()(x), network()(twin), atol=1e-5)


def test_the_description_has_length_and_side_and_mirrors_as_the_face_does() -> None:
    cells = torch.from_numpy(np.random.default_rng(3).normal(size=(4, 2, CELLS, CELLS)).astype(np.float32))
    inputs = describe(cells)
    assert torch.allclose(inputs, describe(7 * cells), atol=1e-3)  # where and which way, not how far
    assert not torch.allclose(inputs, describe(-cells), atol=1e-1)
    twin = cells.flip(-1) * torch.tensor([-1.0, 1.0])[:, None, None]
    assert torch.allclose(describe(twin), mirrored(inputs), atol=1e-5)
    assert not describe(torch.zeros_like(cells)).any()
    opposite = torch.zeros(1, 2, CELLS, CELLS)
    opposite[0, 0, 4, 4:6] = torch.tensor([1.0, -1.0])  # cancels in the mean of its block, not in the sides
    assert torch.count_nonzero(describe(opposite)) == 2
    assert torch.allclose(inputs.norm(dim=1), torch.tensor(SCALE * 3**0.5), atol=1e-3)


def test_it_takes_other_numbers_of_classes_but_no_other_size() -> None:
    assert network(7)(torch.zeros(2, 3, 128, 128)).shape == (2, 7)
    with pytest.raises(ConfigError, match="128 px"):
        models.create("flow-default", 3, size=64)
