"""ONNX files made for a purpose: a few operators, the spec of a recognizer, and something wrong with them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from realtime_mer.recognize.spec import KEY, ModelSpec

SIZE = 28
LABELS = ("negative", "positive", "surprise")
SPEC = ModelSpec("made", "0", LABELS, "flow-uvs/1", (3, SIZE, SIZE))


def _constant(
    name: str, values: list[float], kind: int = TensorProto.FLOAT, dims: tuple[int, ...] | None = None
) -> Any:
    tensor = helper.make_tensor(name, kind, (len(values),) if dims is None else dims, values)
    return helper.make_node("Constant", [], [name], value=tensor)


def _fixed() -> list[Any]:
    """(0.2, 0.3, 0.5) for any input, as float32 (N, 3) in ``fixed``; the input's mean as (N, 1) in ``mean``."""
    return [
        helper.make_node("Flatten", ["motion"], ["flat"], axis=1),
        _constant("axes", [1], TensorProto.INT64),
        helper.make_node("ReduceMean", ["flat", "axes"], ["mean"], keepdims=1),
        _constant("zero", [0.0]),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        _constant("answer", [0.2, 0.3, 0.5]),
        helper.make_node("Add", ["nothing", "answer"], ["fixed"]),
    ]


def good() -> list[Any]:
    """The same probabilities for every input."""
    return [*_fixed(), helper.make_node("Identity", ["fixed"], ["probabilities"])]


def scaled(factor: float) -> list[Any]:
    """Good answers times ``factor``, not-a-number included."""
    return [*_fixed(), _constant("factor", [factor]),
            helper.make_node("Mul", ["fixed", "factor"], ["probabilities"])]  # fmt: skip


def shifted() -> list[Any]:
    """(-0.3, 0.3, 1.0): they add up to 1, and are no probabilities."""
    return [*_fixed(), _constant("shift", [-0.5, 0.0, 0.5]),
            helper.make_node("Add", ["fixed", "shift"], ["probabilities"])]  # fmt: skip


def good_until_it_moves() -> list[Any]:
    """Probabilities while the mean of the input is below 1, beyond it something else."""
    return [
        *_fixed(),
        _constant("one", [1.0]),
        helper.make_node("Sub", ["mean", "one"], ["above"]),
        helper.make_node("Relu", ["above"], ["excess"]),
        helper.make_node("Add", ["fixed", "excess"], ["probabilities"]),
    ]


def endless() -> list[Any]:
    """A Loop whose condition stays true."""
    scalar = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["sum", "sum"], ["next"])],
        "body",
        [
            scalar("turn", TensorProto.INT64, ()),
            scalar("go", TensorProto.BOOL, ()),
            scalar("sum", TensorProto.FLOAT, None),
        ],
        [scalar("go_on", TensorProto.BOOL, ()), scalar("next", TensorProto.FLOAT, None)],
    )
    return [
        *_fixed(),
        _constant("true", [True], TensorProto.BOOL, ()),
        helper.make_node("Loop", ["", "true", "fixed"], ["probabilities"], body=body),
    ]


def huge() -> list[Any]:
    """A tensor of four terabytes."""
    return [
        *_fixed(),
        _constant("shape", [1 << 40], TensorProto.INT64),
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        _constant("first", [0], TensorProto.INT64),
        helper.make_node("ReduceSum", ["large", "first"], ["total"], keepdims=1),
        helper.make_node("Add", ["fixed", "total"], ["probabilities"]),
    ]


def model(
    nodes: list[Any], spec: ModelSpec | dict[str, Any] = SPEC, output: str = "probabilities", batch: str | int = "N"
) -> bytes:
    """An ONNX file from ``motion`` float32 (N, *input_shape) to ``output``, with a spec that need not be valid."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("motion", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    values = asdict(spec) if isinstance(spec, ModelSpec) else spec
    helper.set_model_props(made, {KEY: json.dumps(values)})
    return made.SerializeToString()


def write(path: Path, nodes: list[Any], spec: ModelSpec | dict[str, Any] = SPEC) -> Path:
    path.write_bytes(model(nodes, spec))
    return path
