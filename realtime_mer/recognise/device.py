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

from realtime_mer.errors import DeviceError

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


def candidates(wanted: str) -> tuple[Choice, ...]:
    """The back ends worth trying for one of DEVICES, best first; never empty.

    Raises DeviceError for another word and for what is not there.
    """
    match wanted:
        case "cpu":
            return (Choice(ONNXRUNTIME, "cpu", "as asked"),)
        case "cuda":
            return _cuda("as asked")
        case "tensorrt":
            return _tensorrt("as asked")
        case "auto":
            try:
                found, why = _cuda("auto: a GPU is there"), "auto: the GPU cannot be used"
            except DeviceError as error:
                found, why = (), f"auto: {str(error).split(':', 1)[0]}"
            return (*found, Choice(ONNXRUNTIME, "cpu", why))
    raise DeviceError(f"unknown device {wanted!r}: choose from {', '.join(DEVICES)}")


def _cuda(why: str) -> tuple[Choice, ...]:
    _need_gpu()
    found = []
    if PROVIDERS["cuda"] in onnxruntime_providers():
        found.append(Choice(ONNXRUNTIME, "cuda", why))
    if _installed("torch") and _installed("onnx"):
        found.append(Choice(TORCH, "cuda", why))
    if not found:
        raise DeviceError(
            "neither onnxruntime-gpu nor torch is installed for the GPU: pip install onnxruntime-gpu, or torch and onnx"
        )
    return tuple(found)


def _tensorrt(why: str) -> tuple[Choice, ...]:
    _need_gpu()
    found = []
    if _installed("tensorrt") and _installed("torch"):
        found.append(Choice(TENSORRT, "tensorrt", why))
    if PROVIDERS["tensorrt"] in onnxruntime_providers():
        found.append(Choice(ONNXRUNTIME, "tensorrt", why))
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
