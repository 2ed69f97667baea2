"""TensorRT-RTX, which builds engines without a GPU: every network of the table, in every precision, after a step of
training. Random weights would hide what training changes: biases that are not zero, statistics that differ by channel.

What an engine computes needs a GPU to see: tests/test_recognize_contract.py has that.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from backend_models import LABELS, noise, spec_of

from export import __main__ as command
from export import int8, tensorrt, to_onnx
from export.data import Data
from realtime_mer.errors import DataError, DeviceError, ModelError
from realtime_mer.recognize import device, find
from realtime_mer.recognize import tensorrt as engines
from realtime_mer.recognize.onnx import OnnxRecognizer
from train import checkpoint
from train.models import FLOW, MAPS, MODELS, create

SMALL = 64  # px: graphs are the same as at full size, and are made and calibrated ten times as fast
OWN = {"alexnet", "alexnet-2012", "ststnet", "off-apexnet", "flow-default"}  # built for one size
VARIANTS = {
    "hata-resnet": {"stem": "3d", "attention": True},
    "mobilenet-v3-small": {"feature": FLOW, "size": 128, "none": True, "heads": (("objective", 5, False),)},
}


@pytest.fixture(scope="module", autouse=True)
def _here() -> None:
    """CI has the package; where it is not, nothing here can run."""
    if device.tensorrt_package() not in ("tensorrt_rtx", "tensorrt_rtx_bindings") and not os.environ.get("CI"):
        pytest.skip("tensorrt-rtx is not installed: pip install 'realtime-mer[rtx]'")


def trained(name: str, **options: object) -> tuple[torch.nn.Module, tuple[int, int, int], str]:
    """A network after a step of training on noise; the shape of a sample, and its feature."""
    torch.manual_seed(0)
    entry = MODELS[name]
    options = {**VARIANTS.get(name, {}), **options}
    feature = str(options.pop("feature", entry.feature))
    size = int(options.pop("size", entry.size if name in OWN else SMALL))  # type: ignore[call-overload]
    model = create(name, len(LABELS), feature=feature, size=size, **options)  # type: ignore[arg-type]
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    x, y = torch.from_numpy(samples(size, feature, 8)), torch.arange(8) % len(LABELS)
    model.train()
    for _ in range(2):
        optimizer.zero_grad()
        answer = model(x)
        logits = answer if isinstance(answer, torch.Tensor) else answer[0]
        torch.nn.functional.cross_entropy(logits, y).backward()
        optimizer.step()
    return model.eval(), (3, size, size), feature


def samples(size: int, feature: str, count: int) -> np.ndarray:
    """Motion in px, or pictures from 0 to 1."""
    made = noise(count, size)
    return made if feature in (FLOW, MAPS) else np.clip(0.5 + 0.2 * made, 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_network_is_built_in_every_precision(name: str) -> None:
    model, shape, feature = trained(name)
    spec = spec_of(name, shape[1], feature)
    whole = to_onnx.Probabilities(model, 1.3).eval()
    graph = to_onnx.to_proto(whole, spec)
    biases = [p for key, p in model.named_parameters() if key.endswith("bias") and p.ndim == 1]
    assert any(bool(p.abs().max() > 0) for p in biases), "nothing was trained"
    data = Data(samples(shape[1], feature, int8.LEAST), None)
    x = data.x[:4]
    expected = run(graph, x)
    for precision, tolerance in (("fp32", 1e-4), ("fp16", 3e-2), ("int8", 0.5)):
        if precision == "int8" and name == "flow-default":  # four perceptrons
            with pytest.raises(ModelError, match="no convolution: there is nothing to gain"):
                tensorrt.in_precision(graph, precision, data)
            continue
        typed = tensorrt.in_precision(onnx.ModelProto.FromString(graph.SerializeToString()), precision, data)
        assert np.abs(run(typed, x) - expected).max() < tolerance, precision
        engine = engines.build(typed.SerializeToString(), shape, precision)
        assert len(engine) > 1000


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: np.ndarray = session.run(["probabilities"], {"input": x})[0]
    return answer


@pytest.mark.parametrize("name", ["default", "efficient-me", "mobilenet-v3-small"])
def test_every_shipped_file_is_built_as_it_is(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for precision in ("fp32", "fp16"):
        target = tensorrt.from_onnx(find(name), tmp_path / "m.engine", precision)
        assert engines.read_spec(target).labels
    assert capfd.readouterr().err == ""


def test_the_shipped_file_that_is_quantized_for_the_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="int8 --signed"):
        tensorrt.from_onnx(find("efficient-me-lite"), tmp_path / "m.engine", "fp32")


def test_what_tensorrt_cannot_read_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="TensorRT cannot read the ONNX file") as told:
        engines.build(find("efficient-me-lite").read_bytes(), (3, 48, 48), "fp32")
    assert "\n" not in str(told.value)
    assert capfd.readouterr().err == ""


def test_a_signed_file_runs_with_onnx_runtime_and_is_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One INT8 file for all; the CPU's own, whose activations are unsigned, is refused in one line."""
    model, _, _ = trained("efficient-me-lite", feature=FLOW, size=48)
    spec = spec_of("efficient-me-lite", 48)
    checkpoint.save(tmp_path / "m.pt", "efficient-me-lite", {"size": 48, "feature": FLOW}, model.state_dict(), spec)
    np.savez(tmp_path / "d.npz", x=noise(int8.LEAST, 48))
    at = {name: str(tmp_path / name) for name in ("m.pt", "m.onnx", "d.npz", "signed.onnx", "cpu.onnx", "m.engine")}
    assert command.main(["onnx", at["m.pt"]]) == 0
    assert command.main(["int8", at["m.onnx"], "--calibrate", at["d.npz"], "--signed", "--out", at["signed.onnx"]]) == 0
    assert command.main(["int8", at["m.onnx"], "--calibrate", at["d.npz"], "--out", at["cpu.onnx"]]) == 0
    x = noise(4, 48)
    plain, signed = (OnnxRecognizer(tmp_path / f, tried=True).classify(x) for f in ("m.onnx", "signed.onnx"))
    assert 0 < np.abs(plain - signed).max() < 0.3
    assert command.main(["tensorrt", at["signed.onnx"], "--precision", "fp32", "--out", at["m.engine"]]) == 0
    assert (tmp_path / "m.engine.json").is_file()
    capsys.readouterr()
    assert command.main(["tensorrt", at["cpu.onnx"], "--precision", "fp32"]) == ModelError.exit_code
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "--signed" in told


