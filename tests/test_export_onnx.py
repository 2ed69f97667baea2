"""Every network of the training package becomes an ONNX file and a .pt2 file that compute the same, and nothing else.

Weights are random, with batch norms that have seen noise, so that the answers depend on the input.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from backend_models import LABELS, Treacherous, network, noise, spec_of

from export import pt2, to_onnx
from export.program import TOLERANCE
from realtime_mer.errors import ModelError, OutputError
from realtime_mer.recognize import pt2 as runtime
from realtime_mer.recognize.spec import KEY, ModelSpec
from train.models import MODELS

SLOW = (
    "alexnet", "googlenet", "efficientnet-b0", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "mobilenet-v2", "mobilenet-v3-small", "hata-resnet", "efficient-me", "efficient-me-tr3",
)  # fmt: skip
# Deeper networks of blocks that others show already: writing their .pt2 files takes torch half a minute each.
DEEPER = ("resnet34", "resnet101", "resnet152")
SIZES = {"alexnet": 227, "alexnet-2012": 227, "ststnet": 28, "off-apexnet": 28, "flow-default": 128}
OPTIONS: dict[str, dict[str, object]] = {
    "hata-resnet 3d with attention": {"stem": "3d", "attention": True},
    "efficient-me-tr3 with arcface": {"head": "arcface"},
}
CASES = [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in MODELS] + list(OPTIONS)


@pytest.mark.parametrize("case", CASES)
def test_every_network_exports_and_computes_the_same(case: str, tmp_path: Path) -> None:
    name, options = case.split()[0], OPTIONS.get(case, {})
    size = SIZES.get(name, 64)
    module = network(name, size, **options)
    x = noise(5, size)
    with torch.no_grad():
        logits = module(torch.from_numpy(x))
        if name == "googlenet-2015":  # without batch norm what random weights add to every answer hides the rest
            module.net[-1].bias -= logits.mean(dim=0)
            logits = module(torch.from_numpy(x))
    # Random networks answer with any spread; as calibration does, the temperature brings it to about 1.
    spec = replace(spec_of(name, size, MODELS[name].feature), temperature=float(logits.std(dim=0).mean()))
    wanted = torch.softmax(logits / spec.temperature, 1).numpy()
    assert np.ptp(wanted, axis=0).max() > 0.01, "the network ignores its input: the test would show nothing"

    report = to_onnx.export(module, spec, tmp_path / "m.onnx")
    assert report.difference <= TOLERANCE
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"], "one file, no external data"

    model, read = to_onnx.read(report.path)
    assert read == spec
    assert [i.name for i in model.graph.input] == ["input"]
    expected = ["probabilities", "attention"] if options.get("attention") else ["probabilities"]
    assert [o.name for o in model.graph.output] == expected
    assert [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")] == [to_onnx.OPSET]

    # A batch that the exporter never saw: ONNX against torch, and the .pt2 file against ONNX.
    session = onnxruntime.InferenceSession(str(report.path), providers=["CPUExecutionProvider"])
    by_onnx = session.run(["probabilities"], {"input": x})[0]
    np.testing.assert_allclose(by_onnx, wanted, atol=TOLERANCE)
    if case in DEEPER:
        return
    program = pt2.export(module, spec, tmp_path / "m.pt2").path
    assert runtime.read_spec(program) == spec
    _, run = runtime.load(program, spec, "cpu")
    np.testing.assert_allclose(run(x), wanted, atol=1e-6)
    np.testing.assert_allclose(run(x), by_onnx, atol=2e-5)  # all of it ONNX Runtime's rounding (GoogLeNet: 1.3e-5)


def test_a_file_that_computes_something_else_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="differs from torch by"):
        to_onnx.export(Treacherous(), spec_of("bad", 28), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_labels_that_do_not_fit_the_network_are_refused(tmp_path: Path) -> None:
    spec = ModelSpec("two", "0", LABELS[:2], "flow-uvs/1", (3, 28, 28))
    with pytest.raises(ModelError, match="2 labels, but the network gives"):
        to_onnx.export(network("ststnet", 28), spec, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_temperature_is_inside_the_file(tmp_path: Path) -> None:
    module = network("ststnet", 28)
    spec = spec_of("ststnet", 28)
    cold = replace(spec, temperature=0.2)
    x = noise(4)
    answers = []
    for one in (spec, cold):
        path = to_onnx.export(module, one, tmp_path / f"{one.temperature}.onnx").path
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        answers.append(session.run(["probabilities"], {"input": x})[0])
    ratio = spec.temperature / cold.temperature
    sharpened = answers[0] ** ratio / (answers[0] ** ratio).sum(1, keepdims=True)
    np.testing.assert_allclose(answers[1], sharpened, atol=1e-4)


def test_only_our_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(ModelError, match="does not exist"):
        to_onnx.read(path)
    path.write_bytes(b"something else")
    with pytest.raises(ModelError, match="not an ONNX file"):
        to_onnx.read(path)
    model = onnx.load(to_onnx.export(network("ststnet", 28), spec_of("ststnet", 28), path).path)
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, path)
    with pytest.raises(ModelError, match="no model spec"):
        to_onnx.read(path)


def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(OutputError, match="cannot write"):
        to_onnx.export(network("ststnet", 28), spec_of("ststnet", 28), tmp_path / "taken" / "m.onnx")
