"""Runs our ONNX files with torch alone, for a GPU machine without onnxruntime-gpu: the same file, no second format.

torch's own program files (.pt2) are not read: opening one can run code, and they age with torch's version. Instead
the few dozen operators of our models are looked up in ``torch_ops``; on a GPU the whole is captured as a CUDA graph,
so what Python costs per operator is paid once, not per face. Needs the packages torch and onnx; imports neither before
it is asked to load.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from realtime_mer.errors import DeviceError
from realtime_mer.records import Floats

# CUDA graphs have a fixed batch: a batch runs in the next larger one of these, a larger one in several.
GRAPH_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
WARM_BATCHES: Final = (1, 2, 4, 8)  # captured while loading, so that no live event pays for it
WARM_RUNS: Final = 3  # torch asks for a few runs before a capture, so that its libraries have chosen their kernels

Run = Callable[[Floats], Floats]  # float32 (N, *input_shape) to float32 (N, classes)


def load(content: bytes, shape: tuple[int, ...], device: str, output: str = "probabilities") -> tuple[str, Run]:
    """What really computes it, and the function that does.

    content: an ONNX file (FP32, opset 18). shape: of one sample. device: "cpu" or "cuda". output: the one wanted.
    Raises DeviceError without torch, onnx or GPU, and for a file that needs other operators (a quantised one).
    """
    try:
        import onnx
        import torch
    except ImportError as error:
        raise DeviceError(f"the torch back end needs the package {error.name}: pip install {error.name}") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("torch sees no CUDA device: use --device cpu, or see docs/gpu.md")
    graph = Graph(onnx.load_model_from_string(content), torch.device(device), output)
    if device == "cpu":
        return f"torch {torch.__version__} CPU", graph.on_cpu
    run = CudaGraphs(graph, shape)
    for batch in WARM_BATCHES:
        run(np.zeros((batch, *shape), np.float32))
    return f"torch {torch.__version__} CUDA graph, {torch.cuda.get_device_name()}", run


class Graph:
    """The nodes of an ONNX graph in order, with the weights on a device."""

    def __init__(self, model: Any, device: Any, output: str) -> None:
        import onnx
        import torch

        from realtime_mer.recognise.torch_ops import OPERATORS

        foreign = sorted({node.op_type for node in model.graph.node} - OPERATORS.keys() - {"Constant"})
        if foreign:
            raise DeviceError(f"the torch back end does not know {', '.join(foreign)}: run this file on the CPU")
        self.device, self.output, self.input = device, output, model.graph.input[0].name
        self.constants: dict[str, Any] = {}
        self.steps: list[tuple[Callable[..., Any], dict[str, Any], tuple[str, ...], str]] = []

        def keep(name: str, value: Any) -> None:
            tensor = torch.from_numpy(onnx.numpy_helper.to_array(value).copy())
            self.constants[name] = tensor.to(device) if tensor.is_floating_point() else tensor

        for weight in model.graph.initializer:
            keep(weight.name, weight)
        for node in model.graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                keep(node.output[0], attributes["value"])
            else:
                self.steps.append((OPERATORS[node.op_type], attributes, tuple(node.input), node.output[0]))

    def __call__(self, x: Any) -> Any:
        """float32 tensor (N, ...) on the graph's device to the wanted output."""
        import torch

        values = {**self.constants, self.input: x, "": None}
        # FP32 means FP32: without this convolutions would use TF32, whose error is a thousand times larger.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            for operator, attributes, inputs, output in self.steps:
                values[output] = operator(attributes, *[values[name] for name in inputs])
        return values[self.output]

    def on_cpu(self, batch: Floats) -> Floats:
        import torch

        result: Floats = self(torch.from_numpy(np.ascontiguousarray(batch))).numpy()
        return result


class CudaGraphs:
    """One captured CUDA graph for each size of batch, made when first needed. May be called from several threads."""

    def __init__(self, graph: Graph, shape: tuple[int, ...]) -> None:
        self.graph, self.shape = graph, shape
        self.captured: dict[int, tuple[Any, Any, Any]] = {}
        self.lock = threading.Lock()

    def __call__(self, batch: Floats) -> Floats:
        import torch

        largest = GRAPH_BATCHES[-1]
        with self.lock:
            parts = [self._part(torch, batch[i : i + largest]) for i in range(0, len(batch), largest)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, torch: Any, batch: Floats) -> Floats:
        size = next(n for n in GRAPH_BATCHES if n >= len(batch))
        if size not in self.captured:
            self.captured[size] = self._capture(torch, size)
        replay, source, target = self.captured[size]
        source[: len(batch)].copy_(torch.from_numpy(np.ascontiguousarray(batch)))
        replay.replay()
        result: Floats = target[: len(batch)].cpu().numpy()
        return result

    def _capture(self, torch: Any, size: int) -> tuple[Any, Any, Any]:
        """PyTorch's documented recipe: warm up on a side stream, then record into fixed buffers."""
        source = torch.zeros((size, *self.shape), device=self.graph.device)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_RUNS):
                self.graph(source)
        torch.cuda.current_stream().wait_stream(side)
        recorded = torch.cuda.CUDAGraph()
        # thread_local: another thread may use CUDA meanwhile without spoiling the capture.
        with torch.cuda.graph(recorded, capture_error_mode="thread_local"):
            target = self.graph(source)
        return recorded, source, target
