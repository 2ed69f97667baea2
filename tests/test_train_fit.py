"""The loop: it learns, it repeats, it resumes, it cannot see the test fold."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from realtime_mer.errors import ConfigError, DataError, DeviceError, MerError
from train import (
    augment,
    balance,
    checkpoint,
    describe,
    estimate,
    evaluate,
    fit,
    losses,
    optimize,
    pretrain,
    protocols,
)
from train.folds import fresh, model_options
from train.inputs import Prepared
from train.models import create
from train.recipe import Pretrain, Recipe, Stage, from_table
from train.records import Clip
from train.samples import Samples
from train.unit import open_unit

LABELS = ("negative", "positive", "surprise")
EMOTIONS = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}
ROOT = Path(__file__).parent.parent


def made_up(subjects: int = 4, each: int = 6, noise: float = 0.1, seed: int = 0) -> Prepared:
    """Synthetic 28 px maps in which each class moves another corner; ``each`` clips a subject."""
    random = np.random.default_rng(seed)
    clips, x, y = [], [], []
    for s in range(subjects):
        for k in range(each):
            label = k % 3
            maps = random.normal(0, noise, (3, 28, 28)).astype(np.float32)
            maps[label, 4 + 6 * label : 10 + 6 * label, 5:20] += 1.0
            clips.append(
                Clip("made-up", f"s{s}", f"c{k}", (Path("x"),), None, 0, None, 0.0, (), EMOTIONS[LABELS[label]])
            )
            x.append(maps)
            y.append(label)
    samples = Samples(np.stack(x), np.array(y), tuple(c.group for c in clips))
    return Prepared(tuple(clips), samples, LABELS, ())


def recipe(epochs: int = 6, **stage: object) -> Recipe:
    table = {
        "name": "made-up",
        "data": {"name": "made-up"},
        "model": {"name": "ststnet"},
        "input": {"feature": "maps-uvs/1", "size": 28},
        "stage": [{"epochs": epochs, "batch": 8, "rate": 0.01, **stage}],
    }
    return from_table(table)


def run(out: Path, data: Prepared, plan: Recipe, **options: object) -> evaluate.Run:
    return evaluate.evaluate(plan, data, protocols.loso(data.clips), out, protocol="loso", quiet=True, **options)


def test_what_can_be_learned_is_learned(tmp_path) -> None:
    result = run(tmp_path, made_up(), recipe(25))
    assert result.scores.uf1 > 0.9
    assert len(result.truth) == 24
    assert result.curves[0][0]["loss"] > result.curves[0][-1]["loss"]


def test_permuted_labels_fall_to_chance(tmp_path) -> None:
    data = made_up(subjects=6, each=12)
    wrong = Samples(data.samples.x, np.random.default_rng(0).permutation(data.samples.y), data.samples.groups)
    result = run(tmp_path, Prepared(data.clips, wrong, LABELS, ()), recipe(5))
    assert result.scores.accuracy < 0.5  # chance is 1/3, 72 clips


def test_the_same_seed_gives_the_same_numbers(tmp_path) -> None:
    first = run(tmp_path / "a", made_up(), recipe(3))
    second = run(tmp_path / "b", made_up(), recipe(3))
    assert np.array_equal(first.logits, second.logits)


def test_the_model_is_reset_between_folds(tmp_path) -> None:
    """A fold's result does not depend on which folds ran before it; with the fault "carry-over" it does."""
    data, plan = made_up(), recipe(3)
    folds = protocols.loso(data.clips)
    whole = run(tmp_path / "whole", data, plan)
    alone = evaluate.evaluate(
        plan, data, folds[2:3], tmp_path / "alone", protocol="loso", once=False, quiet=True
    )  # fmt: skip
    rows = [i for i, name in enumerate(whole.folds) if name == folds[2].name]
    assert np.array_equal(whole.logits[rows], alone.logits)
    carried = run(tmp_path / "carried", data, plan, faults=("carry-over",))
    assert not np.array_equal(carried.logits[rows], alone.logits)


def test_fit_is_given_no_clip_of_the_test_fold(tmp_path, monkeypatch) -> None:
    data = made_up()
    seen: list[set[str]] = []
    real = fit.fit

    def watched(model, samples, *args, **options):
        seen.append(set(samples.groups))
        return real(model, samples, *args, **options)

    monkeypatch.setattr(fit, "fit", watched)
    result = run(tmp_path, data, recipe(1))
    assert len(seen) == 4
    for name, groups in zip(dict.fromkeys(result.folds), seen, strict=True):
        assert name not in groups


