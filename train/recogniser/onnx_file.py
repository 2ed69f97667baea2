"""Writes the shipped recogniser as ONNX: the pooling, the scaling, the network and the temperature in one graph.

The graph is some thirty operators, so it is written down here, and the file depends on no exporter's version. Networks
in general are exported by the room ``export``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from realtime_mer.errors import ModelError, OutputError
from realtime_mer.face.regions import SIZE
from realtime_mer.recognise.spec import KEY, ModelSpec
from train.recogniser.network import CELL, COLUMNS, REST, ROWS, FlowNet

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET: Final = 18  # ONNX Runtime reads it since 1.14
IR_VERSION: Final = 8  # of the file format: the one that came with this opset


def write(net: FlowNet, spec: ModelSpec, path: Path) -> None:
    """One file with ``spec`` inside; ``spec.temperature`` divides the logits. Raises OutputError, or ModelError when
    the package onnx is missing."""
    content = graph(net, spec).SerializeToString(deterministic=True)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}): check the folder and the space left") from None


def graph(net: FlowNet, spec: ModelSpec) -> ModelProto:
    """float32 "input" (N, 3, SIZE, SIZE) to float32 "probabilities" (N, classes)."""
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise ModelError("writing ONNX files needs the package onnx: pip install 'realtime-mer[export]'") from None
    weights = {name: tensor.detach().numpy() for name, tensor in net.state_dict().items()}
    cool = np.float32(1 / spec.temperature)
    constants = {
        "starts": np.array([0, ROWS[0], COLUMNS[0]], np.int64),
        "ends": np.array([2, ROWS[1], COLUMNS[1]], np.int64),
        "axes": np.array([1, 2, 3], np.int64),
        "values": np.array([1], np.int64),
        "places": np.array([2, 3], np.int64),
        "rest": np.array(REST, np.float32),
        "minus": np.array(-1, np.float32),
        "half": np.array(0.5**0.5, np.float32),
        "w1": weights["first.weight"],
        "b1": weights["first.bias"],
        "w2": weights["last.weight"] * cool,
        "b2": weights["last.bias"] * cool,
    }
    nodes = [
        helper.make_node("Slice", ["input", "starts", "ends", "axes"], ["face"]),
        helper.make_node("AveragePool", ["face"], ["cells"], kernel_shape=CELL, strides=CELL),
        helper.make_node("AveragePool", ["cells"], ["blocks"], kernel_shape=(2, 2), strides=(2, 2)),
        helper.make_node("Mul", ["cells", "minus"], ["turned"]),
        helper.make_node("Concat", ["cells", "turned"], ["ways"], axis=1),
        helper.make_node("Relu", ["ways"], ["one-sided"]),
        helper.make_node("AveragePool", ["one-sided"], ["sides"], kernel_shape=(2, 2), strides=(2, 2)),
        helper.make_node("Flatten", ["blocks"], ["flat-blocks"], axis=1),
        helper.make_node("Flatten", ["sides"], ["flat-sides"], axis=1),
        *_unit(helper.make_node, "flat-blocks", "values", "common"),
        *_unit(helper.make_node, "blocks", "places", "own-planes"),
        *_unit(helper.make_node, "flat-sides", "values", "one-way"),
        helper.make_node("Flatten", ["own-planes"], ["own-flat"], axis=1),
        helper.make_node("Mul", ["own-flat", "half"], ["own"]),
        helper.make_node("Concat", ["common", "own", "one-way"], ["description"], axis=1),
        helper.make_node("Gemm", ["description", "w1", "b1"], ["before"], transB=1),
        helper.make_node("Relu", ["before"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "w2", "b2"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    shown = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(spec.labels)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(
        shown, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="realtime-mer"
    )
    helper.set_model_props(model, {KEY: spec.to_json()})
    checker.check_model(model)
    return model


def _unit(node: Callable[..., Any], source: str, axes: str, to: str) -> list[Any]:
    """Nodes that scale ``source`` to length one over ``axes``."""
    return [
        node("Mul", [source, source], [f"{to}-squares"]),
        node("ReduceSum", [f"{to}-squares", axes], [f"{to}-sum"], keepdims=1),
        node("Add", [f"{to}-sum", "rest"], [f"{to}-power"]),
        node("Sqrt", [f"{to}-power"], [f"{to}-length"]),
        node("Div", [source, f"{to}-length"], [to]),
    ]
