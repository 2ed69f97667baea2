"""Chooses the device that computes: from what was requested and what is available, with the reason. It depends on the
kind of file:

    device     .onnx                                        .pt2                   .engine
    auto       ONNX Runtime on a CUDA GPU that it can       torch, likewise        TensorRT
               use, else on the CPU; says which and why
    cpu        ONNX Runtime                                 torch                  refused
    cuda       ONNX Runtime's CUDA provider                 torch, CUDA graphs     refused
    tensorrt   TensorRT or TensorRT-RTX, else ONNX          refused                TensorRT or
               Runtime's provider of either                                        TensorRT-RTX

A requested device that is not available is a DeviceError; there is no silent fallback. The back ends run the model.
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
ONNX, PROGRAM, ENGINE = ".onnx", ".pt2", ".engine"  # the kinds of model file, by suffix
ONNXRUNTIME, TORCH, TENSORRT = "onnxruntime", "torch", "tensorrt"
RTX: Final = "tensorrt-rtx"  # a device of ONNX Runtime that users request as "tensorrt"
PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    RTX: "NvTensorRTRTXExecutionProvider",
}
PLUGIN: Final = "onnxruntime_ep_nv_tensorrt_rtx"  # the package with the provider of RTX
# Compute capabilities: Ampere, Ada and Blackwell. TensorRT-RTX offers no 9.0 (H100, H200), and for 7.5 (Turing) no FP32
# matrix product.
RTX_RUNS: Final = ((8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
TENSORRTS: Final = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")  # packages, the preferred one first

Run = Callable[[Floats], Floats]  # samples float32 (N, *input_shape) to probabilities float32 (N, classes)


@dataclass(frozen=True, slots=True)
class Choice:
    """backend: ONNXRUNTIME, TORCH or TENSORRT. device: "cpu", "cuda", "tensorrt" or RTX. why: one line of text."""

    backend: str
    device: str
    why: str


def candidates(path: Path, wanted: str) -> tuple[Choice, ...]:
    """The back ends worth trying for a model file and one of DEVICES, best first; never empty.

    Raises DeviceError for an unknown or missing device, and for one that cannot run this kind of file.
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
        return _cuda(path, backend, "auto: a GPU is available"), Choice(backend, "cpu", "auto: the GPU cannot be used")
    except DeviceError as error:
        return (Choice(backend, "cpu", f"auto: {str(error).split(':', 1)[0]}"),)


def _cuda(path: Path, backend: str, why: str) -> Choice:
    _need_gpu()
    if backend == ONNXRUNTIME and PROVIDERS["cuda"] not in onnxruntime_providers():
        raise DeviceError(
            f"{path.name} needs onnxruntime-gpu to run on cuda: install it instead of onnxruntime, or export the "
            "model for torch with `python -m export pt2 CHECKPOINT`"
        )
    return Choice(backend, "cuda", why)


def _tensorrt(path: Path) -> tuple[Choice, ...]:
    if path.suffix == PROGRAM:
        raise DeviceError(f"{path.name} is a torch program and cannot run on tensorrt: give the .onnx file")
    _need_gpu()
    found = []
    if tensorrt_package() and _installed("torch"):
        found.append(Choice(TENSORRT, "tensorrt", "as asked"))
    if PROVIDERS["tensorrt"] in onnxruntime_providers():
        found.append(Choice(ONNXRUNTIME, "tensorrt", "as asked"))
    if _installed(PLUGIN):
        found.append(Choice(ONNXRUNTIME, RTX, "as asked"))
    if not found:
        raise DeviceError("TensorRT is not installed: pip install 'realtime-mer[rtx]', or see docs/gpu.md")
    return tuple(found)


def session_provider(session: Any, device: str) -> str:
    """The device that an ONNX Runtime session really uses, from the session itself, e.g. "onnxruntime 1.31 CPU".

    Raises DeviceError when it is not ``device``, because ONNX Runtime falls back to the CPU with only a log line when
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


def tensorrt_package() -> str:
    """The import name of the installed TensorRT, TensorRT before TensorRT-RTX; empty without one."""
    return next((name for name in TENSORRTS if _installed(name)), "")


def onnxruntime_providers() -> list[str]:
    """The providers that the installed ONNX Runtime was built with, whether or not they load."""
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def gpu() -> str:
    """Name of the first NVIDIA GPU from its driver, empty without one. Needs neither torch nor CUDA."""
    return _first_gpu()[0]


def capability() -> tuple[int, int]:
    """Compute capability of the first NVIDIA GPU, e.g. (9, 0); (0, 0) without one."""
    return _first_gpu()[1]


@functools.cache
def _first_gpu() -> tuple[str, tuple[int, int]]:
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "", (0, 0)
    name, count, handle = ctypes.create_string_buffer(100), ctypes.c_int(), ctypes.c_int()
    major, minor = ctypes.c_int(), ctypes.c_int()
    there = (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
        and driver.cuDeviceGet(ctypes.byref(handle), 0) == 0
        and driver.cuDeviceGetName(name, len(name), handle) == 0
        and driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, handle) == 0
        and driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, handle) == 0
    )
    return (name.value.decode(), (major.value, minor.value)) if there else ("", (0, 0))


def which_tensorrt(name: str, version: tuple[int, int]) -> str:
    """Text on which TensorRT fits a GPU. name: of the GPU, "" for none; version: its compute capability."""
    if not name:
        return "no GPU: realtime-mer[rtx] builds engines for others, and nothing can run them here"
    having = f"compute capability {version[0]}.{version[1]}"
    if version in RTX_RUNS:
        return f"{having}: realtime-mer[rtx], from the public package index"
    return f"{having}, which TensorRT-RTX does not run: realtime-mer[gpu], with NVIDIA's own package index"


def _need_gpu() -> None:
    if not gpu():
        raise DeviceError("no NVIDIA GPU with a working driver was found: use --device cpu or auto")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
