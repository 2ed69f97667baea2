"""Runs torch programs (.pt2) on the CPU or an NVIDIA GPU, for machines with torch but without onnxruntime-gpu.

`python -m export pt2` writes such a file, with the ModelSpec inside.

Open only files that you trust. ``torch.export.load`` unpickles parts of the archive and has no weights-only mode (torch
2.14, whose documentation warns of it), so a malicious file can run any code when it is opened; an ONNX file cannot. The
spec is read first and without torch, which finds a wrong file but not a malicious one.

Programs age: a later torch may need the file to be exported again. torch is not imported before a file is loaded.
"""

from __future__ import annotations

import logging
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from realtime_mer.errors import DeviceError, MerError, ModelError, first_line
from realtime_mer.recognize.device import Run
from realtime_mer.recognize.spec import KEY, ModelSpec
from realtime_mer.records import Floats

if TYPE_CHECKING:
    import torch

# CUDA graphs have a fixed batch size: a batch runs in the next larger one of these, or in several.
GRAPH_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
LARGEST_SPEC: Final = 1 << 20  # bytes; a spec has about one thousand
WARM_BATCHES: Final = (1, 2, 4, 8)  # captured while loading, so that no live event is delayed by it
WARM_RUNS: Final = 3  # torch recommends a few runs before a capture, so that its libraries have chosen their kernels


def read_spec(path: Path) -> ModelSpec:
    """The spec inside a .pt2 file, read without torch and without unpickling anything. Raises ModelError."""
    try:
        with zipfile.ZipFile(path) as archive:
            # The top folder has the name under which the file was first saved.
            inside = [name for name in archive.namelist() if name.endswith(f"/extra/{KEY}")]
            if inside and archive.getinfo(inside[0]).file_size > LARGEST_SPEC:
                raise ModelError(f"the model spec of {path} is larger than {LARGEST_SPEC} bytes: export it again")
            text = archive.read(inside[0]).decode() if inside else None
    except MerError:
        raise
    except Exception as error:  # zipfile and zlib raise many kinds of errors
        raise ModelError(f"{path} is not a complete .pt2 file ({first_line(error)}): export or copy it again") from None
    if text is None:
        raise ModelError(f"{path} has no ModelSpec: export it with `python -m export pt2 CHECKPOINT`")
    return ModelSpec.from_json(text, path.name)


def load(path: Path, spec: ModelSpec, device: str) -> tuple[str, Run]:
    """Loads a .pt2 file: the device that really computes, and the function. Open only files that you trust: see above.

    device: "cpu" or "cuda". Raises DeviceError without torch or GPU, ModelError for a file that this torch cannot open
    or that contradicts its spec.
    """
    try:
        import torch
    except ImportError as error:
        raise DeviceError(f"{path.name} needs torch ({error}): pip install torch, or give the .onnx file") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("torch sees no CUDA device: use --device cpu, or see docs/gpu.md")
    forward = _forward(path, device, len(spec.outputs))
    run = CudaGraphs(forward, spec.input_shape) if device == "cuda" else _on_cpu(forward)
    for batch in WARM_BATCHES if device == "cuda" else (1,):
        expected = (batch, spec.width)
        try:
            shape = run(np.zeros((batch, *spec.input_shape), np.float32)).shape
        except Exception as error:  # torch raises many kinds of errors
            if device == "cuda":  # the GPU is full, or not supported by this torch; "auto" continues with the CPU
                raise DeviceError(f"{path.name} does not run on the GPU ({first_line(error)})") from error
            raise ModelError(
                f"{path.name} does not run on {spec.input_shape} ({first_line(error)}): export it again"
            ) from error
        if shape != expected:
            raise ModelError(f"{path.name} answers {shape} where its spec says {expected}: export it again")
    if device == "cpu":
        return f"torch {torch.__version__} CPU", run
    return f"torch {torch.__version__} CUDA graph, {torch.cuda.get_device_name()}", run


def _forward(path: Path, device: str, outputs: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The program of a file as a function on ``device``, from float32 (N, *input_shape) to float32 (N, width).

    outputs: number of its outputs to use, from the first; the map of an Attention Branch comes after them.
    """
    import torch
    from torch.export.passes import move_to_device_pass

    log = logging.getLogger("torch.export")  # torch prints a traceback before it raises
    was, log.disabled = log.disabled, True
    try:
        module = move_to_device_pass(torch.export.load(path), device).module()
    except Exception as error:  # torch raises many kinds of errors
        raise ModelError(
            f"torch {torch.__version__} cannot open {path} ({first_line(error)}): export it again"
        ) from error
    finally:
        log.disabled = was

    def forward(x: torch.Tensor) -> torch.Tensor:
        # FP32 means FP32; otherwise convolutions would use TF32, whose error is a thousand times larger
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            answer = module(x)
        if not isinstance(answer, tuple):
            return answer
        return answer[0] if outputs == 1 else torch.cat(answer[:outputs], dim=1)

    return forward


def _on_cpu(forward: Callable[[torch.Tensor], torch.Tensor]) -> Run:
    import torch

    def run(batch: Floats) -> Floats:
        answer: Floats = forward(torch.from_numpy(np.ascontiguousarray(batch))).numpy()
        return answer

    return run


class CudaGraphs:
    """One captured CUDA graph for each batch size, made when first needed. Thread-safe.

    The overhead of Python and torch per operator is then paid once, not for each face.
    """

    def __init__(self, forward: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, ...]) -> None:
        self.forward, self.shape = forward, shape
        self.captured: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}
        self.lock = threading.Lock()

    def __call__(self, batch: Floats) -> Floats:
        largest = GRAPH_BATCHES[-1]
        with self.lock:
            parts = [self._part(batch[i : i + largest]) for i in range(0, len(batch), largest)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, batch: Floats) -> Floats:
        import torch

        size = next(n for n in GRAPH_BATCHES if n >= len(batch))
        if size not in self.captured:
            self.captured[size] = self._capture(size)
        graph, source, target = self.captured[size]
        source[: len(batch)].copy_(torch.from_numpy(np.ascontiguousarray(batch)))
        graph.replay()
        result: Floats = target[: len(batch)].cpu().numpy()
        return result

    def _capture(self, size: int) -> tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]:
        """PyTorch's documented recipe: warm up on a side stream, then record into fixed buffers."""
        import torch

        source = torch.zeros((size, *self.shape), device="cuda")
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_RUNS):
                self.forward(source)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # thread_local: another thread may use CUDA at the same time without breaking the capture
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            target = self.forward(source)
        return graph, source, target
