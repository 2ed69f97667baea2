"""Temperature and threshold come from other people than those who are answered with them; controls stay controls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_train_fit import made_up, recipe

from train import evaluate, fit, protocols
from train.calibration import Decision, decide, perfect_ece
from train.commands.evaluate import permuted, recordings_only
from train.nested import nested, parts
from train.recipe import Calibrate

HOW = Calibrate(inner=3, outer=2)


def test_parts_keep_subjects_whole_and_are_about_equal() -> None:
    groups = [f"s{k}" for k in np.random.default_rng(0).integers(0, 12, 90)]
    part = parts(groups, 4, 0)
    assert set(part.tolist()) == {0, 1, 2, 3}
    assert all(len(set(part[np.asarray(groups) == name].tolist())) == 1 for name in set(groups))
    assert np.ptp(np.bincount(part)) < 12


def test_nobody_has_a_part_in_the_decision_that_answers_them(tmp_path) -> None:
    """What an inner training answers for the people of one outer group cannot change that group's probabilities."""
    data = made_up(subjects=6)
    y, groups, main = data.samples.y, data.samples.groups, np.ones(len(data.clips), np.bool_)
    logits = 2 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(len(y), 3))
    outer = parts(groups, HOW.outer, 0)
    asked: list[set[str]] = []

    def answer(known, held):
        assert {groups[i] for i in known}.isdisjoint(groups[i] for i in held)
        asked.append({groups[i] for i in (*known, *held)})
        return logits[list(held)] * 2

    found = nested(HOW, y, groups, main, logits, answer, 0, tmp_path, quiet=True)
    first = {groups[i] for i in np.flatnonzero(outer == 0)}
    assert all(people.isdisjoint(first) for people in asked[: HOW.inner])
    changed = y.copy()
    changed[outer == 0] = (changed[outer == 0] + 1) % 3
    again = nested(HOW, changed, groups, main, logits, answer, 0, tmp_path, quiet=True)
    assert np.array_equal(found.probabilities[outer == 0], again.probabilities[outer == 0])
    assert not np.array_equal(found.probabilities[outer == 1], again.probabilities[outer == 1])
    assert len(asked) == HOW.inner * HOW.outer  # the second time all was kept
    assert np.allclose(found.probabilities.sum(axis=1), 1)


def test_an_evaluation_is_calibrated_when_asked_and_the_same_after_an_interruption(tmp_path, monkeypatch) -> None:
    data, plan = made_up(subjects=6, noise=1.0), recipe(4)
    folds = protocols.loso(data.clips)
    plain = evaluate.evaluate(plan, data, folds, tmp_path / "plain", protocol="loso", quiet=True)
    assert plain.calibrated is None
    whole = evaluate.evaluate(plan, data, folds, tmp_path, protocol="loso", quiet=True, calibrate=HOW)
    assert np.array_equal(whole.logits, plain.logits)
    assert whole.calibrated is not None
    (tmp_path / "calibrate" / "001-002.json").unlink()
    seen: list[set[str]] = []
    real = fit.fit

    def watched(model, samples, *args, **options):
        seen.append(set(samples.groups))
        return real(model, samples, *args, **options)

    monkeypatch.setattr(fit, "fit", watched)
    again = evaluate.evaluate(plan, data, folds, tmp_path, protocol="loso", quiet=True, calibrate=HOW)
    assert len(seen) == 1
    assert np.array_equal(again.calibrated.probabilities, whole.calibrated.probabilities)


def test_the_threshold_lets_the_share_through_that_was_asked_for_and_never_a_coin_toss() -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 300)
    logits = 3 * np.eye(3)[y] + random.normal(size=(300, 3))
    main = np.ones(300, np.bool_)
    found = decide(y, logits, main, 0.8)
    sure = found.probabilities(logits, main).max(axis=1) >= found.abstain_below
    assert sure.mean() == pytest.approx(0.8, abs=0.01)
    assert decide(y, random.normal(size=(300, 3)), main, 1.0).abstain_below == 0.5


def test_maps_have_a_temperature_of_their_own() -> None:
    logits = np.array([[2.0, 0.0], [2.0, 0.0]])
    p = Decision(1.0, 4.0, 0.5).probabilities(logits, np.array([True, False]))
    assert p[0, 0] == pytest.approx(1 / (1 + np.exp(-2)))
    assert p[1, 0] == pytest.approx(1 / (1 + np.exp(-0.5)))


def test_a_shuffle_keeps_the_class_counts_of_each_data_set() -> None:
    data = made_up(subjects=4)
    clips = tuple(dataclasses.replace(clip, dataset=f"set{i % 2}") for i, clip in enumerate(data.clips))
    shuffled = permuted(dataclasses.replace(data, clips=clips), 1)
    assert not np.array_equal(shuffled.samples.y, data.samples.y)
    for name in (0, 1):
        assert sorted(shuffled.samples.y[name::2]) == sorted(data.samples.y[name::2])


def test_without_maps_none_is_left_among_the_views() -> None:
    data, plan = made_up(), recipe(1)
    clips = tuple(dataclasses.replace(c, frames=c.frames * (1 + i % 2)) for i, c in enumerate(data.clips))
    views = np.repeat(data.samples.x[:, None], 5, axis=1)
    data = dataclasses.replace(data, clips=clips, samples=dataclasses.replace(data.samples, views=views))
    found = recordings_only(data, plan)
    assert found.own.all()
    assert len(found.clips) == len(clips) // 2
    assert found.samples.views.shape[1] == len(plan.input.views) == 1


def test_the_ece_of_a_perfect_model_is_zero_when_it_is_certain_and_falls_with_fewer_bins() -> None:
    assert not perfect_ece(np.eye(3)[[0, 1, 2, 1]]).any()
    spread = np.random.default_rng(0).dirichlet((1, 1, 1), 60)
    many, few = perfect_ece(spread, 15).mean(), perfect_ece(spread, 5).mean()
    assert many > few > 0.02
