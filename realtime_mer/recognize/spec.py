"""The metadata of a model. The spec is stored in the ONNX file's metadata as JSON under KEY."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from realtime_mer.errors import ModelError
from realtime_mer.records import Floats
from realtime_mer.typed import LARGEST, convert, from_json, shown

KEY: Final = "realtime_mer.model_spec"
FORMAT: Final = 1  # increased when a field changes its meaning
PROBABILITIES: Final = "probabilities"  # name of a file's first output, for the labels
# The further answers that this version knows, and the names of their outputs.
OBJECTIVE: Final = "objective"
ACTION_UNITS: Final = "action_units"
HEADS: Final = (OBJECTIVE, ACTION_UNITS)
TOLERANCE: Final = 1e-3  # largest deviation from 1 of the sum of probabilities in half precision
PROBES: Final = 2  # number of test samples, which finds a file whose batch is fixed at one
LARGEST_SIDE: Final = 4096  # px of an input; the face is aligned to 128


@dataclass(frozen=True, slots=True)
class Head:
    """A further answer of the same file, in its own output, learned from other clips than the labels.

    name: OBJECTIVE or ACTION_UNITS, also the name of the output. labels: in the order of the output's columns. each:
    whether each label has its own probability, as for action units; otherwise they add up to 1. abstain_below: for a
    head that is not ``each``, no answer when its largest probability is lower. training_data, scores: as for the model.
    """

    name: str
    labels: tuple[str, ...]
    each: bool = False
    abstain_below: float = 0.0
    training_data: str = ""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything the runtime must know to use a model, and everything a user should know before trusting it.

    name:        e.g. "flow-default". version: of the weights, e.g. "1".
    labels:      class names in the order of the outputs.
    feature:     id of the input feature in ``realtime_mer.motion.flow.FEATURES``, with its version, e.g. "flow-uvs/1".
    input_shape: one sample without the batch axis, e.g. (3, 128, 128).
    temperature: divides the logits before the softmax (already applied inside the file: kept for the record).
    abstain_below: the runtime abstains when the largest probability is lower.
    none:        the label that says that nothing moves; the runtime abstains when it is the most probable. Empty: the
                 model has none, and answers noise as if it were a movement.
    training_data, license, protocol: for people, one line each.
    people: whom it was trained on, data set and subject, e.g. "casme2/sub01": their recordings prove nothing about it.
    scores:      e.g. {"UF1": {"value": 0.8, "low": 0.72, "high": 0.86}, "ECE": {"value": 0.03}}.
    heads:       further answers beside the labels; empty if the file has none.
    commit:      of the code that trained it. created: ISO date.

    Raises ModelError when the values cannot be those of a model: a label that is there twice, a threshold outside 0 to
    1, a temperature of 0, text of more than one line.
    """

    name: str
    version: str
    labels: tuple[str, ...]
    feature: str
    input_shape: tuple[int, ...]
    temperature: float = 1.0
    abstain_below: float = 0.0
    none: str = ""
    training_data: str = ""
    people: tuple[str, ...] = ()
    license: str = ""
    protocol: str = ""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    heads: tuple[Head, ...] = ()
    commit: str = ""
    created: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if wrong := _wrong(self):
            raise ModelError(f"model spec: {wrong}")

    @property
    def id(self) -> str:
        """Name and version, as stored in every event."""
        return f"{self.name}/{self.version}"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the file's outputs that a recognizer returns, concatenated in one row per sample."""
        return (PROBABILITIES, *(head.name for head in self.heads))

    @property
    def width(self) -> int:
        """Length of a row: the labels, then the labels of each head."""
        return len(self.labels) + sum(len(head.labels) for head in self.heads)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str, where: str = "the model") -> ModelSpec:
        """Reads what ``to_json`` wrote. Raises ModelError with one line when it is something else or of another format.

        where: its file, for the message.
        """
        try:
            values = convert(from_json(text), dict[str, Any])
            if values.get("format") != FORMAT:
                raise ValueError(f"format {shown(values.get('format'))}, this version reads {FORMAT}")
            if "licence" in values:  # spelling in files of version 0.1
                values["license"] = values.pop("licence")
            return convert(values, ModelSpec)
        except ValueError as error:
            raise ModelError(f"the model spec of {where} cannot be used ({error}): export the model again") from None
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from None


