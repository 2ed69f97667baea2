"""What a model file says of itself. The spec travels inside the ONNX file's metadata as JSON under KEY."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from realtime_mer.errors import ModelError

KEY: Final = "realtime_mer.model_spec"
FORMAT: Final = 1  # raised when a field changes its meaning


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything the runtime must know to use a model, and everything a user should know before trusting it.

    name:        e.g. "flow-default". version: of the weights, e.g. "1".
    labels:      class names in the order of the outputs.
    feature:     id of the input feature in ``realtime_mer.motion.flow.FEATURES``, with its version, e.g. "flow-uvs/1".
    input_shape: one sample without the batch axis, e.g. (3, 128, 128).
    temperature: divides the logits before the softmax (already applied inside the file: kept for the record).
    abstain_below: the runtime abstains when the largest probability is lower.
    training_data, licence, protocol: for people, one line each.
    scores:      e.g. {"UF1": {"value": .8, "low": .72, "high": .86}, "ECE": {"value": .03}}.
    commit:      of the code that trained it. created: ISO date.
    """

    name: str
    version: str
    labels: tuple[str, ...]
    feature: str
    input_shape: tuple[int, ...]
    temperature: float = 1.0
    abstain_below: float = 0.0
    training_data: str = ""
    licence: str = ""
    protocol: str = ""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    commit: str = ""
    created: str = ""
    format: int = FORMAT

    @property
    def id(self) -> str:
        """Name and version, as stored in every event."""
        return f"{self.name}/{self.version}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> ModelSpec:
        """Reads what ``to_json`` wrote. Raises ModelError when it is something else or of another format."""
        try:
            values: dict[str, Any] = json.loads(text)
            if values.get("format") != FORMAT:
                raise ModelError(
                    f"model spec has format {values.get('format')}, this version reads {FORMAT}: export it anew"
                )
            values["labels"] = tuple(values["labels"])
            values["input_shape"] = tuple(int(n) for n in values["input_shape"])
            return ModelSpec(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"model spec cannot be read ({error}): export the model anew") from None
