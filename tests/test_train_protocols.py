"""Protocols and the guard: nobody on both sides, everyone tested once, labels that mean nothing score chance."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_mer.errors import DataError
from train.metrics import score
from train.protocols import (
    Fold,
    balanced_split,
    check,
    check_weights,
    frame_split,
    inner_validation,
    kfold,
    leave_one_dataset_out,
    loso,
    megc2018_cde,
    megc2018_hde,
    megc2019_cde,
    namesakes,
    official_split,
    spelled_alike,
    subject_split,
)
from train.records import THREE, Clip, class_counts, labeled, labels_of, single_frames


def clip(
    subject: str | None,
    name: str,
    emotion: str = "disgust",
    dataset: str = "casme2",
    objective: str = "I",
    frames: int = 1,
    split: str = "",
    cohort: str = "",
) -> Clip:
    paths = tuple(Path(f"{i}.png") for i in range(frames))
    return Clip(dataset, subject, name, paths, 0, frames // 2, frames - 1, 200.0, (), emotion, objective, split, cohort)


def people(subjects: int, each: int, dataset: str = "casme2", frames: int = 1) -> list[Clip]:
    words = ("disgust", "happiness", "surprise")
    return [
        clip(f"sub{s:02d}", f"EP{s:02d}_{k}", words[(s + k) % 3], dataset, ("I", "II", "III")[k % 3], frames)
        for s in range(subjects)
        for k in range(each)
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b"])), min_size=2, max_size=40))
def test_loso_tests_everybody_once_and_alone(drawn: list[tuple[int, str]]) -> None:
    clips = [clip(f"s{s}", f"c{i}", dataset=dataset) for i, (s, dataset) in enumerate(drawn)]
    groups = {c.group for c in clips}
    if len(groups) < 2:
        with pytest.raises(DataError, match="two subjects"):
            loso(clips)
        return
    folds = loso(clips)
    check(folds, clips)
    assert [fold.name for fold in folds] == sorted(groups)
    assert all({clips[i].group for i in fold.test} == {fold.name} for fold in folds)


def test_substrings_of_subjects_stay_apart() -> None:
    # The fault found in a public implementation: "s1" also took "s11".
    clips = [clip("s1", "a"), clip("s11", "b"), clip("s19", "c")]
    assert [[clips[i].subject for i in fold.test] for fold in loso(clips)] == [["s1"], ["s11"], ["s19"]]


def test_same_people_under_two_names_are_one_group() -> None:
    clips = [
        clip("s01", "a", dataset="smic", cohort="smic"),
        clip("s01", "a", dataset="smic-vis", cohort="smic"),
        clip("s02", "b", dataset="smic"),
    ]
    folds = loso(clips)
    assert len(folds) == 2
    with pytest.raises(DataError, match="smic/s01 is trained on and tested"):
        check(leave_one_dataset_out(clips), clips)


def test_loso_refuses_unknown_people() -> None:
    with pytest.raises(DataError, match="unknown"):
        loso([clip(None, "web1"), clip("s1", "b")])


def test_leave_one_dataset_out() -> None:
    clips = people(3, 2, "casme2") + people(2, 2, "samm") + people(2, 1, "smic")
    folds = leave_one_dataset_out(clips)
    check(folds, clips)
    assert [(fold.name, len(fold.test)) for fold in folds] == [("casme2", 6), ("samm", 4), ("smic", 2)]


def test_megc_protocols() -> None:
    clips = people(3, 3, "casme2") + people(2, 3, "samm")
    first, second = megc2018_hde(clips)
    assert (first.name, len(first.train), len(first.test)) == ("samm", 9, 6)
    assert second == Fold("casme2", first.test, first.train)
    check([first, second], clips)
    assert len(megc2018_cde(clips)) == 5
    assert len(megc2019_cde(clips)) == 5
    with pytest.raises(DataError, match="does not fit the protocol"):
        megc2018_cde([*clips, clip("sub09", "x", objective="VII")])
    with pytest.raises(DataError, match="does not fit the protocol"):
        megc2019_cde([*clips, clip("sub09", "x", "others")])
    with pytest.raises(DataError, match="both casme2 and samm"):
        megc2018_hde(people(2, 2))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["disgust", "happiness", "surprise"]), min_size=5, max_size=80), st.integers(0, 3))
def test_kfold_spreads_each_class_evenly(words: list[str], seed: int) -> None:
    clips = [clip(f"s{i % 4}", f"c{i}", word) for i, word in enumerate(words)]
    folds = kfold(clips, "emotion", 5, seed)
    check(folds, clips, subject_disjoint=False)
    assert folds == kfold(clips, "emotion", 5, seed)
    for word in set(words):
        counts = [sum(clips[i].emotion == word for i in fold.test) for fold in folds]
        assert max(counts) - min(counts) <= 1  # "100 anger samples: five groups of 20" (Hata et al.)
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_kfold_refuses_what_it_cannot_split() -> None:
    with pytest.raises(DataError, match="cannot make 5 folds"):
        kfold(people(1, 3), "emotion", 5)
    with pytest.raises(DataError, match="no class"):
        kfold([*people(2, 3), clip("s", "x", "others")], "3", 2)


def test_frame_split_is_seventy_thirty_and_leaks_by_design() -> None:
    samples = single_frames(people(4, 5, frames=10))
    (fold,) = frame_split(samples, seed=3)
    assert (len(fold.train), len(fold.test)) == (140, 60)
    assert [fold] == frame_split(samples, seed=3) != frame_split(samples, seed=4)
    check([fold], samples, subject_disjoint=False, once=False)
    with pytest.raises(DataError, match="trained on and tested"):
        check([fold], samples, once=False)
    (clean,) = subject_split(samples)
    check([clean], samples, once=False)


def test_balanced_split_takes_at_most_a_hundred_of_each_class() -> None:
    samples = [clip("s1", f"a{i}", "disgust") for i in range(150)] + [clip("s1", f"b{i}", "fear") for i in range(40)]
    (fold,) = balanced_split(samples, "emotion")
    train, test = (Counter(samples[i].emotion for i in side) for side in (fold.train, fold.test))
    assert train == {"disgust": 75, "fear": 30}
    assert test == {"disgust": 25, "fear": 10}


def test_official_split() -> None:
    clips = [clip(None, "a", split="train"), clip(None, "b", split="validation"), clip(None, "c", split="test")]
    assert official_split(clips) == [Fold("official", (0,), (2,))]
    with pytest.raises(DataError, match="no official split"):
        official_split(people(2, 2))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(1, 4), st.floats(0.05, 0.9), st.integers(0, 5))
def test_inner_validation_separates_people(subjects: int, each: int, fraction: float, seed: int) -> None:
    clips = people(subjects, each)
    fold = inner_validation(clips, fraction, seed)
    check([fold], clips, once=False)
    assert sorted(fold.train + fold.test) == list(range(len(clips)))
    assert fold == inner_validation(clips, fraction, seed)
    if len(fold.train) > each:  # more than one person could still have been taken
        assert len(fold.test) >= fraction * len(clips)


def test_inner_validation_needs_two_people() -> None:
    with pytest.raises(DataError, match="two subjects"):
        inner_validation(people(1, 5))


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([], "no folds"),
        ([Fold("a", (0,), (0, 1, 2, 3))], "trained on and tested"),
        ([Fold("a", (0, 1), ())], "empty"),
        ([Fold("a", (0, 1), (2, 7))], "positions beyond"),
        ([Fold("a", (0, 1), (2, 2))], "repeats"),
        ([Fold("a", (0, 1), (2, 3))], "tested 0 times"),
        ([Fold("a", (0, 1), (2, 3)), Fold("b", (2, 3), (0, 1)), Fold("c", (0, 1), (2, 3))], "tested 2 times"),
        ([Fold("a", (0, 2), (1, 3))], "subject casme2/sub00"),
    ],
)
def test_the_guard_catches(folds: list[Fold], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(folds, people(2, 2))


def test_a_clip_that_two_data_sets_give_is_found_by_its_key() -> None:
    clips = people(3, 2)
    check(loso(clips), clips)
    twice = [*clips, clips[0]]
    with pytest.raises(DataError, match=f"1 clips occur twice, e.g. {clips[0].key}"):
        check(loso(twice), twice)


def test_subjects_that_differ_in_spelling_only_are_found() -> None:
    names = ("sub01", "S1", "sub02", "AF01", "AM01", "anna", "Anna", "12")
    clips = [clip(name, "a") for name in names]
    assert spelled_alike(clips) == [("S1", "sub01"), ("Anna", "anna")]
    assert spelled_alike(clips[2:5]) == []


@pytest.mark.parametrize("known", ["casme2/sub01", "casme2/sub1", "casme2/S01"])
def test_weights_that_know_a_tested_person_are_refused_however_the_name_is_spelt(known: str) -> None:
    clips = people(3, 2)
    check_weights(loso(clips), clips, ["casme2/sub09", "samm/sub01"])
    with pytest.raises(DataError, match=f"fold casme2/sub01: the starting weights were trained on {known}"):
        check_weights(loso(clips), clips, ["casme2/sub09", known])


def test_a_namesake_in_an_own_table_is_told() -> None:
    own = [clip("sub1", "a", dataset="clips", cohort="own"), clip("anna", "b", dataset="clips", cohort="own")]
    assert namesakes(own, ["casme2/sub01", "samm/007"]) == ("casme2/sub01", "own/sub1")
    assert namesakes(own, ["casme2/sub02", "own/anna"]) is None
    assert namesakes(people(2, 1), ["samm/sub01"]) is None


def test_class_schemes() -> None:
    fear, other = clip("s", "a", "fear"), clip("s", "b", "others")
    assert (fear.label("3"), other.label("3")) == ("negative", None)
    assert (fear.label("5"), other.label("5"), fear.label("7")) == (None, "others", "fear")
    assert (fear.label("objective"), fear.label("emotion")) == ("I", "fear")
    assert labels_of([fear], "3") == THREE
    assert labels_of([fear], "5") == ("disgust", "happiness", "others", "repression", "surprise")
    assert labels_of([fear, other], "emotion") == ("fear", "others")
    assert labeled([fear, other], "3") == [fear]
    assert labeled([fear, other], "emotion", ["others"]) == [other]
    assert class_counts([fear, other, fear], "3") == {"negative": 2}
    with pytest.raises(DataError, match="unknown class scheme"):
        fear.label("4")


def test_single_frames_keep_the_person_and_the_key_frames() -> None:
    (one,) = people(1, 1, frames=7)
    assert len(single_frames([one])) == 7
    key = single_frames([one], "key")
    assert [sample.frames[0].name for sample in key] == ["0.png", "3.png", "6.png"]
    assert {sample.group for sample in key} == {one.group}
    assert len({sample.key for sample in key}) == 3
    with pytest.raises(DataError, match="all"):
        single_frames([one], "some")


def nearest_mean(features: np.ndarray, labels: np.ndarray, folds: list[Fold]) -> float:
    """UAR of the simplest classifier, pooled over the folds (its tested samples only)."""
    truth, said = [], []
    for fold in folds:
        train, test = list(fold.train), list(fold.test)
        means = np.stack([features[train][labels[train] == k].mean(0) for k in range(3)])
        said += list(((features[test][:, None] - means) ** 2).sum(2).argmin(1))
        truth += list(labels[test])
    return score(np.array(truth), np.array(said), THREE).uar


def test_permuted_labels_fall_to_chance_only_without_a_leak() -> None:
    """Synthetic clips of 10 nearly equal frames. Permuted labels are learned only through the leaky split."""
    random = np.random.default_rng(0)
    clips = people(20, 9, frames=10)
    samples = single_frames(clips)
    classes = np.array([THREE.index(str(c.label("3"))) for c in clips])
    looks = random.normal(size=(len(clips), 200))  # how each clip looks, whatever its class
    expression = np.eye(3, 200)[classes] * 4
    frames = np.repeat(looks + expression, 10, axis=0) + 0.1 * random.normal(size=(len(samples), 200))
    people_folds, leaky = loso(samples), frame_split(samples)
    check(people_folds, samples)

    assert nearest_mean(frames, np.repeat(classes, 10), people_folds) > 0.8
    clean, leaked = [], []
    for _ in range(5):
        permuted = np.repeat(random.permutation(classes), 10)
        clean.append(nearest_mean(frames, permuted, people_folds))
        leaked.append(nearest_mean(frames, permuted, leaky))
    # 180 independent clips: one run of chance is 1/3 +- 0.035, the mean of five +- .016.
    assert abs(np.mean(clean) - 1 / 3) < 0.06
    assert np.mean(leaked) > 0.6
