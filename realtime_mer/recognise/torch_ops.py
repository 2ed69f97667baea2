"""The ONNX operators of our models as torch calls: the dictionary behind the torch back end.

Only what the exporter writes for the networks of this project is here (opset 18); a file that needs more is refused
when it is loaded, before any frame. Semantics: the ONNX operator specification, opset 18.

Every function takes the node's attributes and its inputs (None where an optional one is absent). Integer tensors
(shapes, axes) stay on the CPU, so that nothing waits for the GPU and the whole can be captured as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch.nn import functional as F

Attributes = dict[str, Any]
Operator = Callable[..., Any]


def _ints(tensor: Any) -> list[int]:
    return [int(n) for n in tensor.tolist()]


def _padded(x: Any, a: Attributes, value: float, spatial: int) -> tuple[Any, list[int]]:
    """``x`` and the symmetric padding still to be applied; unequal sides are padded here."""
    if a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise NotImplementedError("auto_pad")
    pads = list(a.get("pads", [0] * 2 * spatial))
    begin, end = pads[:spatial], pads[spatial:]
    if begin == end:
        return x, begin
    sides = [side for pair in zip(reversed(begin), reversed(end), strict=True) for side in pair]
    return F.pad(x, sides, value=value), [0] * spatial


def _conv(a: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
    spatial = weight.ndim - 2
    x, padding = _padded(x, a, 0.0, spatial)
    stride, dilation = a.get("strides", [1] * spatial), a.get("dilations", [1] * spatial)
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[spatial]
    return conv(x, weight, bias, stride, padding, dilation, a.get("group", 1))


def _max_pool(a: Attributes, x: Any) -> Any:
    x, padding = _padded(x, a, float("-inf"), 2)
    strides, dilations = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    return F.max_pool2d(x, a["kernel_shape"], strides, padding, dilations, bool(a.get("ceil_mode", 0)))


def _average_pool(a: Attributes, x: Any) -> Any:
    inside = bool(a.get("count_include_pad", 0))
    pads = a.get("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:] and not inside:
        raise NotImplementedError("AveragePool with unequal padding")
    x, padding = _padded(x, a, 0.0, 2)
    return F.avg_pool2d(x, a["kernel_shape"], a.get("strides", [1, 1]), padding, bool(a.get("ceil_mode", 0)), inside)


def _gemm(a: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
    x = x.t() if a.get("transA", 0) else x
    weight = weight.t() if a.get("transB", 0) else weight
    product = a.get("alpha", 1.0) * (x @ weight)
    return product if bias is None else product + a.get("beta", 1.0) * bias


def _reshape(a: Attributes, x: Any, shape: Any) -> Any:
    sizes = _ints(shape)
    if not a.get("allowzero", 0):
        sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    return x.reshape(sizes)


def _reduce(operation: Operator) -> Operator:
    def run(a: Attributes, x: Any, axes: Any = None) -> Any:
        chosen = list(range(x.ndim)) if axes is None else _ints(axes)
        return operation(x, chosen, bool(a.get("keepdims", 1)))

    return run


def _clip(_: Attributes, x: Any, low: Any = None, high: Any = None) -> Any:
    return x if low is None and high is None else torch.clamp(x, low, high)


def _slice(_: Attributes, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    begin, end = _ints(starts), _ints(ends)
    chosen = list(range(len(begin))) if axes is None else _ints(axes)
    stride = [1] * len(begin) if steps is None else _ints(steps)
    if min(stride) < 1:
        raise NotImplementedError("Slice backwards")
    index = [slice(None)] * x.ndim
    for axis, first, last, step in zip(chosen, begin, end, stride, strict=True):
        index[axis] = slice(first, last, step)
    return x[tuple(index)]


def _squeeze(_: Attributes, x: Any, axes: Any = None) -> Any:
    return x.squeeze() if axes is None else x.squeeze(tuple(_ints(axes)))


def _unsqueeze(_: Attributes, x: Any, axes: Any) -> Any:
    rank = x.ndim + len(axes)
    for axis in sorted(n % rank for n in _ints(axes)):
        x = x.unsqueeze(axis)
    return x


def _expand(_: Attributes, x: Any, shape: Any) -> Any:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(_ints(shape))))


def _batch_norm(a: Attributes, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, a.get("epsilon", 1e-5))


def _hard_sigmoid(a: Attributes, x: Any) -> Any:
    return torch.clamp(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0.0, 1.0)


OPERATORS: Final[dict[str, Operator]] = {
    "Add": lambda _, x, y: x + y,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda a, *parts: torch.cat(parts, a["axis"]),
    "Conv": _conv,
    "Div": lambda _, x, y: x / y,
    "Exp": lambda _, x: torch.exp(x),
    "Expand": _expand,
    "Flatten": lambda a, x: x.flatten(a.get("axis", 1)) if a.get("axis", 1) == 1 else x.reshape(1, -1),
    "Gather": lambda a, x, places: x.index_select(a.get("axis", 0), places),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _, x: x.mean(tuple(range(2, x.ndim)), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _, x: F.hardswish(x),
    "Identity": lambda _, x: x,
    "MatMul": lambda _, x, y: x @ y,
    "MaxPool": _max_pool,
    "Mul": lambda _, x, y: x * y,
    "Neg": lambda _, x: -x,
    "Pow": lambda _, x, y: torch.pow(x, y),
    "ReduceL2": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "ReduceMean": _reduce(lambda x, axes, keep: x.mean(axes, keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: x.sum(axes, keep)),
    "Relu": lambda _, x: torch.relu(x),
    "Reshape": _reshape,
    "Shape": lambda a, x: torch.tensor(x.shape[a.get("start", 0) : a.get("end")]),
    "Sigmoid": lambda _, x: torch.sigmoid(x),
    "Slice": _slice,
    "Softmax": lambda a, x: torch.softmax(x, a.get("axis", -1)),
    "Sqrt": lambda _, x: torch.sqrt(x),
    "Squeeze": _squeeze,
    "Sub": lambda _, x, y: x - y,
    "Tanh": lambda _, x: torch.tanh(x),
    "Transpose": lambda a, x: x.permute(a["perm"]) if "perm" in a else x.permute(*range(x.ndim - 1, -1, -1)),
    "Unsqueeze": _unsqueeze,
}
