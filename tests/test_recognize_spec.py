"""What a model file says of itself: it comes back, and what cannot be true is refused in one line."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_mer.errors import ModelError
from realtime_mer.recognize import answer
from realtime_mer.recognize.spec import Head, ModelSpec, check_answer

LABELS = ("negative", "positive", "surprise")
OBJECTIVE = {"name": "objective", "labels": ["I", "II"]}
SPEC = ModelSpec(
    "flow", "2", LABELS, "flow-uvs/1", (3, 28, 28), 1.3, 0.5, scores={"UF1": {"value": 0.8, "low": 0.7, "high": 0.9}}
)


def test_it_comes_back() -> None:
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC
    coded = replace(SPEC, heads=(Head("objective", ("I", "II")), Head("action_units", ("AU4",), each=True)))
    assert ModelSpec.from_json(coded.to_json()) == coded
    assert coded.outputs == ("probabilities", "objective", "action_units")
    assert coded.width == 3 + 2 + 1


def test_each_output_of_a_file_is_checked_by_its_own_rule() -> None:
    coded = replace(SPEC, heads=(Head("objective", ("I", "II")), Head("action_units", ("AU4", "AU12"), each=True)))
    good = np.array([[0.2, 0.3, 0.5, 0.4, 0.6, 0.9, 0.8]], np.float32)
    check_answer(good, 1, coded, "a.onnx")
    for column, value in ((0, 0.5), (3, 0.9), (5, 1.5), (6, -0.1), (6, np.nan)):
        bad = good.copy()
        bad[0, column] = value
        with pytest.raises(ModelError, match="not probabilities"):
            check_answer(bad, 1, coded, "a.onnx")
    with pytest.raises(ModelError, match="answers"):
        check_answer(good[:, :3], 1, coded, "a.onnx")


def test_no_motion_has_no_objective_class_and_no_action_units() -> None:
    heads = (Head("objective", ("I", "II"), abstain_below=0.7), Head("action_units", ("AU4", "AU12"), each=True))
    coded = replace(SPEC, labels=("negative", "positive", "none"), none="none", heads=heads)
    moving = answer(np.array([0.8, 0.1, 0.1, 0.4, 0.6, 0.9, 0.2], np.float32), coded)
    assert moving.prediction.label == "negative"
    assert (moving.objective.label, moving.objective.probabilities["II"]) == (None, pytest.approx(0.6))
    assert moving.action_units == {"AU4": pytest.approx(0.9), "AU12": pytest.approx(0.2)}
    still = answer(np.array([0.1, 0.1, 0.8, 0.4, 0.6, 0.9, 0.2], np.float32), coded)
    assert (still.prediction.label, still.objective, still.action_units) == (None, None, None)


def test_a_spec_of_before_there_was_none_still_opens() -> None:
    older = asdict(SPEC)
    del older["none"]
    older["licence"] = older.pop("license")
    assert ModelSpec.from_json(json.dumps(older)) == SPEC


def test_a_field_of_a_later_version_is_left_out() -> None:
    assert ModelSpec.from_json(json.dumps({**asdict(SPEC), "later": {"x": 1}})) == SPEC


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": 2}, "format 2, this version reads 1"),
        ({"format": None}, "format None, this version reads 1"),
        ({"labels": "abc"}, "labels: expected array, got str"),
        ({"labels": []}, "labels must be different names"),
        ({"labels": ["a", "a"]}, r"labels must be different names, not \['a', 'a'\]"),
        ({"labels": ["a", ""]}, "labels must be different names"),
        ({"labels": ["a", 3]}, r"labels\[1\]: expected str, got int"),
        ({"input_shape": [3, 28]}, "input_shape must be three numbers"),
        ({"input_shape": [3, -28, 28]}, "input_shape must be three numbers"),
        ({"input_shape": [3, 10**6, 10**6]}, "input_shape must be three numbers"),
        ({"input_shape": [3, 28.5, 28]}, r"input_shape\[1\]: expected int, got float"),
        ({"temperature": 0}, "temperature must be a number above 0, not 0"),
        ({"temperature": -1.3}, "temperature must be a number above 0, not -1.3"),
        ({"temperature": math.nan}, "NaN is not a finite number"),
        ({"temperature": math.inf}, "Infinity is not a finite number"),
        ({"abstain_below": math.nan}, "NaN is not a finite number"),
        ({"abstain_below": 1.5}, "abstain_below must lie between 0 and 1, not 1.5"),
        ({"abstain_below": -0.1}, "abstain_below must lie between 0 and 1"),
        ({"abstain_below": "0.5"}, "abstain_below: expected float, got str"),
        ({"none": "other"}, "none must be one of two labels or more, not 'other'"),
        ({"labels": ["none"], "none": "none"}, "none must be one of two labels or more"),
        ({"none": 3}, "none: expected str, got int"),
        ({"name": "flow\n\x1b[2J"}, r"'flow\\n\\x1b\[2J' is not one line of text"),
        ({"license": "a\nb"}, r"'a\\nb' is not one line of text"),
        ({"scores": {"UF1": 0.8}}, r"scores\[\.\.\.\]: expected object, got float"),
        ({"scores": {"UF1": {}}}, "score 'UF1' must have a value"),
        ({"scores": {"UF1": {"value": 0.8, "low": 0.7}}}, "score 'UF1' must have a value, and low and high together"),
        ({"scores": {"UF1": {"value": 10**400}}}, "number out of range"),
        ({"heads": [{"name": "age", "labels": ["a"]}]}, "a head must be called objective or action_units"),
        ({"heads": [OBJECTIVE, OBJECTIVE]}, "each at most once"),
        ({"heads": [{**OBJECTIVE, "each": True}]}, "the head objective cannot have each = True"),
        ({"heads": [{**OBJECTIVE, "labels": ["I", "I"]}]}, "labels of the head objective must be different names"),
        ({"heads": [{**OBJECTIVE, "abstain_below": 2}]}, "abstain_below of the head objective"),
        ({"heads": [{**OBJECTIVE, "scores": {"UF1": {}}}]}, "score 'UF1' must have a value"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_true_is_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        ModelSpec.from_json(json.dumps({**asdict(SPEC), **values}), "some.onnx")
    assert "some.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"x"', "[" * 100_000, '{"format": 1}'])
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"the model spec of some\.onnx cannot be used") as caught:
        ModelSpec.from_json(text, "some.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, -0.5, 1.5])
def test_a_threshold_is_checked_however_the_spec_is_made(value: float) -> None:
    with pytest.raises(ModelError, match="abstain_below must lie between 0 and 1"):
        ModelSpec("flow", "2", LABELS, "flow-uvs/1", (3, 28, 28), abstain_below=value)


@given(st.dictionaries(st.sampled_from([*asdict(SPEC)]), st.integers() | st.floats() | st.text() | st.lists(st.text())))
def test_any_values_are_a_spec_or_a_model_error(values: dict[str, object]) -> None:
    said = ""
    try:
        ModelSpec.from_json(json.dumps({**asdict(SPEC), **values}))
    except ModelError as error:
        said = str(error)
    assert "\n" not in said