def test_which_tensorrt_is_here_is_known() -> None:
    real = engines.import_tensorrt()
    assert engines.name_of(real).startswith("tensorrt-rtx 1.")
    assert set(engines.PORTABLE) <= set(real.ComputeCapability.__members__)


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("", (0, 0), "no GPU: realtime-mer[rtx] builds engines"),
        ("RTX 4090", (8, 9), "compute capability 8.9: realtime-mer[rtx]"),
        ("H200", (9, 0), "compute capability 9.0, which TensorRT-RTX does not run: realtime-mer[gpu]"),
    ],
)
def test_the_doctor_says_which_tensorrt_fits(name: str, version: tuple[int, int], says: str) -> None:
    assert device.which_tensorrt(name, version).startswith(says)


def test_too_few_samples_are_refused(tmp_path: Path) -> None:
    model, shape, _ = trained("ststnet", feature=FLOW)
    to_onnx.export(model, spec_of("ststnet", shape[1]), tmp_path / "m.onnx")
    few = Data(noise(int8.LEAST - 1), None)
    with pytest.raises(DataError, match=f"{int8.LEAST - 1} samples are too few"):
        int8.quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", few)
    assert not (tmp_path / "q.onnx").exists()


def test_running_an_engine_without_a_gpu_is_one_line(tmp_path: Path) -> None:
    if device.gpu():
        pytest.skip("there is a GPU here")
    target = tensorrt.from_onnx(find("default"), tmp_path / "m.engine", "fp32")
    with pytest.raises(DeviceError, match="no CUDA device"):
        engines.load(target, engines.read_spec(target))
