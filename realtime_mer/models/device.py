"""Which device computes: what was asked for, what is there, what was chosen and why.

    auto      a CUDA GPU that something installed can use, else the CPU; says which and why
    cpu       ONNX Runtime
    cuda      ONNX Runtime's CUDA provider, else torch with CUDA graphs
    tensorrt  NVIDIA TensorRT, else ONNX Runtime's TensorRT provider

Asking for what is not there is a DeviceError; nothing falls back in silence. Running the model is in the back ends.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys
from dataclasses import dataclass
from typing import Any, Final

from realtime_mer.errors import ConfigError, DeviceError

DEVICES: Final = ("auto", "cpu", "cuda", "tensorrt")
ONNXRUNTIME, TORCH, TENSORRT = "onnxruntime", "torch", "tensorrt"
PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """backend: ONNXRUNTIME, TORCH or TENSORRT. device: "cpu", "cuda" or "tensorrt". why: one line for people."""

    backend: str
    device: str
    why: str


def choose(wanted: str) -> Choice:
    """The back end for one of DEVICES. Raises ConfigError for another word, DeviceError for what is not there."""
    if wanted not in DEVICES:
        raise ConfigError(f"unknown device {wanted!r}: choose from {', '.join(DEVICES)}")
    if wanted == "cpu":
        return Choice(ONNXRUNTIME, "cpu", "as asked")
    if wanted == "auto":
        try:
            found = _cuda()
        except DeviceError as error:
            return Choice(ONNXRUNTIME, "cpu", f"auto: {str(error).split(':', 1)[0]}")
        return Choice(found.backend, "cuda", f"auto: {gpu()} and {found.backend} are there")
    return _cuda() if wanted == "cuda" else _tensorrt()


def _cuda() -> Choice:
    _need_gpu()
    if PROVIDERS["cuda"] in onnxruntime_providers():
        return Choice(ONNXRUNTIME, "cuda", "as asked")
    if _installed("torch") and _installed("onnx"):
        return Choice(TORCH, "cuda", "as asked; onnxruntime here has no CUDA provider, torch is used")
    raise DeviceError(
        "neither onnxruntime-gpu nor torch is installed for the GPU: pip install onnxruntime-gpu, or torch and onnx"
    )


def _tensorrt() -> Choice:
    _need_gpu()
    if _installed("tensorrt") and _installed("torch"):
        return Choice(TENSORRT, "tensorrt", "as asked")
    if PROVIDERS["tensorrt"] in onnxruntime_providers():
        return Choice(ONNXRUNTIME, "tensorrt", "as asked; by ONNX Runtime's TensorRT provider")
    raise DeviceError("TensorRT is not installed: its libraries come from NVIDIA's own package index, see docs/gpu.md")


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