def test_choosing_the_epoch_on_the_test_fold_never_looks_worse(tmp_path) -> None:
    data = made_up(noise=1.5)
    result = run(tmp_path, data, recipe(6), faults=("best-on-test",))
    assert result.best_scores.accuracy >= result.scores.accuracy
    assert np.array_equal(run(tmp_path / "plain", data, recipe(6)).logits, result.logits)  # watching changes nothing


def test_finished_folds_are_kept_and_another_run_is_refused(tmp_path) -> None:
    data, plan = made_up(), recipe(2)
    first = run(tmp_path, data, plan)
    (tmp_path / "folds" / "001.json").unlink()
    stamp = (tmp_path / "folds" / "000.json").stat().st_mtime_ns
    again = run(tmp_path, data, plan)
    assert np.array_equal(first.logits, again.logits)
    assert (tmp_path / "folds" / "000.json").stat().st_mtime_ns == stamp
    with pytest.raises(ConfigError, match="other settings"):
        run(tmp_path, data, recipe(3))


def test_a_leaking_split_is_refused_where_a_clean_one_is_promised(tmp_path) -> None:
    data = made_up()
    leaky = protocols.kfold(data.clips, "3", folds=3)
    with pytest.raises(DataError, match="trained on and tested"):
        evaluate.evaluate(recipe(1), data, leaky, tmp_path, protocol="kfold", quiet=True)


