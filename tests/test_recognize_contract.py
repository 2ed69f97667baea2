"""One contract over every back end: same file, same answers as ONNX Runtime on the CPU, whatever the batch.

The GPU ones run with `pytest -m gpu` on a machine that has one, print their figures, and are skipped elsewhere with
the reason. Random weights: these tests are about computing the same, not about recognizing anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from backend_models import LABELS, exported, noise, programmed, spec_of

from realtime_mer.errors import DeviceError
from realtime_mer.recognize import device, opening, pt2, tensorrt
from realtime_mer.recognize.onnx import OnnxRecognizer

# Largest difference of a probability; half precision keeps 11 bits.
TOLERANCE = {"torch": 1e-5, "fp32": 1e-4, "fp16": 2e-2}
SIZE = 28


@dataclass(frozen=True)
class Running:
    provider: str
    classify: Callable[[np.ndarray], np.ndarray]
    tolerance: float


def _onnxruntime(where: str) -> Callable[[Path], Running]:
    def start(path: Path) -> Running:
        model = OnnxRecognizer(path, where)
        return Running(model.provider, model.classify, TOLERANCE["fp32"])

    return start


def _torch(where: str) -> Callable[[Path], Running]:
    def start(path: Path) -> Running:
        program = path.with_suffix(".pt2")
        if not program.exists():
            programmed(program)
        provider, run = pt2.load(program, pt2.read_spec(program), where)
        return Running(provider, run, TOLERANCE["torch" if where == "cpu" else "fp32"])

    return start


def _engine(path: Path) -> Running:
    engine = tensorrt.cached(path.read_bytes(), spec_of("ststnet", SIZE), "fp32", path.parent)
    provider, run = tensorrt.load(engine, tensorrt.read_spec(engine))
    return Running(provider, run, TOLERANCE["fp32"])


def _half_engine(path: Path) -> Running:
    from export.tensorrt import from_onnx

    engine = from_onnx(path, path.with_suffix(".fp16.engine"), "fp16")
    provider, run = tensorrt.load(engine, tensorrt.read_spec(engine))
    return Running(provider, run, TOLERANCE["fp16"])


CPU = {"onnxruntime-cpu": _onnxruntime("cpu"), "torch-cpu": _torch("cpu")}
GPU = {
    "onnxruntime-cuda": _onnxruntime("cuda"),
    "onnxruntime-tensorrt": _onnxruntime("tensorrt"),
    "onnxruntime-tensorrt-rtx": _onnxruntime(device.RTX),
    "torch-cuda-graph": _torch("cuda"),
    "tensorrt-fp32": _engine,
    "tensorrt-fp16": _half_engine,
}


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("backends") / "small.onnx")


@pytest.fixture(params=[*CPU, *(pytest.param(name, marks=pytest.mark.gpu) for name in GPU)])
def running(request: pytest.FixtureRequest, file: Path) -> Running:
    if request.param in CPU:
        return CPU[request.param](file)
    if not device.gpu():
        pytest.skip("no NVIDIA GPU here")
    try:
        return GPU[request.param](file)
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("count", [1, 2, 7, 65])
def test_same_answers_as_the_reference_for_any_batch(running: Running, file: Path, count: int) -> None:
    batch = noise(count)
    answer = running.classify(batch)
    expected = OnnxRecognizer(file, "cpu").classify(batch)
    assert answer.shape == (count, len(LABELS))
    assert answer.dtype == np.float32
    assert np.ptp(expected, axis=0).max() > 0.01 or count == 1, "the network ignores its input: the test shows nothing"
    np.testing.assert_allclose(answer, expected, atol=running.tolerance)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-3)


def test_a_sample_does_not_depend_on_its_neighbors(running: Running) -> None:
    batch = noise(9)
    together = running.classify(batch)
    alone = np.concatenate([running.classify(batch[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(together, alone, atol=running.tolerance)


def test_answers_are_the_callers_to_keep(running: Running) -> None:
    first = running.classify(noise(2))
    kept = first.copy()
    running.classify(noise(2, seed=5))
    np.testing.assert_array_equal(first, kept)


def test_input_need_not_be_contiguous(running: Running) -> None:
    batch = noise(4)
    np.testing.assert_allclose(
        running.classify(batch[::2]), running.classify(batch[::2].copy()), atol=running.tolerance
    )


def test_the_provider_says_what_computes(running: Running) -> None:
    assert any(word in running.provider for word in ("CPU", "CUDA", "Tensorrt", "TensorRT", "tensorrt"))
    assert running.provider.split()[0] in ("onnxruntime", "torch", "tensorrt", "tensorrt-rtx")


@pytest.mark.gpu
@pytest.mark.parametrize("name", GPU)
def test_gpu_figures(name: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints p50/p95/p99 with the copies to and from the GPU; the assertion is the project's aim at batch 1."""
    if not device.gpu():
        pytest.skip("no NVIDIA GPU here")
    try:
        running = GPU[name](file)
    except DeviceError as error:
        pytest.skip(str(error))
    medians = {}
    for count in (1, 8, 64):
        batch = noise(count)
        times = []
        for _ in range(220):
            start = time.perf_counter()
            running.classify(batch)
            times.append(time.perf_counter() - start)
        p50, p95, p99 = np.percentile(times[20:], (50, 95, 99)) * 1e3
        medians[count] = p50
        with capsys.disabled():
            print(f"\n{running.provider}: batch {count}: p50 {p50:.3f} p95 {p95:.3f} p99 {p99:.3f} ms")
    assert medians[1] <= 5.0, "a small network at batch 1 should take far below 5 ms on any GPU"


def test_auto_chooses_what_is_there_and_says_why(file: Path) -> None:
    opened = opening.open_model(file, "auto")
    assert opened.why.startswith("auto:")
    assert opened.provider


@pytest.mark.parametrize("wanted", ["cuda", "tensorrt"])
def test_a_gpu_that_is_not_there_is_an_error(file: Path, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpu", lambda: "")
    with pytest.raises(DeviceError, match="no NVIDIA GPU"):
        opening.open_model(file, wanted)


def test_unknown_device_is_an_error(file: Path) -> None:
    with pytest.raises(DeviceError, match="auto, cpu, cuda, tensorrt"):
        opening.open_model(file, "tpu")


def test_a_provider_that_did_not_load_is_an_error_not_a_fall_back(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime lists a provider that it was built with; when its libraries fail it uses the CPU and logs a line."""
    import onnxruntime

    real = onnxruntime.InferenceSession

    def falls_back(path: str, sess_options: object, providers: list[str]) -> object:
        assert providers[0] == "CUDAExecutionProvider"
        return real(path, sess_options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)
    with pytest.raises(DeviceError, match="could not load its cuda provider"):
        OnnxRecognizer(file, "cuda")


def test_auto_goes_on_when_a_provider_does_not_load(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpu", lambda: "Some GPU")
    monkeypatch.setattr(device, "onnxruntime_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(
        opening, "OnnxRecognizer", lambda path, where: _refuse() if where == "cuda" else OnnxRecognizer(path, where)
    )
    opened = opening.open_model(file, "auto")
    assert "CPU" in opened.provider
    assert "libraries are missing" in opened.why


def _refuse() -> OnnxRecognizer:
    raise DeviceError("libraries are missing")
