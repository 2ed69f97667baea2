"""The stored result of an evaluation: one folder per run, with plain JSON. Nothing is trained or scored here."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_mer.errors import DataError, OutputError
from train import metrics
from train.calibration import Calibrated


@dataclass(frozen=True, slots=True, eq=False)
class TestedPairs:
    """Answers to pairs of moments by networks and gates that did not know the person. keys: of the clip, (M,). kinds:
    descriptions. still: bool (M,), whether nothing moves. logits: (M, K). none: probability that nothing moves,
    (M,)."""

    keys: tuple[str, ...]
    kinds: tuple[str, ...]
    still: NDArray[np.bool_]
    logits: NDArray[np.float64]
    none: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One evaluation, as stored. Rows of ``truth``, ``logits``, ``keys`` and ``groups`` belong together: one for each
    tested clip, folds one after another. best: logits of the epoch that did best on the test fold (a leak), or None.
    curves: for each fold its epochs. seconds: training and testing, all folds. own: which were made from a recording
    as the runtime makes them, the others from one picture. moved: logits of the same clips at other key frames, by what
    was moved. calibrated: probabilities and whether each was answered, nested; None when the recipe asks for none.
    none: probability (N,) that nothing moves, by a gate that did not know the person; 0 for what is no recording.
    pairs: the same clips' still pairs and movements as ``train.still`` makes them. Both None without such an answer.
    looks: of networks on pictures, for each class where they look (``train.looks``); None of others."""

    name: str
    protocol: str
    labels: tuple[str, ...]
    truth: NDArray[np.int64]
    logits: NDArray[np.float32]
    best: NDArray[np.float32] | None
    keys: tuple[str, ...]
    groups: tuple[str, ...]
    folds: tuple[str, ...]
    curves: tuple[tuple[dict[str, Any], ...], ...]
    seconds: float
    about: dict[str, Any]
    own: NDArray[np.bool_]
    moved: dict[str, NDArray[np.float32]]
    calibrated: Calibrated | None = None
    none: NDArray[np.float64] | None = None
    pairs: TestedPairs | None = None
    looks: tuple[NDArray[np.float64] | None, ...] | None = None

    @property
    def main(self) -> NDArray[np.bool_]:
        """The samples of the kind that the model is made for, (N,): own motion if there is any, otherwise all."""
        return self.own if self.own.any() else ~self.own

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, K): calibrated if the recipe asks for it, otherwise the softmax of the logits."""
        return softmax(self.logits) if self.calibrated is None else self.calibrated.probabilities

    @property
    def answers(self) -> NDArray[np.float64]:
        """The output of the model's file: ``probabilities`` and, if there is such an answer, the probability that
        nothing moves: (N, K) or (N, K + 1)."""
        if self.none is None:
            return self.probabilities
        none = self.none[:, None]
        return np.concatenate([(1 - none) * self.probabilities, none], axis=1)

    @property
    def scores(self) -> metrics.Scores:
        return metrics.score(self.truth, self.probabilities, self.labels)

    @property
    def best_scores(self) -> metrics.Scores | None:
        """Scores with the epoch chosen on the test fold: never a result, only to show the effect of the leak."""
        return None if self.best is None else metrics.score(self.truth, softmax(self.best), self.labels)

    @staticmethod
    def from_plain(stored: dict[str, Any]) -> Run:
        """The run from what ``evaluate`` stored."""
        return Run(
            name=stored["name"],
            protocol=stored["protocol"],
            labels=tuple(stored["labels"]),
            truth=np.array(stored["truth"], np.int64),
            logits=np.array(stored["logits"], np.float32),
            best=None if stored["best"] is None else np.array(stored["best"], np.float32),
            keys=tuple(stored["keys"]),
            groups=tuple(stored["groups"]),
            folds=tuple(stored["folds"]),
            curves=tuple(tuple(fold) for fold in stored["curves"]),
            seconds=float(stored["seconds"]),
            about=stored["about"],
            own=np.array(stored.get("own", [True] * len(stored["keys"])), np.bool_),
            moved={name: np.array(logits, np.float32) for name, logits in stored.get("moved", {}).items()},
            calibrated=_calibrated(stored.get("calibrated")),
            none=None if stored.get("none") is None else np.array(stored["none"], np.float64),
            pairs=_pairs(stored.get("pairs")),
            looks=_looks(stored.get("looks")),
        )


def _looks(stored: list[Any] | None) -> tuple[NDArray[np.float64] | None, ...] | None:
    if stored is None:
        return None
    return tuple(None if found is None else np.array(found, np.float64) for found in stored)


def _pairs(stored: dict[str, Any] | None) -> TestedPairs | None:
    if stored is None:
        return None
    return TestedPairs(
        tuple(stored["keys"]), tuple(stored["kinds"]), np.array(stored["still"], np.bool_),
        np.array(stored["logits"], np.float64), np.array(stored["none"], np.float64),
    )  # fmt: skip


def _calibrated(stored: dict[str, Any] | None) -> Calibrated | None:
    if stored is None:
        return None
    return Calibrated(
        np.array(stored["probabilities"], np.float64), np.array(stored["answered"], np.bool_),
        np.array(stored["decided"], np.float64),
    )  # fmt: skip


def load(out: Path) -> Run:
    """Reads a finished run. Raises DataError when there is none."""
    try:
        stored = json.loads((out / "run.json").read_text(encoding="utf-8"))
        return Run.from_plain(stored)
    except FileNotFoundError:
        raise DataError(f"{out} holds no finished run: give the folder that evaluate or reproduce wrote") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{out / 'run.json'} cannot be read ({error}): run it again") from None


def store(file: Path, content: dict[str, Any]) -> None:
    """Writes JSON atomically. Raises OutputError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(file.name + ".part")
        part.write_text(json.dumps(content), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise OutputError(f"cannot write {file} ({error.strerror}): check the folder and the space left") from None


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    z = logits.astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def commit() -> str:
    """Short hash of the code's commit, empty outside a repository."""
    try:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
            capture_output=True, text=True, check=True, timeout=5,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