def test_resuming_a_snapshot_gives_the_same_weights(tmp_path, monkeypatch) -> None:
    data = made_up().samples
    stages = (
        Stage(3, 8, rate=0.01, frozen="body"),
        Stage(5, 8, "sgd", 0.01, momentum=0.9, every=2, factor=0.5, balance="equal", augment=("flip-motion", "shift")),
    )
    monkeypatch.setattr(fit, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(fit, "SNAPSHOT_SHARE", float("inf"))

    class StopError(Exception):
        pass

    def train(snapshot: Path | None, stop_after: int = 99) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = create("ststnet", 3)
        count = 0

        def watch(_line: fit.Epoch, _model: torch.nn.Module) -> None:
            nonlocal count
            count += 1
            if count > stop_after:
                raise StopError

        fit.fit(model, data, stages, classes=3, seed=7, validation=0.25, snapshot=snapshot, watch=watch)
        return model.state_dict()

    whole = train(None)
    with pytest.raises(StopError):
        train(tmp_path / "s.pt", stop_after=5)
    resumed = train(tmp_path / "s.pt")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_folds_side_by_side_give_what_they_give_in_turn(tmp_path) -> None:
    """Bit for bit, with the same number of threads; and what one process left, several go on with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = run(tmp_path / "whole", made_up(), recipe(3))
        again = run(tmp_path / "beside", made_up(), recipe(3), jobs=2)
        (tmp_path / "whole" / "folds" / "000.json").unlink()
        (tmp_path / "whole" / "folds" / "002.json").unlink()
        third = run(tmp_path / "whole", made_up(), recipe(3), jobs=2)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(whole.logits, again.logits)
    assert np.array_equal(whole.logits, third.logits)
    assert whole.keys == again.keys == third.keys
    with pytest.raises(ConfigError, match="carry-over"):
        run(tmp_path / "carry", made_up(), recipe(1), jobs=2, faults=("carry-over",))


def test_processes_find_the_pretraining_made(tmp_path, monkeypatch) -> None:
    """Two that make the same weights at once would do it twice, into one file."""
    made: list[int] = []

    class Counted:
        identity = "x"

        def weights(self, without: object = ()) -> dict[str, torch.Tensor]:  # noqa: ARG002
            made.append(os.getpid())
            return {}

    monkeypatch.setattr(evaluate, "in_processes", lambda *_: iter(()))
    with pytest.raises(FileNotFoundError):  # nothing was trained, so there is nothing to pool
        run(tmp_path, made_up(), recipe(1), jobs=2, start=Counted())
    folds = len(protocols.loso(made_up().clips))
    assert made == [os.getpid()] * folds


def test_a_fold_that_fails_does_not_stop_the_others(tmp_path, monkeypatch) -> None:
    data = made_up()
    folds = protocols.loso(data.clips)
    unlucky = data.clips[folds[1].test[0]].group
    train_fold = fit.fit

    def failing(model: nn.Module, samples: Samples, *args: object, **options: object) -> object:
        if unlucky not in samples.groups:  # the fold that tests this person
            raise DataError("no luck")
        return train_fold(model, samples, *args, **options)

    monkeypatch.setattr(fit, "fit", failing)
    with pytest.raises(MerError, match=f"{folds[1].name}: no luck"):
        run(tmp_path, data, recipe(1))
    assert len(list((tmp_path / "folds").glob("*.json"))) == len(folds) - 1


CHILD = """
import sys
from pathlib import Path
from tests.test_train_fit import made_up, recipe, run
from train import fit
fit.SNAPSHOT_SECONDS, fit.SNAPSHOT_SHARE = 0.0, float("inf")
run(Path(sys.argv[1]), made_up(), recipe(20))
"""


def test_a_killed_run_started_again_gives_the_same_result(tmp_path) -> None:
    whole = run(tmp_path / "whole", made_up(), recipe(20))
    out = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(out)], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while not (out / "folds" / "000.json").exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert (out / "folds" / "000.json").exists()
    assert not (out / "run.json").exists(), "the run ended before it was killed: give it more epochs"
    resumed = run(out, made_up(), recipe(20))
    assert np.array_equal(whole.logits, resumed.logits)
    assert json.loads((out / "run.json").read_text())["keys"] == list(whole.keys)


def test_early_stopping_keeps_the_best_epoch() -> None:
    torch.manual_seed(0)
    model = create("ststnet", 3)
    data = made_up(noise=2.0).samples
    curves = fit.fit(model, data, (Stage(40, 8, rate=0.03, patience=3),), classes=3, seed=1, validation=0.25)
    assert len(curves) < 40
    assert np.argmin([line.validation for line in curves]) == len(curves) - 4


@pytest.mark.parametrize(("way", "expected"), [("equal", [30, 30, 30]), ("down", [6, 6, 6]), ("12", [12, 12, 12])])
def test_balancing(way: str, expected: list[int]) -> None:
    labels = np.repeat([0, 1, 2], [30, 10, 6])
    order = balance.order(labels, Stage(1, balance=way), *(torch.Generator().manual_seed(0) for _ in range(2)))
    assert np.bincount(labels[order.numpy()]).tolist() == expected


def test_classes_weigh_alike_and_samples_as_their_data_set_does() -> None:
    y = np.array([0, 0, 0, 1])
    samples = Samples(np.zeros((4, 1)), y, ("g",) * 4, weights=np.array([1.0, 1.0, 2.0, 0.5]))
    assert balance.weights(dataclasses.replace(samples, weights=None), Stage(1)) is None
    assert torch.allclose(balance.weights(samples, Stage(1)), torch.tensor([1.0, 1.0, 2.0, 0.5]) / 1.125)
    found = balance.weights(samples, Stage(1, balance="weights"))
    assert found.mean() == pytest.approx(1)
    assert found[:3].sum() == pytest.approx(float(found[3]))
    logits, labels = torch.randn(4, 2), torch.from_numpy(y)
    for loss in (losses.cross_entropy(), losses.focal(2.0), losses.arcface(0.5), losses.cross_entropy((0.3, 0.7))):
        assert torch.allclose(loss(logits, labels), loss(logits, labels, torch.ones(4)), atol=1e-6)
        assert not torch.allclose(loss(logits, labels), loss(logits, labels, found))


def test_each_epoch_draws_a_view_and_only_the_first_is_tested(tmp_path) -> None:
    """The second view of a sample shows another class's place: half of the draws make the labels useless."""
    data = made_up()
    wrong = np.roll(data.samples.x, 1, axis=1)
    views = np.stack([data.samples.x, wrong], axis=1)
    both = dataclasses.replace(data, samples=dataclasses.replace(data.samples, views=views))
    same = np.stack([data.samples.x] * 2, axis=1)
    one = dataclasses.replace(data, samples=dataclasses.replace(data.samples, views=same))
    plain, mixed = (run(tmp_path / str(i), d, recipe(10)) for i, d in enumerate((one, both)))
    assert mixed.curves[0][-1]["loss"] > plain.curves[0][-1]["loss"]
    assert len(mixed.truth) == len(data.clips)
    assert both.samples.take([3, 1]).views.shape == (2, *views.shape[1:])


def test_one_cycle_rises_and_falls_and_goes_on_from_a_snapshot(tmp_path, monkeypatch) -> None:
    stage = Stage(8, 0, "adamw", 0.01, weight_decay=0.1, schedule="one-cycle", balance="weights")
    model = create("ststnet", 3)
    optimizer = optimize.optimizer(model, stage)
    schedule = optimize.schedule(optimizer, stage, 1)
    rates = []
    for _ in range(stage.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert 0.009 < max(rates) <= 0.01
    assert rates[0] < 0.001 > rates[-1]
    monkeypatch.setattr(fit, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(fit, "SNAPSHOT_SHARE", float("inf"))
    states = []
    for stop in (99, 3):
        torch.manual_seed(0)
        model = create("ststnet", 3)
        file = tmp_path / f"{stop}.pt"
        count = 0

        def watch(_line: fit.Epoch, _model: torch.nn.Module, stop: int = stop) -> None:
            nonlocal count
            count += 1
            if count > stop:
                raise KeyboardInterrupt

        if stop < 99:
            with pytest.raises(KeyboardInterrupt):
                fit.fit(model, made_up().samples, (stage,), classes=3, seed=1, snapshot=file, watch=watch)
        fit.fit(model, made_up().samples, (stage,), classes=3, seed=1, snapshot=file)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_focal_without_focus_is_cross_entropy_and_weights_count() -> None:
    logits, y = torch.randn(8, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])
    plain = losses.cross_entropy()(logits, y)
    assert torch.allclose(losses.focal(0.0)(logits, y), plain)
    assert losses.focal(2.0)(logits, y) < plain
    one = losses.focal(2.0, (0.27, 0.35, 0.38))
    assert torch.allclose(one(logits[:1], y[:1]), 0.27 * losses.focal(2.0)(logits[:1], y[:1]))


def test_arcface_margin_makes_the_target_harder() -> None:
    logits = 16 * torch.tensor([[0.5, 0.1, -0.2]])
    y = torch.tensor([0])
    assert torch.allclose(losses.arcface(0.0)(logits, y), losses.cross_entropy()(logits, y), atol=1e-5)
    assert losses.arcface(0.5)(logits, y) > losses.arcface(0.0)(logits, y)
    by_hand = 16 * torch.tensor([[np.cos(np.arccos(0.5) + 0.5), 0.1, -0.2]])
    assert torch.allclose(losses.arcface(0.5)(logits, y), losses.cross_entropy()(by_hand.float(), y), atol=1e-5)


@pytest.mark.parametrize("name", sorted(augment.AUGMENT))
def test_augmentations_keep_shape_and_repeat(name: str) -> None:
    x = torch.rand(6, 3, 32, 32)
    first = augment.AUGMENT[name](x, torch.Generator().manual_seed(4))
    second = augment.AUGMENT[name](x, torch.Generator().manual_seed(4))
    assert first.shape == x.shape
    assert torch.equal(first, second)
    assert not torch.equal(first, x)


def test_a_mirrored_motion_points_the_other_way() -> None:
    x = torch.ones(32, 3, 4, 4)
    mirrored = augment.flip_motion(x, torch.Generator().manual_seed(0))[:, :, 0, 0]
    assert {tuple(row) for row in mirrored.tolist()} == {(1.0, 1.0, 1.0), (-1.0, 1.0, 1.0)}


def test_wrong_wishes_are_told() -> None:
    data = made_up().samples
    model = create("ststnet", 3)
    with pytest.raises(DeviceError):
        fit.fit(model, data, (Stage(1),), classes=3, seed=0, device="tpu")
    with pytest.raises(DataError, match="two classes"):
        fit.fit(model, data.take([0, 3]), (Stage(1),), classes=3, seed=0)
    broken = Samples(np.full_like(data.x, np.nan), data.y, data.groups)
    with pytest.raises(DataError, match="not finite"):
        fit.fit(model, broken, (Stage(1),), classes=3, seed=0)
    with pytest.raises(ConfigError, match="class_weights"):
        fit.fit(model, data, (Stage(1, class_weights=(1.0,)),), classes=3, seed=0)
    with pytest.raises(ConfigError, match="augmentation"):
        fit.fit(model, data, (Stage(1, augment=("fog",)),), classes=3, seed=0)


def with_macro(stage: Stage, **changes: Any) -> Recipe:
    plan = recipe(1)
    return dataclasses.replace(plan, pretrain=Pretrain(plan.data, 28, (stage,), **changes))


def test_macro_weights_are_made_once_and_start_every_fold(tmp_path) -> None:
    plan, macro = with_macro(Stage(2, 8, rate=0.01), limit=20), made_up(seed=5)
    same = pretrain.Start(plan, macro, LABELS, tmp_path, quiet=True).weights()
    assert "head.weight" in same
    other = pretrain.Start(plan, macro, ("a", "b", "c"), tmp_path, quiet=True).weights({"made/nobody-of-these"})
    assert "head.weight" not in other  # other classes: a head of their own
    assert len(list(tmp_path.glob("pretrained-*.pt"))) == 1
    model = fresh(plan, 3, other)
    assert torch.equal(model.streams[0][0].weight, same["streams.0.0.weight"])
    assert not torch.equal(model.head.weight, same["head.weight"])


def test_a_fold_starts_from_weights_that_do_not_know_its_test_people(tmp_path, monkeypatch) -> None:
    data = made_up()
    plan = with_macro(Stage(1, 8, rate=0.01))
    start = pretrain.Start(plan, data, LABELS, tmp_path, quiet=True)  # pre-trained on the very clips that are tested
    seen: list[set[str]] = []
    train = pretrain.Start._trained

    def kept(self: pretrain.Start, positions: list[int], file: Path) -> dict[str, torch.Tensor]:
        seen.append({data.samples.groups[i] for i in positions})
        return train(self, positions, file)

    monkeypatch.setattr(pretrain.Start, "_trained", kept)
    folds = protocols.loso(data.clips)
    evaluate.evaluate(plan, data, folds, tmp_path / "run", protocol="loso", start=start, quiet=True)
    tested = [{data.clips[i].group for i in fold.test} for fold in folds]
    assert len(seen) == len(folds)
    assert not any(people & test for people, test in zip(seen, tested, strict=True))
    with pytest.raises(DataError, match="only people who are tested"):
        start.weights(set(data.samples.groups))


def test_pre_training_is_another_when_labels_or_the_spelling_of_a_tested_person_change(tmp_path) -> None:
    data, plan = made_up(), with_macro(Stage(1, 8, rate=0.01))
    start = pretrain.Start(plan, data, LABELS, tmp_path, quiet=True)
    turned = dataclasses.replace(data.samples, y=data.samples.y[::-1].copy())
    other = dataclasses.replace(start, macro=dataclasses.replace(data, samples=turned))
    assert start.identity != other.identity
    start.weights({"made-up/S01"})  # spelt s1 in the macro samples
    start.weights({"made-up/s1"})
    start.weights()
    assert len(list(tmp_path.glob("pretrained-*.pt"))) == 2


def test_early_stopping_works_in_pre_training(tmp_path, monkeypatch) -> None:
    data = made_up()
    plan = with_macro(Stage(40, 8, rate=0.5, patience=1), validation=0.3)
    curves: list[list[fit.Epoch]] = []
    train = fit.fit

    def kept(*args: Any, **options: Any) -> list[fit.Epoch]:
        curves.append(train(*args, **options))
        return curves[-1]

    monkeypatch.setattr(fit, "fit", kept)
    pretrain.Start(plan, data, LABELS, tmp_path, quiet=True).weights()
    assert len(curves[0]) < 40
    assert not any(math.isnan(line.validation) for line in curves[0])


def model_file(path: Path, plan: Recipe, data: Prepared, known: tuple[str, ...] = ()) -> Path:
    spec = describe.spec(plan, data, None, known)
    checkpoint.save(path, plan.model.name, model_options(plan), fresh(plan, 3).state_dict(), spec)
    return path


def test_weights_from_a_model_file_are_taken_over_and_never_tested_on_its_people(tmp_path) -> None:
    data = made_up()
    plan = dataclasses.replace(recipe(1), seed=9)
    others = dataclasses.replace(data, samples=dataclasses.replace(data.samples, groups=("other/s1",) * 24))
    own, foreign = model_file(tmp_path / "own.pt", plan, data), model_file(tmp_path / "foreign.pt", plan, others)

    starting = dataclasses.replace(recipe(1), model=dataclasses.replace(plan.model, weights=str(foreign)))
    for key, tensor in fresh(starting, 3).state_dict().items():
        assert torch.equal(tensor, fresh(plan, 3).state_dict()[key])
    assert len(run(tmp_path / "foreign", data, starting).truth) == 24

    starting = dataclasses.replace(starting, model=dataclasses.replace(plan.model, weights=str(own)))
    with pytest.raises(DataError, match=r"fold made-up/s0: the starting weights were trained on made-up/s0"):
        run(tmp_path / "own", data, starting)


def test_folds_of_other_weights_under_the_same_path_are_not_taken_over(tmp_path) -> None:
    data = made_up()
    others = dataclasses.replace(data, samples=dataclasses.replace(data.samples, groups=("other/s1",) * 24))
    file = model_file(tmp_path / "model.pt", recipe(1), others)
    starting = dataclasses.replace(recipe(1), model=dataclasses.replace(recipe(1).model, weights=str(file)))
    run(tmp_path / "run", data, starting)
    model_file(file, dataclasses.replace(recipe(1), seed=9), others)
    with pytest.raises(ConfigError, match="other settings or data"):
        run(tmp_path / "run", data, starting)


def test_weights_whose_people_are_not_known_need_somebody_to_vouch_for_them(tmp_path) -> None:
    file = tmp_path / "plain.pth"
    torch.save({"a": torch.zeros(1)}, file)
    plan = recipe(1)
    starting = dataclasses.replace(plan, model=dataclasses.replace(plan.model, weights=str(file)))
    with pytest.raises(ConfigError, match="does not say who it was trained on"):
        evaluate.knows(starting)
    vouched = dataclasses.replace(starting.model, weights_know="nobody")
    assert evaluate.knows(dataclasses.replace(starting, model=vouched)) == ()
    assert evaluate.knows(plan) == ()


def test_a_limit_keeps_the_proportions() -> None:
    y = np.repeat([0, 1], [900, 100])
    samples = Samples(np.zeros((1000, 3, 1, 1), np.uint8), y, ("g",) * 1000)
    kept = pretrain.limited(samples, 200, 0)
    assert len(kept) == 200
    assert 5 < kept.y.sum() < 40
    assert pretrain.limited(samples, 0, 0) is samples


def test_bfloat16_learns_and_leaves_the_weights_in_float32() -> None:
    data = made_up()
    plan = recipe(epochs=12, precision="bf16")
    torch.manual_seed(0)
    model = fresh(plan, 3)
    curves = fit.fit(model, data.samples, plan.stage, classes=3, seed=0)
    assert curves[-1].loss < 0.5 * curves[0].loss
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    exact = fresh(plan, 3)
    fit.fit(exact, data.samples, recipe(epochs=12).stage, classes=3, seed=0)
    assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), exact.parameters(), strict=True))


