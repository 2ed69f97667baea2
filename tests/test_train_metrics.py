"""Scores against independent implementations, printed confusion matrices, and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score, recall_score

from realtime_mer.errors import DataError
from train.metrics import (
    NAMES,
    Scores,
    bootstrap,
    calibration,
    compare,
    coverage_risk,
    fit_temperature,
    megc2018_average,
    reliability,
    render,
    score,
    trivial,
)

ABC = ("a", "b", "c")
# Peng et al. (2018), tables I to III: row percentages, and the class counts they belong to.
SAMM_COUNTS = (24, 13, 20, 8, 3)
SAMM_ROWS = (
    (91.67, 0, 4.17, 4.17, 0),
    (23.08, 7.69, 30.77, 15.38, 23.08),
    (30, 0, 50, 10, 10),
    (50, 0, 12.5, 37.5, 0),
    (0, 0, 66.67, 0, 33.33),
)
CASME2_COUNTS = (25, 15, 99, 26, 20)
CASME2_ROWS = (
    (20, 24, 56, 0, 0),
    (0, 46.67, 53.33, 0, 0),
    (0, 2.02, 93.94, 4.04, 0),
    (3.85, 11.54, 76.92, 7.69, 0),
    (0, 10, 85, 5, 0),
)


def from_percentages(rows: tuple[tuple[float, ...], ...], counts: tuple[int, ...]) -> Scores:
    matrix = np.array(rows) * np.array(counts)[:, None] / 100
    assert abs(matrix - matrix.round()).max() < 0.01  # the printed matrix is one of whole clips
    return Scores(("I", "II", "III", "IV", "V"), matrix.round())


def test_peng_war_and_uar_follow_from_the_matrices_he_prints() -> None:
    first, second = from_percentages(SAMM_ROWS, SAMM_COUNTS), from_percentages(CASME2_ROWS, CASME2_COUNTS)
    assert (round(first.accuracy, 3), round(first.uar, 3)) == (0.544, 0.440)
    assert (round(second.accuracy, 3), round(second.uar, 3)) == (0.578, 0.337)
    mean = megc2018_average([first, second])
    assert (round(mean["WAR"], 3), round(mean["UAR"], 3)) == (0.561, 0.388)  # printed 0.561 and, rounded up, 0.389


labels = hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(labels, st.integers(0, 9))
def test_agrees_with_scikit_learn_and_stays_below_one(truth: np.ndarray, seed: int) -> None:
    said = np.random.default_rng(seed).integers(0, 3, len(truth))
    got = score(truth, said, ABC)
    present = sorted(set(truth.tolist()))
    assert got.uf1 == pytest.approx(f1_score(truth, said, labels=present, average="macro", zero_division=0))
    assert got.uar == pytest.approx(recall_score(truth, said, labels=present, average="macro", zero_division=0))
    assert got.weighted_f1 == pytest.approx(f1_score(truth, said, labels=present, average="weighted", zero_division=0))
    assert all(0 <= got[name] <= 1 for name in NAMES)


def test_pooling_differs_from_averaging_folds() -> None:
    # A subject with only one class has no UAR of its own worth averaging.
    pooled = score(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), ("a", "b"))
    assert (pooled.uar, pooled.accuracy) == (0.75, 0.75)
    assert pooled.uf1 == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_probabilities_are_accepted_and_classes_stay_fixed() -> None:
    got = score(np.array([0, 1]), np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]), ABC)
    assert got.confusion.shape == (3, 3)
    assert np.isnan(got.recall[2])
    assert got.uar == 1.0


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ([0, 3], [0, 1]),
        ([0, 1], [0, -1]),
        ([0, 1], [0]),
        ([], []),
        ([0.0, 1.0], [0, 1]),
        ([0, 1], [[0.1, np.nan, 0.1], [0.1, 0.1, 0.8]]),
    ],
)
def test_nonsense_is_refused(truth: list[float], said: list[object]) -> None:
    with pytest.raises(DataError):
        score(np.array(truth), np.array(said), ABC)


def test_trivial_predictors() -> None:
    truth = np.repeat([0, 1, 2], [250, 109, 83])  # the MEGC2019 composite
    base = trivial(truth, ("negative", "positive", "surprise"))
    assert base["majority"].uar == pytest.approx(1 / 3)
    assert base["majority"].uf1 == pytest.approx(0.241, abs=5e-4)
    assert base["chance"].accuracy == pytest.approx(1 / 3)


def test_text_shows_counts_and_trivial_scores() -> None:
    got = score(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ("anger", "fear"))
    text = render(got, bootstrap([0, 0, 0, 1], [0, 0, 1, 1], ["s1", "s1", "s2", "s3"], ("anger", "fear"), 50))
    assert "majority" in text
    assert "chance" in text
    assert any(line.startswith("anger") and " 3 " in line for line in text.splitlines())
    assert text.splitlines()[-1].split() == ["all", "4"]


def test_bootstrap_is_deterministic_and_resamples_people() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 300)
    said = np.where(random.random(300) < 0.7, truth, random.integers(0, 3, 300))
    alone = [f"s{i}" for i in range(300)]
    wide = bootstrap(truth, said, [f"s{i // 30}" for i in range(300)], ABC, seed=3)
    assert wide == bootstrap(truth, said, [f"s{i // 30}" for i in range(300)], ABC, seed=3)
    got = bootstrap(truth, said, alone, ABC)["WAR"]
    assert got.value == score(truth, said, ABC).accuracy
    # Independent samples: the percentile interval is close to the binomial one.
    half = 1.96 * np.sqrt(got.value * (1 - got.value) / 300)
    assert got.high - got.low == pytest.approx(2 * half, rel=0.15)


def test_clips_of_one_person_are_not_independent() -> None:
    # Ten people, each all right or all wrong: the interval must not pretend to 300 samples.
    truth = np.tile([0, 1, 2], 100)
    right = np.repeat(np.arange(10) < 7, 30)
    said = np.where(right, truth, (truth + 1) % 3)
    by_person = bootstrap(truth, said, [f"s{i // 30}" for i in range(300)], ABC)["WAR"]
    by_clip = bootstrap(truth, said, [f"s{i}" for i in range(300)], ABC)["WAR"]
    assert by_person.high - by_person.low > 3 * (by_clip.high - by_clip.low)


def test_paired_comparison() -> None:
    random = np.random.default_rng(2)
    truth = random.integers(0, 3, 400)
    bad = np.where(random.random(400) < 0.5, truth, random.integers(0, 3, 400))
    good = np.where(random.random(400) < 0.5, truth, bad)
    groups = [f"s{i // 10}" for i in range(400)]
    same = compare(truth, bad, bad, groups, ABC)["UF1"]
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    better = compare(truth, bad, good, groups, ABC)["UF1"]
    assert better.low > 0
    assert better.p is not None
    assert better.p < 0.01
    back = compare(truth, good, bad, groups, ABC)["UF1"]
    assert (back.value, back.low) == pytest.approx((-better.value, -better.high))
    with pytest.raises(DataError, match="groups"):
        compare(truth, bad, good, groups[:-1], ABC)


def test_calibration_by_hand() -> None:
    truth = np.array([0, 0, 1, 1])
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    got = calibration(truth, p)
    assert got.ece == pytest.approx(3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * abs(1 - 0.6))
    assert got.brier == pytest.approx((0.02 * 2 + 1.62 + 0.32) / 4)
    assert got.nll == pytest.approx(-np.mean(np.log([0.9, 0.9, 0.1, 0.6])))
    assert sum(b.count for b in reliability(truth, p)) == 4
    with pytest.raises(DataError, match="sum to 1"):
        calibration(truth, p * 2)


def test_a_calibrated_model_has_no_error_and_temperature_one() -> None:
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(20000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (random.random(len(p))[:, None] > p.cumsum(1)).sum(1)
    got = calibration(truth, p)
    assert got.ece < 0.015
    assert got.ece_adaptive < 0.015
    assert fit_temperature(truth, logits) == pytest.approx(1, abs=0.03)
    assert fit_temperature(truth, 3 * logits) == pytest.approx(3, abs=0.1)


def test_coverage_and_risk() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2], [0.6, 0.4]])
    curve = coverage_risk(np.array([0, 0, 1, 1]), p)
    np.testing.assert_allclose(curve, [[0.25, 0, 0.9], [0.75, 1 / 3, 0.8], [1, 0.5, 0.6]])
