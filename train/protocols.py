"""Protocols: pure functions from clips to folds, and the check for leaks.

Every function returns positions in the sequence of clips that it was given, and the same folds for the same clips and
seed on every machine. Filter first (``train.records.labeled``): a protocol refuses clips without a class. Training
never sees ``Fold.test``; a validation part is taken inside ``Fold.train`` with ``inner_validation``. Three protocols
leak on purpose, because papers used them: ``frame_split``, ``balanced_split``, and ``kfold`` by label, which puts one
person on both sides. They exist to be shown beside a clean one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from realtime_mer.errors import DataError
from train.records import MEGC2018, OWN, Clip


@dataclass(frozen=True, slots=True)
class Fold:
    """One training and its test: positions in the clips, ascending. name: who is tested."""

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]


def loso(clips: Sequence[Clip]) -> list[Fold]:
    """Leave one subject out: one fold per person, sorted by name. DataError when a clip's subject is unknown."""
    for clip in clips:
        if clip.subject is None:
            raise DataError(
                f"{clip.key}: the subject is unknown, so leave-one-subject-out cannot be done with this data set"
            )
    return _one_out(clips, lambda clip: clip.group, "subjects")


def leave_one_dataset_out(clips: Sequence[Clip]) -> list[Fold]:
    """Train on all data sets but one, test on that one."""
    return _one_out(clips, lambda clip: clip.dataset, "data sets")


def megc2019_cde(clips: Sequence[Clip]) -> list[Fold]:
    """Composite evaluation of MEGC2019: LOSO over SMIC, CASME II and SAMM together, three classes (68 folds)."""
    _require(clips, "3", ("negative", "positive", "surprise"), None)
    return loso(clips)


def megc2018_cde(clips: Sequence[Clip]) -> list[Fold]:
    """Composite evaluation of MEGC2018: LOSO over CASME II and SAMM together, objective classes I to V."""
    _require(clips, "objective", MEGC2018, {"casme2", "samm"})
    return loso(clips)


def megc2018_hde(clips: Sequence[Clip]) -> list[Fold]:
    """Hold-out evaluation of MEGC2018: train on CASME II, test on SAMM, and the reverse; objective classes I to V.

    Folds in the order of Peng et al. (2018): the first trains on CASME II.
    """
    _require(clips, "objective", MEGC2018, {"casme2", "samm"})
    sides = {name: tuple(i for i, clip in enumerate(clips) if clip.dataset == name) for name in ("casme2", "samm")}
    if not all(sides.values()):
        raise DataError("the hold-out protocol needs clips of both casme2 and samm")
    return [Fold("samm", sides["casme2"], sides["samm"]), Fold("casme2", sides["samm"], sides["casme2"])]


def kfold(clips: Sequence[Clip], scheme: str, folds: int = 5, seed: int = 0) -> list[Fold]:
    """Stratified by label, as Hata et al. (2025): each class is spread evenly over the folds.

    The same person may be on both sides, so this is not a clean protocol.
    """
    if not 2 <= folds <= len(clips):
        raise DataError(f"cannot make {folds} folds of {len(clips)} clips")
    part = np.empty(len(clips), np.int64)
    next_part = 0  # continued over the classes, so that the folds' sizes differ by at most one
    for members in _shuffled_classes(clips, scheme, np.random.default_rng(seed)):
        for member in members:
            part[member] = next_part % folds
            next_part += 1
    everyone = range(len(clips))
    return [
        Fold(f"fold {k + 1}", tuple(i for i in everyone if part[i] != k), tuple(i for i in everyone if part[i] == k))
        for k in range(folds)
    ]


def frame_split(samples: Sequence[Clip], train: float = 0.7, seed: int = 0) -> list[Fold]:
    """Random split of frames, as Ho et al. (2023): train on 70 % of all frames, test on the rest, regardless of the
    person.

    ``samples`` come from ``single_frames``. It leaks: neighbors of a test frame, 5 ms away, are trained on.
    """
    if not 0 < train < 1 or len(samples) < 2:
        raise DataError("the frame split needs two samples and a training fraction between 0 and 1")
    order = np.random.default_rng(seed).permutation(len(samples))
    cut = min(max(round(train * len(samples)), 1), len(samples) - 1)
    return [Fold("random frames", _ascending(order[:cut]), _ascending(order[cut:]))]