def test_the_precision_of_before_changes_no_fingerprint() -> None:
    plain = recipe()
    assert recipe(precision="fp32").fingerprint() == plain.fingerprint()
    assert recipe(precision="bf16").fingerprint() != plain.fingerprint()
    with pytest.raises(ConfigError, match="precision"):
        recipe(precision="fp8")


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "cuda:-1", "cuda:99"])
def test_a_device_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(DeviceError, match="is not available"):
        open_unit(name)


def test_a_long_training_says_how_long_also_when_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, plan = made_up(), recipe(epochs=20)
    folds = protocols.loso(data.clips)
    monkeypatch.setattr(estimate, "LONG_S", 0.0)
    evaluate.evaluate(plan, data, folds, tmp_path / "run", protocol="loso", quiet=True)
    said = capsys.readouterr().err
    assert "made-up, 4 folds: at most 0:" in said
    assert "a few timed steps" in said
    evaluate.evaluate(plan, data, folds, tmp_path / "run", protocol="loso", quiet=True)
    assert capsys.readouterr().err == ""  # nothing is left to do
    evaluate.evaluate(recipe(epochs=1), data, folds, tmp_path / "short", protocol="loso", quiet=True)
    assert capsys.readouterr().err == ""


def test_the_estimate_changes_nothing_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, plan, folds = made_up(), recipe(epochs=12), protocols.loso(made_up().clips)
    with_word = evaluate.evaluate(plan, data, folds, tmp_path / "a", protocol="loso", quiet=True)
    monkeypatch.setattr(estimate, "FEW", 1e9)
    without = evaluate.evaluate(plan, data, folds, tmp_path / "b", protocol="loso", quiet=True)
    assert np.array_equal(with_word.logits, without.logits)
