"""Quantizing, comparing, the change of precision for TensorRT, and the command line.

Random weights and made-up samples throughout.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from backend_models import LABELS, exported, network, noise, spec_of

from export import __main__ as command
from export import data, int8, tensorrt, to_onnx, verify
from export.data import Data
from export.program import Probabilities
from realtime_mer.errors import ConfigError, DataError, DeviceError, ModelError
from realtime_mer.recognize.onnx import OnnxRecognizer
from realtime_mer.recognize.spec import Head
from train import checkpoint

SIZE = 48


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("int8") / "lite.onnx", "efficient-me-lite", SIZE)


@pytest.fixture(scope="module")
def samples(lite: Path) -> Data:
    """Noise, labeled by what the FP32 file answers, so that its UF1 is 1 and every changed label lowers it."""
    x = noise(48, SIZE)
    return Data(x, _run(onnx.load(lite), x).argmax(1).astype(np.int64))


def _run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"input": x})[0]


def test_a_quantized_file_is_smaller_keeps_its_spec_and_answers_nearly_the_same(
    lite: Path, samples: Data, tmp_path: Path
) -> None:
    report = int8.quantize(lite, tmp_path / "q.onnx", samples)
    model, spec = to_onnx.read(report.path)
    assert spec.name == "efficient-me-lite-int8"
    assert spec.labels == LABELS
    assert report.int8_size < 0.5 * report.fp32_size
    assert min(report.fp32_ms, report.int8_ms) > 0
    assert 0 < report.comparison.difference < 0.25, "0 would mean that nothing was quantized"
    assert report.comparison.uf1 is not None
    assert report.comparison.uf1[0] == pytest.approx(1.0)
    types = {t.name: t.data_type for t in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    assert {types.get(node.input[2]) for node in pairs} >= {onnx.TensorProto.UINT8, onnx.TensorProto.INT8}
    convolution = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4)
    scale = next(n.input[1] for n in pairs if n.input[0] == convolution.name)
    scales = next(t for t in model.graph.initializer if t.name == scale)
    assert list(scales.dims) == [convolution.dims[0]], "one scale for each channel"


def test_for_tensorrt_everything_is_signed_and_symmetric(lite: Path, samples: Data) -> None:
    model, _ = to_onnx.read(lite)
    typed = tensorrt.in_precision(model, "int8", samples)
    zeros = {n.input[2] for n in typed.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")}
    points = [onnx.numpy_helper.to_array(t) for t in typed.graph.initializer if t.name in zeros]
    assert points
    assert all(p.dtype != np.uint8 and not p.any() for p in points)


def test_half_precision_keeps_float_input_and_output(lite: Path) -> None:
    model, _ = to_onnx.read(lite)
    half = tensorrt.in_precision(onnx.load_model_from_string(model.SerializeToString()), "fp16", None)
    assert {t.data_type for t in half.graph.initializer if len(t.dims) == 4} == {onnx.TensorProto.FLOAT16}
    x = noise(4, SIZE)
    np.testing.assert_allclose(_run(half, x), _run(model, x), atol=2e-2)


def test_a_network_in_half_precision_has_float_logits() -> None:
    import torch

    x = torch.from_numpy(noise(3))
    with torch.no_grad():
        expected = network("ststnet", 28)(x)
        got = tensorrt.Typed(network("ststnet", 28), torch.float16)(x)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, expected, atol=5e-2)


def test_gate_and_heads_stay_in_float_when_the_network_is_in_half_precision() -> None:
    import torch

    heads = (("objective", 5, False),)
    module = network("efficient-me-lite", 128, "flow-uvs/1", unit_motion=True, none=True, heads=heads)
    x = torch.from_numpy(noise(3, 128))
    typed = Probabilities(tensorrt.in_type(module, torch.float16), 1.0)
    assert typed.outputs == ("probabilities", "objective")
    with torch.no_grad():
        expected, got = Probabilities(module, 1.0)(x), typed(x)
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_allclose(other, one, atol=5e-2)
    assert {p.dtype for p in module.parameters()} == {torch.float32}  # a copy is changed


def test_tensorrt_asks_for_what_it_needs(lite: Path, tmp_path: Path) -> None:
    model, spec = to_onnx.read(lite)
    with pytest.raises(ConfigError, match="--calibrate"):
        tensorrt.in_precision(model, "int8", None)
    with pytest.raises(ConfigError, match="fp32, fp16, int8"):
        tensorrt.from_onnx(lite, tmp_path / "x.engine", "bf16")
    with pytest.raises(ConfigError, match="export onnx first"):
        tensorrt.from_checkpoint(network("ststnet", 28), spec, tmp_path / "x.engine", "int8")


def test_missing_tensorrt_is_one_line(lite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins
    import importlib

    real = builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if "tensorrt" in name and not name.startswith(("export", "realtime_mer")):
            raise Exception("libnvinfer.so.10 is missing")  # what torch_tensorrt raises without the libraries
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(DeviceError, match="libnvinfer"):
        tensorrt.from_onnx(lite, tmp_path / "x.engine", "fp32")
    with pytest.raises(DeviceError, match="libnvinfer"):
        tensorrt.from_checkpoint(network("ststnet", 28), spec_of("s", 28), tmp_path / "x.engine", "fp32")
    assert list(tmp_path.iterdir()) == []


def test_a_file_agrees_with_itself_and_other_models_are_refused(lite: Path, samples: Data, tmp_path: Path) -> None:
    same = verify.compare(lite, lite, samples)
    assert (same.difference, same.agreement, same.uf1) == (0.0, 1.0, (1.0, 1.0))
    with pytest.raises(ModelError, match="input_shape differ"):
        verify.compare(lite, exported(tmp_path / "other.onnx"), samples)


def test_comparison_counts_changed_labels(lite: Path, samples: Data, tmp_path: Path) -> None:
    """The second file is the first with two classes exchanged: agreement is the share of the third."""
    model = onnx.load(lite)
    for tensor in model.graph.initializer:
        if tensor.dims and tensor.dims[0] == 3 and ("head" in tensor.name):
            swapped = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor)[[1, 0, 2]], tensor.name)
            tensor.CopyFrom(swapped)
    to_onnx.write(model, tmp_path / "swapped.onnx")
    result = verify.compare(lite, tmp_path / "swapped.onnx", samples)
    assert samples.y is not None
    assert result.agreement == pytest.approx(np.mean(samples.y == 2))
    assert result.uf1 is not None
    assert result.uf1[1] < 1


def test_data_from_npz_is_checked(tmp_path: Path) -> None:
    spec = spec_of("m", 28)
    pictures = np.full((4, 3, 28, 28), 255, np.uint8)
    np.savez(tmp_path / "good.npz", x=pictures, y=[0, 1, 2, 0])
    loaded = data.load(tmp_path / "good.npz", spec)
    assert loaded.x.max() == 1.0
    assert loaded.y is not None
    np.savez(tmp_path / "size.npz", x=np.zeros((4, 3, 14, 14), np.float32))
    np.savez(tmp_path / "label.npz", x=pictures, y=[0, 1, 2, 3])
    np.savez(tmp_path / "nan.npz", x=np.full((1, 3, 28, 28), np.nan, np.float32))
    np.savez(tmp_path / "none.npz", other=pictures)
    (tmp_path / "text.npz").write_text("no archive")
    says = {
        "size": "the model wants",
        "label": "positions",
        "nan": "finite",
        "none": "cannot be read",
        "text": "cannot",
    }
    for name, line in says.items():
        with pytest.raises(DataError, match=line):
            data.load(tmp_path / f"{name}.npz", spec)


def test_a_folder_without_clips_or_faces_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        data.load(tmp_path / "nowhere", spec_of("m", 28))
    with pytest.raises(DataError, match="holds no folders"):
        data.load(tmp_path, spec_of("m", 28))
    clip = tmp_path / "negative" / "clip1"
    clip.mkdir(parents=True)
    cv2.imwrite(str(clip / "img1.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(DataError, match="at least 2"):
        data.load(tmp_path, spec_of("m", 28))


def test_the_command_line_from_checkpoint_to_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = noise(int8.LEAST)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(int8.LEAST) % 3)
    module = network("ststnet", 28, "flow-uvs/1")
    options = {"size": 28, "feature": "flow-uvs/1"}
    checkpoint.save(tmp_path / "m.pt", "ststnet", options, module.state_dict(), spec_of("ststnet", 28))
    at = {name: str(tmp_path / name) for name in ("m.pt", "m.onnx", "m-int8.onnx", "d.npz")}
    assert command.main(["onnx", at["m.pt"]]) == 0
    assert command.main(["int8", at["m.onnx"], "--calibrate", at["d.npz"]]) == 0
    assert command.main(["verify", at["m.onnx"], at["m-int8.onnx"], "--on", at["d.npz"]]) == 0
    printed = capsys.readouterr().out
    assert "largest difference" in printed
    assert "labels agree" in printed
    assert command.main(["onnx", str(tmp_path / "missing.pt")]) == ModelError.exit_code
    assert capsys.readouterr().err.count("\n") == 1


def test_gate_and_heads_stay_as_they_are(tmp_path: Path) -> None:
    heads = (("objective", 5, False), ("action_units", 4, True))
    module = network("efficient-me-lite", 128, "flow-uvs/1", unit_motion=True, none=True, heads=heads)
    for head in module.heads.values():
        head.weight.normal_()
    module.network.gate.weight.normal_()
    coded = (Head("objective", ("I", "II", "III", "IV", "V")), Head("action_units", ("1", "2", "3", "4"), each=True))
    spec = replace(spec_of("efficient-me-lite", 128), labels=(*LABELS, "none"), none="none", heads=coded)
    to_onnx.export(module, spec, tmp_path / "plain.onnx")
    x = noise(int8.LEAST, 128)
    int8.quantize(tmp_path / "plain.onnx", tmp_path / "int8.onnx", Data(x, None))
    plain, quantized = (OnnxRecognizer(tmp_path / f"{name}.onnx", tried=True).classify(x) for name in ("plain", "int8"))
    assert np.array_equal(plain[:, 3:], quantized[:, 3:])
    assert not np.array_equal(plain[:, :3], quantized[:, :3])