def balanced_split(
    samples: Sequence[Clip], scheme: str, train: float = 0.75, at_most: int = 100, seed: int = 0
) -> list[Fold]:
    """At most ``at_most`` samples of each class, 75 % of them for training, as Ibrahim et al. (2020).

    Further samples are not used. It leaks: frames of one clip are on both sides.
    """
    if not 0 < train < 1:
        raise DataError("the training fraction must be between 0 and 1")
    first: list[int] = []
    second: list[int] = []
    for members in _shuffled_classes(samples, scheme, np.random.default_rng(seed)):
        kept = members[:at_most]
        cut = round(train * len(kept))
        first += kept[:cut]
        second += kept[cut:]
    if not first or not second:
        raise DataError("too few samples for a balanced split")
    return [Fold("balanced", _ascending(first), _ascending(second))]


def official_split(clips: Sequence[Clip]) -> list[Fold]:
    """The data set's own split: train on "train", test on "test"; "validation" is not used."""
    parts = {name: tuple(i for i, clip in enumerate(clips) if clip.split == name) for name in ("train", "test")}
    if not all(parts.values()):
        raise DataError("these clips carry no official split into train and test")
    return [Fold("official", parts["train"], parts["test"])]


def subject_split(clips: Sequence[Clip], test: float = 0.3, seed: int = 0) -> list[Fold]:
    """One split by person: the clean counterpart of ``frame_split``. About a fraction ``test`` of the samples is
    tested."""
    fold = inner_validation(clips, test, seed)
    return [Fold("random subjects", fold.train, fold.test)]


def inner_validation(train_clips: Sequence[Clip], fraction: float = 0.2, seed: int = 0) -> Fold:
    """Splits training clips by person for early stopping or calibration, as positions in ``train_clips``.

    People are drawn until ``fraction`` of the clips is reached; at least one stays on each side.
    """
    return hold_out([clip.group for clip in train_clips], fraction, seed)


def hold_out(people: Sequence[str], fraction: float, seed: int) -> Fold:
    """``inner_validation`` for samples of which only the person is known, as positions in ``people``."""
    samples = Counter(people)
    if len(samples) < 2 or not 0 < fraction < 1:
        raise DataError("a split by subject needs two subjects and a fraction between 0 and 1")
    names, held, size = sorted(samples), set(), 0
    for position in np.random.default_rng(seed).permutation(len(names))[:-1]:
        held.add(names[position])
        size += samples[names[position]]
        if size >= fraction * len(people):
            break
    return Fold(
        "inner",
        tuple(i for i, person in enumerate(people) if person not in held),
        tuple(i for i, person in enumerate(people) if person in held),
    )


def check(folds: Sequence[Fold], clips: Sequence[Clip], subject_disjoint: bool = True, once: bool = True) -> None:
    """The check before any training.

    Raises DataError with the fold and the fault. subject_disjoint: no person in both train and test of a fold. once:
    every clip is tested exactly once (turn off for single splits, which test a part). Always checked: positions exist
    and are unique, no clip is on both sides, no side is empty, and no two clips share a key, as the same clip from two
    data sets would.
    """
    if not folds:
        raise DataError("the protocol gave no folds")
    if twice := [key for key, count in Counter(clip.key for clip in clips).items() if count > 1]:
        raise DataError(f"{len(twice)} clips occur twice, e.g. {twice[0]}: name each data set once")
    for fold in folds:
        for side in (fold.train, fold.test):
            if not side or len(set(side)) != len(side) or min(side) < 0 or max(side) >= len(clips):
                raise DataError(
                    f"fold {fold.name}: a side is empty, repeats a clip or has positions beyond the {len(clips)} clips"
                )
        if both := set(fold.train) & set(fold.test):
            raise DataError(f"fold {fold.name}: {clips[min(both)].key} is trained on and tested")
        if subject_disjoint and (both_groups := _groups(clips, fold.train) & _groups(clips, fold.test)):
            raise DataError(f"fold {fold.name}: subject {min(both_groups)} is trained on and tested")
    tested = Counter(i for fold in folds for i in fold.test)
    if once and (wrong := [i for i in range(len(clips)) if tested[i] != 1]):
        raise DataError(f"{clips[wrong[0]].key} is tested {tested[wrong[0]]} times; each clip must be tested once")