def probe(spec: ModelSpec) -> Floats:
    """Test samples for a model: one without motion and one of noise, float32 (PROBES, *input_shape)."""
    samples = np.zeros((PROBES, *spec.input_shape), np.float32)
    samples[1:] = np.random.default_rng(0).standard_normal(samples[1:].shape, np.float32)
    return samples


def check_answer(answer: Floats, count: int, spec: ModelSpec, name: str) -> None:
    """Raises ModelError when an answer for ``count`` samples does not have the probabilities that the spec promises."""
    expected = (count, spec.width)
    if answer.shape != expected:
        raise ModelError(f"{name} answers {answer.shape} where its spec says {expected}: export it again")
    far, begin = _far(answer[:, : len(spec.labels)]), len(spec.labels)
    for head in spec.heads:
        part = answer[:, begin : begin + len(head.labels)]
        far = np.maximum(far, _outside(part) if head.each else _far(part))
        begin += len(head.labels)
    if (far > TOLERANCE).any():
        given = ", ".join(f"{value:.3g}" for value in answer[int(far.argmax())][:5])
        raise ModelError(f"{name} answers {given}, which are not probabilities: export it again")


def _far(answer: Floats) -> Floats:
    """Deviation of each row from probabilities that add up to 1."""
    return np.maximum(_finite(abs(answer.sum(axis=1) - 1)), _outside(answer))


def _outside(answer: Floats) -> Floats:
    """Deviation of each row from numbers between 0 and 1."""
    below, above = answer.min(axis=1), answer.max(axis=1) - 1
    # values below 0 are not tolerated
    return _finite(np.where(below < 0, np.inf, np.maximum(above, 0)))


def _finite(far: Floats) -> Floats:
    return np.where(np.isfinite(far), far, np.inf)


def _wrong(spec: ModelSpec) -> str:
    """What is wrong with the values of a spec, in one line; empty if valid. The types have been checked."""
    texts = (spec.name, spec.version, spec.feature, spec.training_data, spec.license, spec.protocol, spec.commit)
    for text in (*texts, spec.created, *spec.labels, *spec.people, *spec.scores):
        if not text.isprintable():
            return f"{shown(text)} is not one line of text"
    if not spec.labels or not all(spec.labels) or len(set(spec.labels)) < len(spec.labels):
        return f"labels must be different names, not {shown(list(spec.labels))}"
    if spec.none and (spec.none not in spec.labels or len(spec.labels) < 2):
        return f"none must be one of two labels or more, not {shown(spec.none)}"
    if len(spec.input_shape) != 3 or not all(0 < side <= LARGEST_SIDE for side in spec.input_shape):
        return f"input_shape must be three numbers from 1 to {LARGEST_SIDE}, not {shown(list(spec.input_shape))}"
    if not 0 < spec.temperature <= LARGEST:
        return f"temperature must be a number above 0, not {spec.temperature}"
    if not 0 <= spec.abstain_below <= 1:
        return f"abstain_below must lie between 0 and 1, not {spec.abstain_below}"
    for head in spec.heads:
        if head.name not in HEADS or [other.name for other in spec.heads].count(head.name) > 1:
            return f"a head must be called {OBJECTIVE} or {ACTION_UNITS}, each at most once, not {shown(head.name)}"
        if head.each != (head.name == ACTION_UNITS):
            return f"the head {head.name} cannot have each = {head.each}"
        if not head.labels or not all(head.labels) or len(set(head.labels)) < len(head.labels):
            return f"labels of the head {head.name} must be different names, not {shown(list(head.labels))}"
        if not all(text.isprintable() for text in (*head.labels, *head.scores, head.training_data)):
            return f"the head {head.name} has texts that are not one line"
        if not 0 <= head.abstain_below <= 1:
            return f"abstain_below of the head {head.name} must lie between 0 and 1, not {head.abstain_below}"
    for name, score in [*spec.scores.items(), *(pair for head in spec.heads for pair in head.scores.items())]:
        if "value" not in score or ("low" in score) != ("high" in score) or not all(map(math.isfinite, score.values())):
            return f"score {shown(name)} must have a value, and low and high together or not at all"
    return ""
