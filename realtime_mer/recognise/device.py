"""Which device computes: what was asked for, what is there, what was chosen and why. It depends on the kind of file:

    device     .onnx                                        .pt2                   .engine
    auto       ONNX Runtime on a CUDA GPU that it can       torch, likewise        TensorRT
               use, else on the CPU; says which and why
    cpu        ONNX Runtime                                 torch                  refused
    cuda       ONNX Runtime's CUDA provider                 torch, CUDA graphs     refused
    tensorrt   NVIDIA TensorRT, else ONNX Runtime's         refused                TensorRT
               TensorRT provider

Asking for what is not there is a DeviceError; nothing falls back in silence. Running the model is in the back ends.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from realtime_mer.errors import DeviceError
from realtime_mer.records import Floats

DEVICES: Final = ("auto", "cpu", "cuda", "tensorrt")
ONNX, PROGRAM, ENGINE = ".onnx", ".pt2", ".engine"  # the kinds of model file, told by the suffix
ONNXRUNTIME, TORCH, TENSORRT = "onnxruntime", "torch", "tensorrt"
PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

Run = Callable[[Floats], Floats]  # samples float32 (N, *input_shape) to probabilities float32 (N, classes)


@dataclass(frozen=True, slots=True)
class Choice:
    """backend: ONNXRUNTIME, TORCH or TENSORRT. device: "cpu", "cuda" or "tensorrt". why: one line for people."""

    backend: str
    device: str
    why: str


def candidates(path: Path, wanted: str) -> tuple[Choice, ...]:
    """The back ends worth trying for a model file and one of DEVICES, best first; never empty.

    Raises DeviceError for another word, for what is not there, and for what cannot run this kind of file.
    """
    if wanted not in DEVICES:
        raise DeviceError(f"unknown device {wanted!r}: choose from {', '.join(DEVICES)}")
    if path.suffix == ENGINE:
        if wanted not in ("auto", "tensorrt"):
            raise DeviceError(f"{path.name} is a TensorRT engine and cannot run on {wanted}: give the .onnx file")
        return (Choice(TENSORRT, "tensorrt", "a TensorRT engine runs with TensorRT only"),)
    backend = TORCH if path.suffix == PROGRAM else ONNXRUNTIME
    match wanted:
        case "cpu":
            return (Choice(backend, "cpu", "as asked"),)
        case "cuda":
            return (_cuda(path, backend, "as asked"),)
        case "tensorrt":
            return _tensorrt(path)
    try:
        return _cuda(path, backend, "auto: a GPU is there"), Choice(backend, "cpu", "auto: the GPU cannot be used")
    except DeviceError as error:
        return (Choice(backend, "cpu", f"auto: {str(error).split(':', 1)[0]}"),)


def _cuda(path: Path, backend: str, why: str) -> Choice:
    _need_gpu()
    if backend == ONNXRUNTIME and PROVIDERS["cuda"] not in onnxruntime_providers():
        raise DeviceError(
            f"{path.name} needs onnxruntime-gpu to run on cuda: install it in the place of onnxruntime, or export the "
            "model for torch with `python -m export pt2 CHECKPOINT`"
        )
    return Choice(backend, "cuda", why)


def _tensorrt(path: Path) -> tuple[Choice, ...]:
    if path.suffix == PROGRAM:
        raise DeviceError(f"{path.name} is a torch program and cannot run on tensorrt: give the .onnx file")
    _need_gpu()
    found = []
    if _installed("tensorrt") and _installed("torch"):
        found.append(Choice(TENSORRT, "tensorrt", "as asked"))
    if PROVIDERS["tensorrt"] in onnxruntime_providers():
        found.append(Choice(ONNXRUNTIME, "tensorrt", "as asked"))
    if not found:
        raise DeviceError(
            "TensorRT is not installed: its libraries come from NVIDIA's own package index, see docs/gpu.md"
        )
    return tuple(found)


def session_provider(session: Any, device: str) -> str:
    """What an ONNX Runtime session really runs on, read back from the session, e.g. "onnxruntime 1.31 CPU".

    Raises DeviceError when it is not ``device``: ONNX Runtime falls back to the CPU with no more than a log line when
    the provider's libraries fail to load.
    """
    import onnxruntime

    active: str = session.get_providers()[0]
    if active != PROVIDERS[device]:
        raise DeviceError(
            f"ONNX Runtime could not load its {device} provider and would use {active}: "
            "its CUDA or TensorRT libraries are missing or of another version, see docs/gpu.md"
        )
    name = active.removesuffix("ExecutionProvider")
    return f"onnxruntime {onnxruntime.__version__} {name}" + ("" if device == "cpu" else f", {gpu()}")


def onnxruntime_providers() -> list[str]:
    """The providers that the installed ONNX Runtime was built with; whether they load is another question."""
    import onnxruntime

    return list(onnxruntime.get_available_providers())


@functools.cache
def gpu() -> str:
    """Name of the first NVIDIA GPU as its driver gives it, empty when there is none. Needs neither torch nor CUDA."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return ""
    name, count, handle = ctypes.create_string_buffer(100), ctypes.c_int(), ctypes.c_int()
    there = (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
        and driver.cuDeviceGet(ctypes.byref(handle), 0) == 0
        and driver.cuDeviceGetName(name, len(name), handle) == 0
    )
    return name.value.decode() if there else ""


def _need_gpu() -> None:
    if not gpu():
        raise DeviceError("no NVIDIA GPU with a working driver is here: use --device cpu or auto")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