def check_weights(folds: Sequence[Fold], clips: Sequence[Clip], people: Sequence[str]) -> None:
    """Raises DataError when a fold tests someone on whom the starting weights were trained. people: ``Clip.group``."""
    for fold in folds:
        tested = {person(group) for group in _groups(clips, fold.test)}
        if known := {name for name in people if person(name) in tested}:
            raise DataError(
                f"fold {fold.name}: the starting weights were trained on {min(known)}: use weights made without "
                "the tested people (fit --leave-out)"
            )


def person(group: str) -> str:
    """The group of a clip (``Clip.group``) with the subject's name normalized: the same for sub01, sub1 and S01."""
    where, _, subject = group.partition("/")
    return f"{where}/{subject if subject.startswith('unknown:') else _plain(subject)}"


def namesakes(clips: Sequence[Clip], people: Sequence[str]) -> tuple[str, str] | None:
    """One of ``people`` (``Clip.group``) and someone with the same name in another data set, who may be the same
    person: a table of own clips can contain a published data set under its subjects' names."""
    theirs = {person(name).partition("/")[2]: name for name in people}
    ours = {person(clip.group): clip.group for clip in clips if clip.subject is not None}
    for who, group in sorted(ours.items()):
        where, _, subject = who.partition("/")
        if where == OWN and subject in theirs and person(theirs[subject]) != who:
            return theirs[subject], group
    return None


def spelled_alike(clips: Sequence[Clip]) -> list[tuple[str, ...]]:
    """Subjects of one data set whose names differ only in spelling (sub01, sub1, S01), probably the same person. Such
    names would put one person on both sides of a split.
    """
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for clip in clips:
        if clip.subject is not None:
            found[clip.cohort or clip.dataset, _plain(clip.subject)].add(clip.subject)
    return [tuple(sorted(names)) for _, names in sorted(found.items()) if len(names) > 1]


def doubts(clips: Sequence[Clip]) -> list[str]:
    """A question for each group of names in ``spelled_alike``."""
    return [
        f"are {' and '.join(names)} the same person? They count as different people" for names in spelled_alike(clips)
    ]


def _plain(subject: str) -> str:
    """The name without case, punctuation, leading zeros and words for "subject"."""
    name = re.sub(r"[^a-z0-9]", "", subject.lower())
    numbered = re.fullmatch(r"(?:s|sub|subj|subject|p|participant)?0*([0-9]+)", name)
    return numbered[1] if numbered else name


def _one_out(clips: Sequence[Clip], key: Callable[[Clip], str], what: str) -> list[Fold]:
    members: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        members[key(clip)].append(i)
    if len(members) < 2:
        raise DataError(f"leaving one out needs at least two {what}; found {len(members)}")
    return [
        Fold(name, tuple(i for i, clip in enumerate(clips) if key(clip) != name), tuple(members[name]))
        for name in sorted(members)
    ]


def _shuffled_classes(clips: Sequence[Clip], scheme: str, random: np.random.Generator) -> list[list[int]]:
    """Positions of each class in random order, classes sorted by name."""
    classes: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        label = clip.label(scheme)
        if label is None:
            raise DataError(f"{clip.key} has no class under the scheme {scheme!r}: filter with labeled() first")
        classes[label].append(i)
    return [[classes[name][int(i)] for i in random.permutation(len(classes[name]))] for name in sorted(classes)]


def _require(clips: Sequence[Clip], scheme: str, classes: Sequence[str], datasets: set[str] | None) -> None:
    for clip in clips:
        if clip.label(scheme) not in classes or (datasets is not None and clip.dataset not in datasets):
            allowed = f" of {' and '.join(sorted(datasets))}" if datasets else ""
            raise DataError(f"{clip.key} does not fit the protocol, which takes clips{allowed} in {', '.join(classes)}")


def _groups(clips: Sequence[Clip], positions: Sequence[int]) -> set[str]:
    return {clips[i].group for i in positions}


def _ascending(positions: Sequence[int] | np.ndarray) -> tuple[int, ...]:
    return tuple(sorted(int(i) for i in positions))
